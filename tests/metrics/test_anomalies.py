"""AUROC, AUPR and F1 of scores of any scale: scikit-learn's numbers; the threshold is of normal rows alone."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from lhy_lightning.metrics.anomalies import auroc, average_precision, detection_figures, threshold_of


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("ties", [False, True])
def test_auroc_and_aupr_equal_scikit_learns_at_any_scale_and_with_ties(scale: float, ties: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(500, generator=generator) < 0.2).long()
    scores = torch.randn(500, generator=generator) + labels
    scores = (scores.round() if ties else scores) * scale
    assert float(auroc(scores, labels)) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert float(average_precision(scores, labels)) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


def test_figures_at_a_threshold_equal_scikit_learns() -> None:
    scores, labels = torch.tensor([0.1, 0.9, 0.4, 0.8, 0.3]), torch.tensor([0, 1, 1, 0, 0])
    found = detection_figures(scores, labels, torch.tensor(0.35))
    assert float(found["f1"]) == pytest.approx(f1_score(labels, scores > 0.35))
    assert float(found["detected"]) == 1.0
    assert float(found["false_alarms"]) == pytest.approx(1 / 3)


def test_a_threshold_lets_through_no_more_normal_rows_than_were_asked_for() -> None:
    scores = torch.arange(100.0).flip(0)
    for rate, allowed in ((0.0, 0), (0.05, 5), (0.29, 29), (0.999, 99)):
        assert int((scores > threshold_of(scores, rate)).sum()) == allowed


def test_scores_without_an_anomaly_without_a_normal_row_or_with_nan_have_no_auroc() -> None:
    with pytest.raises(ValueError, match="2 rows without an anomaly: AUROC and AUPR are undefined"):
        auroc(torch.tensor([0.0, 1.0]), torch.tensor([0, 0]))
    with pytest.raises(ValueError, match="2 rows without a normal row"):
        average_precision(torch.tensor([0.0, 1.0]), torch.tensor([1, 1]))
    with pytest.raises(ValueError, match="1 of 2 scores are NaN"):
        auroc(torch.tensor([0.0, torch.nan]), torch.tensor([0, 1]))
