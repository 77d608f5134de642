"""Texts with a class, a number, or a tag for each word."""
