"""Training and evaluation of the autocomplete models: characters in, the word that is being typed out."""
