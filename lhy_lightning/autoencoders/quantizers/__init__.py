"""Codes of a codebook: how they are found, learnt and passed gradients through."""
