"""Scheduled sampling: which inputs of the decoder are replaced, by what, and the decoding that does it."""
