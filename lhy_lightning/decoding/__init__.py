"""Sequences from any decoder: beam, greedy, sampling, constraints, scoring, ensembles."""
