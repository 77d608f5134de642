"""Auto-encoders and VQ-VAE."""
