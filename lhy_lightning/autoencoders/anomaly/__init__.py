"""Anomaly detection by what an auto-encoder cannot reconstruct."""
