"""Training data, loops and evaluation of the models that ship."""
