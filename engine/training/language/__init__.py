"""Training of the language models: a character LSTM, a GPT and a BERT on books."""
