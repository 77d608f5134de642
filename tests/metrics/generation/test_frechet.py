"""Fréchet distance: known normal distributions exactly, any rank, any split into batches and ranks."""

import pytest
import torch
from torch import Tensor

from lhy_lightning.metrics.generation.feature_statistics import FeatureStatistics
from lhy_lightning.metrics.generation.frechet import (
    FrechetDistance,
    covariance_root,
    distance_name,
    frechet_distance,
    frechet_distance_of_samples,
    root_of_product_trace,
)


def plain_distance(x: Tensor, y: Tensor) -> float:
    """The definition, with the eigenvalues of the product, which is not symmetric."""
    a, b = FeatureStatistics.of(x), FeatureStatistics.of(y)
    roots = torch.linalg.eigvals(a.covariance @ b.covariance).sqrt().real.sum()
    gap = (a.mean - b.mean).square().sum()
    return float(gap + a.covariance.trace() + b.covariance.trace() - 2 * roots)


def samples(rows: int, features: int, seed: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(features, features, generator=generator)
    return scale * torch.randn(rows, features, generator=generator) @ mix + seed


def test_shifting_a_normal_distribution_costs_the_square_of_the_shift() -> None:
    shift = torch.tensor([3.0, 4.0])
    assert frechet_distance(torch.zeros(2), torch.eye(2), shift, torch.eye(2)).item() == 25.0


def test_covariances_that_commute_differ_by_their_standard_deviations() -> None:
    # (1 − 2)² + (3 − 1)² = 5
    a, b = torch.diag(torch.tensor([1.0, 9.0])), torch.diag(torch.tensor([4.0, 1.0]))
    assert frechet_distance(torch.zeros(2), a, torch.zeros(2), b).item() == pytest.approx(5.0, abs=1e-12)


def test_two_by_two_covariances_that_do_not_commute_follow_the_closed_form() -> None:
    # tr (A B)^½ = √(tr AB + 2 √det AB) for 2x2
    a, b = torch.tensor([[2.0, 1.0], [1.0, 3.0]]), torch.tensor([[1.0, -0.5], [-0.5, 2.0]])
    expected = 3 + 5 - 2 * (7 + 2 * (5 * 1.75) ** 0.5) ** 0.5
    assert frechet_distance(torch.zeros(2), a, torch.zeros(2), b).item() == pytest.approx(expected, abs=1e-12)


def test_covariances_without_full_rank_need_no_offset() -> None:
    x, y, zero = torch.tensor([1.0, 0, 0]), torch.tensor([0, 2.0, 0]), torch.zeros(3)
    apart = frechet_distance(zero, torch.outer(x, x), zero, torch.outer(y, y))
    assert apart.item() == pytest.approx(1 + 4)  # they share no direction
    along = frechet_distance(zero, torch.outer(x, x), zero, 9 * torch.outer(x, x))
    assert along.item() == pytest.approx((1 - 3) ** 2)
    point = frechet_distance(zero, torch.zeros(3, 3), x, torch.outer(y, y))
    assert point.item() == pytest.approx(1 + 4)


def test_a_covariance_root_is_a_triangle_or_has_as_many_columns_as_the_rank() -> None:
    for rows, shape in ((30, (8, 8)), (5, (8, 4))):
        covariance = FeatureStatistics.of(samples(rows, 8, 1)).covariance
        root = covariance_root(covariance)
        assert root.shape == shape
        torch.testing.assert_close(root @ root.T, covariance)
        assert torch.equal(root, root.tril()) == (rows == 30)


@pytest.mark.parametrize("rank", range(8))
def test_the_trace_is_the_definition_s_whatever_the_rank_of_either_covariance(rank: int) -> None:
    full = FeatureStatistics.of(samples(30, 7, 1)).covariance
    part = samples(rank, 7, 2).double()
    other = part.T @ part
    expected = torch.linalg.eigvals(full @ other).abs().sqrt().sum().item()
    for first, second in ((full, other), (other, full)):
        found = root_of_product_trace(covariance_root(first), second).item()
        assert found == pytest.approx(expected, rel=1e-5)


def test_features_that_never_vary_have_a_root_of_rounding_or_none() -> None:
    still = samples(1, 7, 1).double().expand(9, 7)
    rounding = FeatureStatistics.from_sums(still.sum(0), still.T @ still, 9).covariance
    assert covariance_root(rounding).square().sum() < 1e-12 * still.square().sum()
    assert covariance_root(torch.zeros(7, 7)).shape == (7, 0)


def test_a_direction_of_negative_variance_counts_as_one_without() -> None:
    root = covariance_root(torch.tensor([[1.0, 2.0], [2.0, 1.0]]))  # eigenvalues 3 and -1
    torch.testing.assert_close(root @ root.T, torch.full((2, 2), 1.5, dtype=torch.float64))


@pytest.mark.parametrize("rows", [40, 12, 5], ids=["full rank", "nearly full", "few"])
def test_float32_covariances_whose_rounding_makes_variances_negative_will_do(rows: int) -> None:
    x, y = samples(rows, 12, 1).double(), samples(60, 12, 2).double()
    a, b = FeatureStatistics.of(x), FeatureStatistics.of(y)
    exact = frechet_distance(a.mean, a.covariance, b.mean, b.covariance).item()
    rounded = frechet_distance(a.mean.float(), a.covariance.float(), b.mean.float(), b.covariance.float()).item()
    assert rounded == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize(
    ("rows1", "rows2"), [(10, 12), (10, 90), (90, 10), (80, 90)], ids=["both few", "first few", "second few", "many"]
)
def test_samples_give_the_distance_of_their_covariances(rows1: int, rows2: int) -> None:
    x, y = samples(rows1, 20, 1), samples(rows2, 20, 2, 0.3)
    found = frechet_distance_of_samples(x, y).item()
    a, b = FeatureStatistics.of(x), FeatureStatistics.of(y)
    assert found == pytest.approx(frechet_distance(a.mean, a.covariance, b.mean, b.covariance).item(), rel=1e-7)
    assert found == pytest.approx(plain_distance(x, y), rel=1e-5)


def test_it_is_symmetric_and_zero_for_equal_samples() -> None:
    x, y = samples(60, 20, 1), samples(50, 20, 2)
    assert frechet_distance_of_samples(x, y).item() == pytest.approx(frechet_distance_of_samples(y, x).item())
    scale = x.var(0).sum().item()
    assert 0 <= frechet_distance_of_samples(x, x).item() < 1e-6 * scale
    assert 0 <= frechet_distance_of_samples(x[:10], x[:10]).item() < 1e-6 * scale


def test_batches_and_ranks_in_any_split_give_the_distance_of_all_rows() -> None:
    x, y = samples(40, 6, 1), samples(37, 6, 2)
    first, second = FrechetDistance(6), FrechetDistance(6)
    first.update(x[:33], real=True)
    second.update(x[33:], real=True)
    for part in y[:20].split(7):
        first.update(part)
    second.update(y[20:])
    first.merge_state(second)
    assert first.compute().item() == pytest.approx(frechet_distance_of_samples(x, y).item(), rel=1e-9)
    assert first.count.item() == 37


def test_given_real_statistics_outlive_a_reset() -> None:
    x, y, z = samples(40, 6, 1), samples(37, 6, 2), samples(30, 6, 3)
    distance = FrechetDistance(6, real=FeatureStatistics.of(x))
    for generated in (y, z):
        distance.reset()
        distance.update(generated)
        assert distance.compute().item() == pytest.approx(frechet_distance_of_samples(x, generated).item(), rel=1e-9)
    with pytest.raises(ValueError, match="were given"):
        distance.update(x, real=True)
    assert not distance.state_dict()


def test_fewer_samples_than_features_are_refused_unless_allowed() -> None:
    x, y = samples(40, 6, 1), samples(5, 6, 2)
    distance = FrechetDistance(6, real=FeatureStatistics.of(x))
    distance.update(y)
    with pytest.raises(ValueError, match=r"5 generated samples are fewer than the 6 features.*allow_few"):
        distance.compute()
    distance = FrechetDistance(6, real=FeatureStatistics.of(x), allow_few=True)
    distance.update(y)
    assert distance.compute().item() == pytest.approx(plain_distance(x, y), rel=1e-5)
    distance.reset()
    distance.update(y[:1])
    with pytest.raises(ValueError, match="at least two generated samples, there are 1"):
        distance.compute()


def test_what_cannot_be_compared_is_named() -> None:
    with pytest.raises(ValueError, match=r"expected means \(D,\)"):
        frechet_distance(torch.zeros(2), torch.eye(3), torch.zeros(2), torch.eye(2))
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance(torch.zeros(2), torch.eye(2), torch.tensor([0.0, torch.nan]), torch.eye(2))
    hole, fine = torch.tensor([[1.0, torch.nan], [torch.nan, 1.0]]), torch.eye(2)
    for first, second in ((hole, fine), (fine, hole)):
        with pytest.raises(ValueError, match="NaN"):
            frechet_distance(torch.zeros(2), first, torch.zeros(2), second)
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance_of_samples(torch.full((3, 2), torch.inf), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="at least two samples, not 1"):
        frechet_distance_of_samples(torch.zeros(1, 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"expected features \(N1, D\)"):
        frechet_distance_of_samples(torch.zeros(3, 2), torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"expected features \(N, 6\)"):
        FrechetDistance(6).update(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="have 2 features, not num_features=6"):
        FrechetDistance(6, real=FeatureStatistics.of(torch.zeros(3, 2)))


def test_only_the_published_inception_gives_a_fid() -> None:
    class Published:
        published, name = True, "inception"

    class Retrained:
        published, name = False, "inception"

    assert distance_name(Published()) == "fid"
    assert distance_name(Retrained()) == "frechet_inception"
    assert distance_name(torch.nn.Flatten()) == "frechet_flatten"
