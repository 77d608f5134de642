"""Sentence pairs in two languages."""
