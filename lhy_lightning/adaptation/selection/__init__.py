"""Choosing a model without target labels."""
