"""Sequence to sequence: translation with recurrent networks and Transformers. Homework 5."""
