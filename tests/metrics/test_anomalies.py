"""AUROC, AUPR and F1 of scores of any scale: scikit-learn's numbers; the threshold is of normal rows alone."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from lhy_lightning.metrics.anomalies import (
    CountedAUROC,
    auroc,
    average_precision,
    detection_figures,
    threshold_of,
)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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


def test_counted_auroc_is_scikit_learns_of_all_batches_together() -> None:
    scores, strange = torch.randn(5000, generator=draws()).square(), torch.rand(5000, generator=draws(1)) < 0.1
    scores += 0.3 * strange
    metric = CountedAUROC()
    for part in (slice(0, 7), slice(7, 4000), slice(4000, 5000)):
        metric.update(scores[part][None], strange[part][None])
    assert float(metric.compute()) == pytest.approx(roc_auc_score(strange, scores), abs=2e-4)
    metric.reset()
    metric.update(torch.tensor([0.0, 1.0, 1.0, 4.0]), torch.tensor([False, False, True, True]))
    assert float(metric.compute()) == 7 / 8  # a tie counts half
    metric.reset()
    metric.update(torch.tensor([0.0, 1.0]), torch.tensor([True, True]))
    assert metric.compute().isnan()
