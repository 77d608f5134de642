"""The special tokens of every `TextTokenizer`, and their ids."""

PAD, BOS, EOS, UNK, TAG = range(5)
"""Ids of the special tokens, the same in every vocabulary; TAG marks back-translated sources."""
SPECIALS = ("<pad>", "<s>", "</s>", "<unk>", "<bt>")
"""What they are called, in the order of their ids."""
