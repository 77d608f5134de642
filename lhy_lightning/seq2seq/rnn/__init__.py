"""Recurrent networks with attention."""
