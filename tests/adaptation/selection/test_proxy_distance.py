"""A fresh domain classifier is at chance for one distribution, sure for two, and never tested on its own rows."""

import pytest
import torch
from torch import Tensor

from lhy_lightning.adaptation.selection.proxy_distance import fresh_domain_accuracy, proxy_a_distance


def features(count: int, shift: float, *, seed: int, size: int = 5) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed)) + shift


def test_chance_for_one_distribution_and_nearly_sure_for_two_far_apart() -> None:
    source = features(600, 0.0, seed=0)
    assert fresh_domain_accuracy(source, features(600, 0.0, seed=1)) == pytest.approx(0.5, abs=0.06)
    assert fresh_domain_accuracy(source, features(600, 5.0, seed=1)) > 0.99


def test_both_domains_count_alike_at_very_different_sizes() -> None:
    source, target = features(2000, 0.0, seed=0), features(100, 0.0, seed=1)
    assert fresh_domain_accuracy(source, target) == pytest.approx(0.5, abs=0.15)  # 95 % would always say source


def test_one_midpoint_between_two_normals_has_the_known_accuracy() -> None:
    source, target = features(4000, 0.0, seed=0, size=1), features(4000, 2.0, seed=1, size=1)
    assert fresh_domain_accuracy(source, target) == pytest.approx(0.8413, abs=0.02)  # Φ(1)


def test_rows_that_it_was_trained_on_do_not_count() -> None:
    # more numbers than rows: any labels can be learned by heart, and mean nothing on other rows
    source, target = features(60, 0.0, seed=0, size=400), features(60, 0.0, seed=1, size=400)
    assert fresh_domain_accuracy(source, target) < 0.7


def test_the_seed_chooses_the_halves_and_scale_does_not_matter() -> None:
    source, target = features(100, 0.0, seed=0), features(100, 0.3, seed=1)
    values = [fresh_domain_accuracy(source, target, seed=seed) for seed in (0, 0, 1, 2, 3)]
    assert values[0] == values[1]
    assert len(set(values)) > 1
    assert fresh_domain_accuracy(1e4 * source, 1e4 * target) == pytest.approx(values[0], abs=1e-6)
    assert 0 <= fresh_domain_accuracy(source.bfloat16().requires_grad_(), target.bfloat16()) <= 1


@pytest.mark.parametrize(("accuracy", "distance"), [(0.5, 0.0), (1.0, 2.0), (0.75, 1.0), (0.45, -0.2)])
def test_the_papers_distance(accuracy: float, distance: float) -> None:
    assert proxy_a_distance(accuracy) == pytest.approx(distance)


def test_errors() -> None:
    source = features(10, 0.0, seed=0)
    with pytest.raises(ValueError, match=r"\(10, 5\) of source and \(10, 4\) of target"):
        fresh_domain_accuracy(source, source[:, :4])
    with pytest.raises(ValueError, match="two rows a domain"):
        fresh_domain_accuracy(source, source[:1])
    with pytest.raises(ValueError, match="not finite, in 1 rows"):
        fresh_domain_accuracy(source, torch.where(torch.arange(10)[:, None] == 3, torch.nan, source))
    with pytest.raises(ValueError, match="0 … 1"):
        proxy_a_distance(1.2)
