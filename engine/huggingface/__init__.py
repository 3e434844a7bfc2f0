"""Models of people's own, in the form that transformers saves: the only place that imports transformers.

source finds them, checks and headers look at their files before anything is loaded, estimate says what they would take;
hosted and attention make them ready to be watched, seq2seq, decoder and encoder give them the methods of native models,
tokens and vocabulary those of native tokenizers; loading puts all of it together.
"""
