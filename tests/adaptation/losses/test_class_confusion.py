"""Minimum class confusion against the paper's steps written as loops, and at its ends."""

import math

import pytest
import torch

from lhy_lightning.adaptation.losses.class_confusion import class_confusion


def by_loops(rows: list[list[float]], temperature: float) -> float:
    classes, count = len(rows[0]), len(rows)
    probabilities, certainty = [], []
    for row in rows:
        powers = [math.exp(z / temperature) for z in row]
        probabilities.append([power / sum(powers) for power in powers])
        certainty.append(1 + math.exp(sum(p * math.log(p) for p in probabilities[-1])))
    weights = [count * c / sum(certainty) for c in certainty]
    confusion = 0.0
    for j in range(classes):
        correlations = [
            sum(w * y[j] * y[other] for w, y in zip(weights, probabilities, strict=True)) for other in range(classes)
        ]
        confusion += sum(c for other, c in enumerate(correlations) if other != j) / sum(correlations)
    return confusion / classes


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_it_is_the_papers_loss(temperature: float) -> None:
    torch.manual_seed(0)
    logits = 3 * torch.randn(7, 4)
    assert class_confusion(logits, temperature=temperature).item() == pytest.approx(
        by_loops(logits.tolist(), temperature), rel=1e-5
    )


def test_sure_rows_confuse_nothing_and_uniform_ones_everything() -> None:
    assert class_confusion(200 * torch.eye(5)).item() == pytest.approx(0, abs=1e-6)
    assert class_confusion(torch.zeros(6, 4)).item() == pytest.approx(3 / 4)


def test_the_weights_take_no_gradient() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(class_confusion(logits), logits)
    probabilities = (logits / 2.5).softmax(1)
    certainty = (1 + (probabilities * probabilities.log()).sum(1).exp()).detach()
    correlation = torch.einsum("ni,n,nj->ij", probabilities, certainty, probabilities)
    confusion = 1 - (correlation.diagonal() / correlation.sum(1)).mean()
    (expected,) = torch.autograd.grad(confusion, logits)
    torch.testing.assert_close(gradient, expected)


def test_a_class_without_any_probability_gives_finite_gradients() -> None:
    logits = torch.tensor([[0.0, 1.0, -2e4], [1.0, 0.0, -2e4]], requires_grad=True)
    loss = class_confusion(logits)
    torch.testing.assert_close(loss, class_confusion(logits.clamp(min=-60)))  # it is the limit
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_it_is_float32_inside_autocast() -> None:
    torch.manual_seed(0)
    logits = torch.randn(8, 5)
    outside = class_confusion(logits)
    with torch.autocast("cpu", torch.bfloat16):
        assert class_confusion(logits).item() == outside.item()
        assert class_confusion(logits.bfloat16()).dtype == torch.float32


def test_wrong_shapes_and_temperatures_are_errors() -> None:
    with pytest.raises(ValueError, match=r"\(N, K\), not \(3,\)"):
        class_confusion(torch.zeros(3))
    with pytest.raises(ValueError, match="above zero"):
        class_confusion(torch.zeros(3, 2), temperature=0.0)
