"""Mode coverage counts what a classifier is sure of, and tells collapse from dropping."""

import pytest
import torch
from torch import Tensor

from lhy_lightning.metrics.generation.mode_coverage import ModeCoverage


def sure(counts: list[int], confidence: float = 0.95) -> Tensor:
    """Rows of probabilities: `counts[k]` of them for class k."""
    labels = torch.cat([torch.full((n,), k) for k, n in enumerate(counts)])
    rest = (1 - confidence) / (len(counts) - 1)
    rows = torch.full((len(labels), len(counts)), rest)
    rows[torch.arange(len(labels)), labels] = confidence
    return rows


def test_even_classes_are_all_covered_and_nothing_is_warned_of() -> None:
    metric = ModeCoverage(10)
    metric.update(sure([10] * 10))
    found = metric.compute()
    assert found.shares.tolist() == pytest.approx([0.1] * 10)
    assert found.num_covered == 10
    assert found.effective_classes.item() == pytest.approx(10.0)
    assert (found.recognised.item(), found.samples) == (1.0, 100)
    assert found.warning() is None


def test_shares_are_of_the_samples_that_are_recognised() -> None:
    metric = ModeCoverage(4)
    metric.update(sure([6, 2, 0, 0]))
    metric.update(sure([0, 0, 0, 8], confidence=0.89))
    found = metric.compute()
    assert found.shares.tolist() == [0.75, 0.25, 0.0, 0.0]
    assert found.recognised.item() == 0.5


def test_a_class_is_covered_from_three_percent_on_where_there_are_ten() -> None:
    metric = ModeCoverage(10)
    assert metric.least_share == pytest.approx(0.03)
    metric.update(sure([119, 119, 119, 119, 119, 119, 119, 119, 29, 19]))  # of 1,000
    assert metric.compute().covered.tolist() == [True] * 8 + [False] * 2
    metric.reset()
    metric.update(sure([119, 119, 119, 119, 119, 119, 119, 118, 30, 19]))
    assert metric.compute().num_covered == 9


def test_a_missing_class_is_mode_dropping() -> None:
    metric = ModeCoverage(10)
    metric.update(sure([11, 11, 11, 11, 0, 11, 11, 11, 11, 12]))
    warning = metric.compute().warning([f"digit {k}" for k in range(10)])
    assert warning == "mode dropping: 1 of 10 classes hold under 3.0%: digit 4 (0.0%)"


def test_one_class_with_nearly_everything_is_mode_collapse() -> None:
    metric = ModeCoverage(4)
    metric.update(sure([97, 1, 1, 1]))
    warning = metric.compute().warning()
    assert warning is not None
    assert warning.startswith("mode collapse: 1.2 effective classes of 4, 0 alone has 97.0%")
    metric.reset()
    metric.update(sure([50, 0, 0, 0]))
    assert metric.compute().effective_classes.item() == 1.0


def test_samples_that_are_no_pictures_of_anything_are_said_to_be_so() -> None:
    metric = ModeCoverage(4)
    metric.update(torch.full((50, 4), 0.25))
    found = metric.compute()
    assert found.num_covered == 0
    assert found.effective_classes.item() == 0.0
    warning = found.warning()
    assert warning is not None
    assert "only 0.0% of 50 samples are recognised" in warning


def test_batches_and_ranks_in_any_split_give_the_shares_of_all_rows() -> None:
    rows = sure([5, 3, 9])
    first, second, whole = ModeCoverage(3), ModeCoverage(3), ModeCoverage(3)
    first.update(rows[:4])
    second.update(rows[4:])
    whole.update(rows)
    first.merge_state(second)
    assert torch.equal(first.compute().shares, whole.compute().shares)
    assert first.compute().samples == 17


def test_what_is_no_share_or_no_probabilities_is_named() -> None:
    with pytest.raises(ValueError, match=r"confidence is a share between 0 and 1, not 90"):
        ModeCoverage(10, confidence=90)
    with pytest.raises(ValueError, match=r"least_share .* not 3"):
        ModeCoverage(10, least_share=3)
    with pytest.raises(ValueError, match=r"\(N, 10\)"):
        ModeCoverage(10).update(torch.ones(2, 3))
