"""Which codes follow which: a Transformer or PixelCNN over the codes of a VQ-VAE."""
