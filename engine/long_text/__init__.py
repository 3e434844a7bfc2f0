"""Texts too long for all their maps: every head pooled, one head closer, and windows in exact weights."""
