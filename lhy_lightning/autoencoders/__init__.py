"""Auto-encoders, discrete codes and anomaly detection (lecture on auto-encoders, homework 8)."""
