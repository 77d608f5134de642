"""What data modules of text share: sources, splits, cleaning, tokenised texts."""
