"""Inception Score: 1 for samples that all look alike, the number of classes for sharp and even ones."""

import pytest
import torch
from torch.nn.functional import one_hot

from lhy_lightning.metrics.generation.inception_score import InceptionScore, inception_score


def test_sharp_and_even_predictions_score_the_number_of_classes() -> None:
    probabilities = one_hot(torch.arange(20) % 5, 5).float()
    mean, deviation = inception_score(probabilities)
    assert (mean.item(), deviation.item()) == (pytest.approx(5.0), 0.0)


@pytest.mark.parametrize("row", [[1.0, 0.0, 0.0], [0.2, 0.5, 0.3]], ids=["collapsed", "unsure"])
def test_predictions_that_are_all_the_same_score_one(row: list[float]) -> None:
    assert inception_score(torch.tensor([row] * 7))[0].item() == pytest.approx(1.0)


def test_it_is_the_exponential_of_the_mean_divergence_from_the_marginal() -> None:
    p = torch.softmax(torch.randn(50, 4, generator=torch.Generator().manual_seed(0)), 1).double()
    expected = (p * (p.log() - p.mean(0).log())).sum(1).mean().exp()
    assert inception_score(p)[0].item() == pytest.approx(expected.item(), rel=1e-12)


def test_splits_are_scored_alone() -> None:
    p = torch.softmax(torch.randn(60, 4, generator=torch.Generator().manual_seed(0)), 1)
    parts = torch.stack([inception_score(part)[0] for part in (p[:20], p[20:40], p[40:])])
    mean, deviation = inception_score(p, splits=3)
    assert mean.item() == pytest.approx(parts.mean().item())
    assert deviation.item() == pytest.approx(parts.std(correction=0).item())


def test_batches_and_ranks_in_any_split_give_the_score_of_all_rows() -> None:
    p = torch.softmax(3 * torch.randn(41, 4, generator=torch.Generator().manual_seed(0)), 1)
    first, second = InceptionScore(4), InceptionScore(4)
    first.update(p[:9])
    first.update(p[9:30])
    second.update(p[30:])
    first.merge_state(second)
    assert first.compute().item() == pytest.approx(inception_score(p)[0].item(), rel=1e-12)
    first.reset()
    with pytest.warns(UserWarning, match="was called before"), pytest.raises(ValueError, match="no samples"):
        first.compute()


def test_logits_are_refused() -> None:
    with pytest.raises(ValueError, match="apply softmax"):
        inception_score(torch.tensor([[2.0, -1.0]]))
    with pytest.raises(ValueError, match="apply softmax"):
        InceptionScore(2).update(torch.tensor([[torch.nan, 1.0]]))
    with pytest.raises(ValueError, match=r"\(N, 3\)"):
        InceptionScore(3).update(torch.ones(1, 2) / 2)
    with pytest.raises(ValueError, match="splits=3"):
        inception_score(torch.ones(2, 2) / 2, splits=3)
