"""Entropies, balance and pseudo-labels against loops and literal values."""

import math

import pytest
import torch

from lhy_lightning.adaptation.losses.entropy import (
    conditional_entropy,
    entropy,
    information_maximisation,
    label_balance,
    pseudo_label_loss,
)

SURE = torch.tensor([[3e4, -3e4, 0.0], [0.0, 0.0, 3e4]])


def logits() -> torch.Tensor:
    torch.manual_seed(0)
    return 2 * torch.randn(6, 3)


def entropy_by_loop(probabilities: list[float]) -> float:
    return -sum(p * math.log(p) for p in probabilities)


def test_entropies_are_sums_over_classes() -> None:
    expected = [entropy_by_loop(row) for row in logits().softmax(1).tolist()]
    assert entropy(logits()).tolist() == pytest.approx(expected, rel=1e-5)
    assert conditional_entropy(logits()).item() == pytest.approx(sum(expected) / 6, rel=1e-5)
    assert entropy(torch.zeros(1, 8)).item() == pytest.approx(math.log(8))


def test_information_is_diversity_minus_mean_entropy() -> None:
    rows = logits().softmax(1).tolist()
    mean = [sum(row[k] for row in rows) / 6 for k in range(3)]
    expected = entropy_by_loop(mean) - sum(map(entropy_by_loop, rows)) / 6
    assert information_maximisation(logits()).item() == pytest.approx(expected, rel=1e-5)


def test_information_is_zero_for_one_answer_and_log_k_for_sure_and_even_ones() -> None:
    assert information_maximisation(logits()[:1].repeat(5, 1)).item() == pytest.approx(0, abs=1e-6)
    assert information_maximisation(100 * torch.eye(4).repeat(3, 1)).item() == pytest.approx(math.log(4))


@pytest.mark.parametrize("prior", [None, [0.5, 0.3, 0.2], [5.0, 3.0, 2.0]])
def test_balance_is_the_divergence_of_the_mean_from_the_prior(prior: list[float] | None) -> None:
    rows = logits().softmax(1).tolist()
    mean = [sum(row[k] for row in rows) / 6 for k in range(3)]
    shares = [p / sum(prior) for p in prior] if prior else [1 / 3] * 3
    expected = sum(p * math.log(p / q) for p, q in zip(mean, shares, strict=True))
    given = torch.tensor(prior) if prior else None
    assert label_balance(logits(), given).item() == pytest.approx(expected, rel=1e-4)


def test_balance_is_zero_at_the_prior() -> None:
    sure = 100 * torch.eye(3)[[0, 0, 1, 2]]
    assert label_balance(sure, torch.tensor([2.0, 1.0, 1.0])).item() == pytest.approx(0, abs=1e-6)
    assert label_balance(sure[1:]).item() == pytest.approx(0, abs=1e-6)
    assert label_balance(sure[:1]).item() == pytest.approx(math.log(3))


def test_pseudo_labels_are_the_sure_rows_own_classes() -> None:
    probabilities = torch.tensor([[0.9, 0.05, 0.05], [0.4, 0.35, 0.25], [0.1, 0.1, 0.8]])
    loss, share = pseudo_label_loss(probabilities.log(), 0.75)
    assert loss.item() == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2, rel=1e-5)
    assert share.item() == pytest.approx(2 / 3)
    assert pseudo_label_loss(probabilities.log(), 0.0).share.item() == 1


def test_no_sure_row_costs_zero_and_has_a_graph() -> None:
    given = torch.zeros(4, 3, requires_grad=True)
    loss, share = pseudo_label_loss(given, 0.9)
    loss.backward()
    assert loss.item() == 0
    assert share.item() == 0
    assert given.grad is not None
    assert not given.grad.any()


def test_gradients_match_finite_differences() -> None:
    given = logits().double().requires_grad_()
    prior = torch.tensor([0.5, 0.3, 0.2])
    for function in (
        entropy,
        conditional_entropy,
        information_maximisation,
        label_balance,
        lambda z: label_balance(z, prior),
        lambda z: pseudo_label_loss(z, 0.7).loss,
    ):
        assert torch.autograd.gradcheck(function, given)


@pytest.mark.parametrize("function", [
    conditional_entropy, information_maximisation, label_balance, lambda z: pseudo_label_loss(z, 0.5).loss,
])  # fmt: skip
def test_half_precision_gives_float32_and_sure_rows_finite_gradients(function) -> None:  # type: ignore[no-untyped-def]
    sure = SURE.half().requires_grad_()
    value = function(sure)
    (gradient,) = torch.autograd.grad(value, sure)
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert gradient.isfinite().all()


def test_wrong_shapes_and_thresholds_are_errors() -> None:
    for function in (entropy, conditional_entropy, information_maximisation, label_balance):
        with pytest.raises(ValueError, match=r"\(N, K\), not \(3,\)"):
            function(torch.zeros(3))
    with pytest.raises(ValueError, match=r"\(3,\), one share a class, not \(2,\)"):
        label_balance(logits(), torch.ones(2))
    with pytest.raises(ValueError, match=r"0 … 1, not 1\.5"):
        pseudo_label_loss(logits(), 1.5)
