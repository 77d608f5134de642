"""Data modules and what they are made of: sources, splits, samplers, augmentation."""
