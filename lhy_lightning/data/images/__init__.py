"""Images from any source as batches in [-1, 1]."""
