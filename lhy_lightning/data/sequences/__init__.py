"""Rows of unequal length: memory-mapped, and in batches of like length."""
