"""Figures of an evaluation are those of all rows at once, whatever the batches."""

import math

import pytest
import torch

from lhy_lightning.metrics import ClassificationScores


def test_uneven_batches_give_the_figures_of_all_rows() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(11, 3), torch.tensor([0, 1, 0, 1, 1, 0, 0, 0, 1, 1, 0])
    scores = ClassificationScores(3)
    for part in (slice(0, 4), slice(4, 8), slice(8, 11)):
        loss = torch.nn.functional.cross_entropy(logits[part], labels[part])
        scores.update(logits[part], labels[part], loss)
    figures = scores.compute()
    right = logits.argmax(1) == labels
    assert figures["accuracy"].item() == pytest.approx(right.float().mean().item())
    assert figures["loss"].item() == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item())
    assert figures["per_class"][0].item() == pytest.approx(right[labels == 0].float().mean().item())
    assert math.isnan(figures["per_class"][2].item())
    assert figures["confusion"].sum().item() == 11
    assert figures["confusion"][0].sum().item() == 6  # true classes in rows


def test_a_loss_that_is_not_a_number_is_not_hidden() -> None:
    scores = ClassificationScores(2)
    scores.update(torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64), torch.tensor(float("nan")))
    assert math.isnan(scores.compute()["loss"].item())


def test_nothing_of_it_is_in_a_checkpoint() -> None:
    assert not ClassificationScores(3).state_dict()
