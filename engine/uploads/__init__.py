"""Attention that another program has computed, from a file: checked, and never run."""
