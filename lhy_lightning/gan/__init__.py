"""Generative adversarial networks: lectures on GANs, homework 6."""
