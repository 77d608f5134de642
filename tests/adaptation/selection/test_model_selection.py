"""Label-free scores against loops, known answers and the code of their papers."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lhy_lightning.adaptation.selection.model_selection import (
    density_ratio,
    importance_weighted_accuracy,
    importance_weighted_mean,
    rank_correlation,
    soft_neighbourhood_density,
)


def density_by_loops(vectors: list[list[float]], temperature: float) -> float:
    units = [[x / math.hypot(*row) for x in row] for row in vectors]
    total = 0.0
    for i, row in enumerate(units):
        others = [other for j, other in enumerate(units) if j != i]
        powers = [math.exp(sum(a * b for a, b in zip(row, other, strict=True)) / temperature) for other in others]
        total -= sum(p / sum(powers) * math.log(p / sum(powers)) for p in powers)
    return total / len(units)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
@pytest.mark.parametrize("chunk", [1, 3, 7, 1000])
def test_neighbourhood_density_is_the_papers_at_any_chunk(temperature: float, chunk: int) -> None:
    torch.manual_seed(0)
    vectors = torch.randn(7, 4).softmax(1)
    value = soft_neighbourhood_density(vectors, temperature=temperature, chunk=chunk)
    assert value.item() == pytest.approx(density_by_loops(vectors.tolist(), temperature), rel=1e-5)


def test_dense_clusters_score_higher_than_scattered_rows() -> None:
    torch.manual_seed(0)
    clusters = 10 * torch.eye(4).repeat(25, 1) + 0.1 * torch.randn(100, 4)
    assert soft_neighbourhood_density(clusters) == pytest.approx(math.log(24), abs=0.05)
    assert soft_neighbourhood_density(torch.randn(100, 4)) < soft_neighbourhood_density(clusters)
    assert soft_neighbourhood_density(torch.ones(50, 4)) == pytest.approx(math.log(49))  # the score's known weakness


def test_neighbourhood_density_is_float32_inside_autocast() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(20, 4)
    outside = soft_neighbourhood_density(vectors)
    with torch.autocast("cpu", torch.bfloat16):
        assert soft_neighbourhood_density(vectors).item() == outside.item()
        assert soft_neighbourhood_density(vectors.bfloat16()).dtype == torch.float32


def shifted(count: int, mean: float, seed: int) -> Tensor:
    return torch.randn(count, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + mean


def test_the_density_ratio_of_two_normals_is_known() -> None:
    source, target = shifted(4000, 0.0, 0), shifted(6000, 1.0, 1)
    weights = density_ratio(source, target)
    exact = (source[:, 0] - 0.5).exp()  # N(x; 1) / N(x; 0)
    assert np.corrcoef(weights.log(), exact.log())[0, 1] > 0.99
    assert weights.mean().item() == pytest.approx(1, abs=0.1)


def test_weights_of_equal_domains_are_near_one_although_rows_could_be_learned_by_heart() -> None:
    noise = torch.Generator().manual_seed(0)
    source, target = torch.randn(300, 20, generator=noise), torch.randn(300, 20, generator=noise)
    assert density_ratio(source, target).log().abs().mean() < 0.6


@pytest.mark.parametrize("control_variate", [False, True])
def test_weighted_accuracy_finds_the_accuracy_on_a_shifted_target(control_variate: bool) -> None:
    source, target = shifted(5000, 0.0, 0), shifted(5000, 1.0, 1)
    found = importance_weighted_accuracy(source[:, 0] > 0, source, target, control_variate=control_variate)
    assert found == pytest.approx((target > 0).double().mean().item(), abs=0.04)  # .84, and .5 on the source


def test_the_control_variate_is_the_papers_algorithm() -> None:
    random = np.random.default_rng(0)
    losses, weights = random.random(50), random.exponential(size=50)
    eta = -np.cov(weights * losses, weights)[0, 1] / np.var(weights, ddof=1)
    expected = (weights * losses).mean() + eta * weights.mean() - eta
    values, given = torch.from_numpy(losses), torch.from_numpy(weights)
    assert importance_weighted_mean(values, given, control_variate=True) == pytest.approx(expected)
    assert importance_weighted_mean(values, given) == pytest.approx((weights * losses).mean())


def test_with_the_control_variate_accuracy_and_error_add_to_one() -> None:
    torch.manual_seed(0)
    correct, weights = torch.rand(40) < 0.7, torch.rand(40) * 2
    right = importance_weighted_mean(correct, weights, control_variate=True)
    wrong = importance_weighted_mean(~correct, weights, control_variate=True)
    assert right + wrong == pytest.approx(1)


def test_the_control_variate_varies_less() -> None:
    plain, controlled = [], []
    for seed in range(200):
        x = shifted(200, 0.0, seed)[:, 0]
        correct, weights = x > -1, (x - 0.5).exp()
        plain.append(importance_weighted_mean(correct, weights))
        controlled.append(importance_weighted_mean(correct, weights, control_variate=True))
    assert np.std(controlled) < np.std(plain) / 2
    assert np.mean(controlled) == pytest.approx(0.977, abs=0.02)  # Φ(2)


def test_weights_that_are_all_alike_give_the_plain_mean() -> None:
    values = torch.tensor([1.0, 0.0, 1.0])
    for control_variate in (False, True):
        assert importance_weighted_mean(values, torch.ones(3), control_variate=control_variate) == pytest.approx(2 / 3)


def test_rank_correlation_is_spearmans() -> None:
    assert rank_correlation([1.0, 2.0, 30.0], [0.1, 0.2, 0.3]) == pytest.approx(1)
    assert rank_correlation([3.0, 2.0, 1.0], [0.1, 0.2, 0.3]) == pytest.approx(-1)
    assert rank_correlation([1.0, 2.0, 3.0, 4.0], [0.1, 0.3, 0.2, 0.4]) == pytest.approx(0.8)
    assert rank_correlation([1.0, 1.0, 2.0], [0.1, 0.2, 0.3]) == pytest.approx(math.sqrt(3) / 2)


@pytest.mark.parametrize(("scores", "accuracies"), [
    ([], []), ([1.0, 2.0], [0.1, 0.2]), ([1.0, 1.0, 1.0], [0.1, 0.2, 0.3]), ([1.0, 2.0, 3.0], [0.5, 0.5, 0.5]),
    ([1.0, math.nan, 3.0], [0.1, 0.2, 0.3]),
])  # fmt: skip
def test_a_rank_correlation_that_says_nothing_is_none(scores: list[float], accuracies: list[float]) -> None:
    assert rank_correlation(scores, accuracies) is None


def test_errors() -> None:
    with pytest.raises(ValueError, match="two rows or more"):
        soft_neighbourhood_density(torch.ones(1, 3))
    for wrong in ({"temperature": 0.0}, {"chunk": 0}):
        with pytest.raises(ValueError, match="above zero"):
            soft_neighbourhood_density(torch.ones(2, 3), **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\(3,\) and \(2,\)"):
        importance_weighted_mean(torch.ones(3), torch.ones(2))
    with pytest.raises(ValueError, match="two rows a domain"):
        density_ratio(torch.ones(1, 3), torch.ones(4, 3))
    with pytest.raises(ValueError, match="3 scores for 2 accuracies"):
        rank_correlation([1, 2, 3], [1, 2])
