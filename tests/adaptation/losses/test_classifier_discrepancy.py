"""MCD's discrepancy against the paper's sum."""

import pytest
import torch

from lhy_lightning.adaptation.losses.classifier_discrepancy import classifier_discrepancy


def test_it_is_the_mean_over_rows_of_the_papers_sum_over_classes() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(6, 4), torch.randn(6, 4)
    expected = 0.0
    for a, b in zip(first.softmax(1).tolist(), second.softmax(1).tolist(), strict=True):
        expected += sum(abs(p - q) for p, q in zip(a, b, strict=True)) / 4 / 6
    assert classifier_discrepancy(first, second).item() == pytest.approx(expected)


def test_it_is_zero_for_one_classifier_and_two_by_the_classes_for_opposite_ones() -> None:
    logits = torch.tensor([[100.0, 0.0, 0.0]])
    assert classifier_discrepancy(logits, logits + 5).item() == 0
    assert classifier_discrepancy(logits, logits.flip(1)).item() == pytest.approx(2 / 3)


def test_gradients_match_finite_differences() -> None:
    torch.manual_seed(0)
    first, second = (torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(classifier_discrepancy, (first, second))


def test_half_precision_gives_float32() -> None:
    assert classifier_discrepancy(torch.randn(2, 3).bfloat16(), torch.randn(2, 3).bfloat16()).dtype == torch.float32


def test_logits_of_different_shape_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 4\)"):
        classifier_discrepancy(torch.randn(2, 3), torch.randn(2, 4))
    with pytest.raises(ValueError, match=r"\(3,\) and \(3,\)"):
        classifier_discrepancy(torch.randn(3), torch.randn(3))
