"""Figures that more than one topic reports."""

from lhy_lightning.metrics.classification import ClassificationScores

__all__ = ["ClassificationScores"]
