"""Fréchet distance between two sets of features, without a matrix square root. Plain torch, LAPACK and torchmetrics."""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import eigh, eigvalsh
from scipy.linalg.blas import dsymm, dsyrk
from scipy.linalg.lapack import dpotrf, dpstrf, dsygst
from torch import Tensor
from torchmetrics import Metric

from lhy_lightning.metrics.generation.feature_statistics import FeatureStatistics, check_enough

EXACT = 1e-9  # of a covariance's trace, what its root may be off by


# --- symmetric matrices --------------------------------------------------------------------------------------------
# LAPACK on the CPU, also for features on a GPU: few GPUs are fast in float64. torch has no routine that reads one half
# of a symmetric matrix only, but eigenvalues and Cholesky. Arrays are float64, with columns innermost.


def covariance_root(covariance: Tensor) -> Tensor:
    """R with R Rᵀ = covariance: Cholesky's triangle, with pivots where rank is not full.

    Args:
        covariance: (D, D), symmetric, of any rank. Eigenvalues that rounding has brought below zero count as zero.

    Returns:
        (D, D) float64 lower triangular at full rank; otherwise (D, rank), with no column for what is zero to rounding.
        On the CPU.
    """
    return torch.from_numpy(_root(_lapack(covariance)))


def root_of_product_trace(root: Tensor, covariance: Tensor) -> Tensor:
    """tr((R Rᵀ S)^½), from the eigenvalues of the symmetric Rᵀ S R.

    Args:
        root: R, (D, rank), as `covariance_root` gives it: a triangle where rank is D.
        covariance: S, (D, D).

    Returns:
        Scalar float64 on the CPU.
    """
    return torch.tensor(_root_of_product_trace(_lapack(root.T), _lapack(covariance)), dtype=torch.float64)


def _lapack(matrix: Tensor) -> np.ndarray:
    """The transposed (which is the same of a symmetric one), columns innermost, without a copy where rows were."""
    return np.asfortranarray(matrix.detach().double().cpu().numpy().T)


def _root(covariance: np.ndarray) -> np.ndarray:
    size = len(covariance)
    triangle: np.ndarray
    triangle, failed = dpotrf(covariance, lower=1)
    if not failed:
        return triangle
    # what failed was one pivot at least: size - 1 columns are enough, so that only a triangle has `size`
    triangle, order, rank, _ = dpstrf(covariance, lower=1)
    rank = min(rank, size - 1)
    root = np.zeros((size, rank), order="F")
    root[order - 1] = np.tril(triangle[:, :rank])
    trace = covariance.trace()
    if abs(np.square(root).sum() - trace) <= EXACT * trace:
        return root
    values, vectors = eigh(covariance, lower=True)  # 20 times slower, but sure below zero too
    kept = values > abs(values).max() * size * np.finfo(values.dtype).eps
    kept[0] = False
    return np.asfortranarray(vectors[:, kept] * np.sqrt(values[kept]))


def _root_of_product_trace(root: np.ndarray, covariance: np.ndarray) -> float:
    if root.shape[1] == 0:  # of no rank: LAPACK takes no empty matrix, which scipy keeps from it since 1.14 only
        return 0.0
    if root.shape[0] == root.shape[1]:
        product, _ = dsygst(covariance, root, itype=2, lower=1)
    else:
        product = root.T @ dsymm(1.0, covariance, root, lower=1)
    values = eigvalsh(product, lower=True, overwrite_a=True)
    return float(np.sqrt(values.clip(min=0)).sum())


def frechet_distance(
    mean1: Tensor, covariance1: Tensor, mean2: Tensor, covariance2: Tensor, *, root1: Tensor | None = None
) -> Tensor:
    """Squared Fréchet (2-Wasserstein) distance of two normal distributions, the figure that FID reports.

    |m1 − m2|² + tr(S1) + tr(S2) − 2 tr((S1 S2)^½): equation 6 of Heusel et al. 2017
    (https://arxiv.org/abs/1706.08500). With S1 = R Rᵀ, S1 S2 has the eigenvalues of the symmetric Rᵀ S2 R: none is
    imaginary, and covariances of any rank will do.

    Args:
        mean1, mean2: (D,).
        covariance1, covariance2: (D, D).
        root1: `covariance_root(covariance1)`, where it is known.

    Returns:
        Scalar float64, at least 0.

    Raises:
        ValueError: shapes do not fit, or a number is not finite.
    """
    statistics = (mean1, covariance1, mean2, covariance2)
    mean1, covariance1, mean2, covariance2 = (x.double() for x in statistics)
    features = mean1.numel()
    shapes = [tuple(x.shape) for x in statistics]
    if shapes != [(features,), (features, features)] * 2:
        raise ValueError(f"expected means (D,) and covariances (D, D) of one D, not {', '.join(map(str, shapes))}")
    traces = covariance1.trace(), covariance2.trace()
    if not (torch.stack(traces).isfinite().all() & mean1.isfinite().all() & mean2.isfinite().all()):
        raise ValueError("the features' mean or covariance is not finite: look for NaN in the pictures or features")
    root = covariance_root(covariance1) if root1 is None else root1
    overlap = root_of_product_trace(root, covariance2)
    return _distance(mean1, traces[0], mean2, traces[1], overlap)


def frechet_distance_of_samples(features1: Tensor, features2: Tensor) -> Tensor:
    """The same, of the samples' own means and covariances (over N − 1), at the least cost for their number.

    With X, Y the centred features over √(N − 1), tr((S1 S2)^½) is the sum of the singular values of X Yᵀ, which is
    (N1, N2): no covariance is formed where both sets are smaller than D. Where one is, its covariance is not.

    Args:
        features1: (N1, D).
        features2: (N2, D).

    Returns:
        Scalar float64, at least 0.

    Raises:
        ValueError: shapes do not fit, fewer than two samples, or a feature that is not finite.

    Example:
        >>> import torch
        >>> from lhy_lightning import frechet_distance_of_samples
        >>> features = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
        >>> round(abs(frechet_distance_of_samples(features, features).item()), 4)
        0.0
    """
    if features1.ndim != 2 or features1.shape[1:] != features2.shape[1:]:
        raise ValueError(
            f"expected features (N1, D) and (N2, D), not {tuple(features1.shape)} and {tuple(features2.shape)}"
        )
    if len(features1) > len(features2):  # the distance is symmetric
        features1, features2 = features2, features1
    if len(features1) < 2:
        raise ValueError(f"a covariance takes at least two samples, not {len(features1)}")
    if not (features1.isfinite().all() & features2.isfinite().all()):
        raise ValueError("a feature is not finite: look for NaN in the pictures or in the feature network")
    features1, features2 = features1.double(), features2.double()
    mean1, mean2 = features1.mean(0), features2.mean(0)
    x = (features1 - mean1) / (len(features1) - 1) ** 0.5
    y = (features2 - mean2) / (len(features2) - 1) ** 0.5
    dimension = x.shape[1]
    if len(y) < dimension:
        overlap = torch.linalg.svdvals(x @ y.T).sum()
    else:
        columns1, columns2 = _lapack(x), _lapack(y)  # (D, N)
        root = columns1 if len(x) < dimension else _root(dsyrk(1.0, columns1, lower=1))
        overlap = torch.tensor(_root_of_product_trace(root, dsyrk(1.0, columns2, lower=1)), dtype=torch.float64)
    return _distance(mean1, x.square().sum(), mean2, y.square().sum(), overlap)


def _distance(mean1: Tensor, trace1: Tensor, mean2: Tensor, trace2: Tensor, overlap: Tensor) -> Tensor:
    return ((mean1 - mean2).square().sum() + trace1 + trace2 - 2 * overlap).clamp(min=0)


def distance_name(network: object) -> str:
    """What the distance in this network's features may be called: "fid" is kept for the published Inception's.

    Args:
        network: a feature network; its `name` is used where it has one.
    """
    if getattr(network, "published", False):
        return "fid"
    return f"frechet_{getattr(network, 'name', type(network).__name__.lower())}"


class FrechetDistance(Metric):
    """Fréchet distance of generated features from real ones, exact over batches and ranks.

    Keeps count, sum and sum of outer products, float64: 32 MiB a side at 2,048 features, however many samples.

    Args:
        num_features: D.
        real: statistics of the real features; None to collect them with `update(features, real=True)`. Given ones
            outlive `reset`, and their root is taken once.
        allow_few: also give a distance of fewer samples than features: it is too large by much.

    Raises:
        ValueError: on `compute`, fewer samples than features (or than two), or features that are not finite.
    """

    full_state_update = False
    higher_is_better = False

    real_count: Tensor
    real_sum: Tensor
    real_outer: Tensor
    count: Tensor
    sum: Tensor
    outer: Tensor

    def __init__(self, num_features: int, *, real: FeatureStatistics | None = None, allow_few: bool = False) -> None:
        super().__init__()
        if real is not None and real.mean.numel() != num_features:
            raise ValueError(f"the real statistics have {real.mean.numel()} features, not num_features={num_features}")
        self.num_features, self.real, self.allow_few = num_features, real, allow_few
        self._root: Tensor | None = None
        for prefix in ("",) if real is not None else ("", "real_"):
            self.add_state(f"{prefix}count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
            shape: tuple[int, ...] = (num_features,)
            self.add_state(f"{prefix}sum", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(f"{prefix}outer", torch.zeros(shape * 2, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, features: Tensor, real: bool = False) -> None:
        """Takes a batch of features (N, D).

        Raises:
            ValueError: another shape, or real features where their statistics were given.
        """
        if features.ndim != 2 or features.shape[1] != self.num_features:
            raise ValueError(f"expected features (N, {self.num_features}), not {tuple(features.shape)}")
        if real and self.real is not None:
            raise ValueError("the real statistics were given: no real features can be added to them")
        features = features.detach().double()
        prefix = "real_" if real else ""
        for name, more in (("count", len(features)), ("sum", features.sum(0)), ("outer", features.T @ features)):
            setattr(self, prefix + name, getattr(self, prefix + name) + more)

    def compute(self) -> Tensor:
        """The distance, scalar float64. Over ranks this is a collective call."""
        generated = FeatureStatistics.from_sums(self.sum, self.outer, int(self.count))
        real = self.real
        if real is None:
            real = FeatureStatistics.from_sums(self.real_sum, self.real_outer, int(self.real_count))
        for which, statistics in (("generated", generated), ("real", real)):
            check_enough(statistics.count, self.num_features, which=which, allow_few=self.allow_few)
        mean, covariance = real.mean.to(self.sum), real.covariance.to(self.sum)
        if self.real is None:
            return frechet_distance(mean, covariance, generated.mean, generated.covariance)
        if self._root is None:
            self._root = covariance_root(covariance)
        return frechet_distance(mean, covariance, generated.mean, generated.covariance, root1=self._root)
