"""What several benchmarks import."""
