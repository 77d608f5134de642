"""Attention, positions and layers of the Transformer, for packed sequences and step by step."""
