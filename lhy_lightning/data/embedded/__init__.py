"""Sets that are drawn or computed here: real or rule-made, small, the same everywhere, no download."""
