"""Feature extractors and label predictors by name, and batch norms of each domain. Plain torch."""
