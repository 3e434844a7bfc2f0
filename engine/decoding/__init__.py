"""Decoding: a step protocol, and searches that know nothing of the model behind it."""
