"""How far two domains' features lie apart, by their moments: rivals of a domain classifier without training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lhy_lightning.layers.precision import widened

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


def mmd(
    source: Tensor, target: Tensor, *, factors: Sequence[float] = FACTORS, bandwidth: float | None = None
) -> Tensor:
    """Squared maximum mean discrepancy under a mean of Gaussian kernels (multi-kernel MMD).

    E k(s, s') + E k(t, t') - 2 E k(s, t), section 3 of Long et al. 2015 (https://arxiv.org/abs/1502.02791), with
    k(x, y) = mean over factors of exp(-||x - y||^2 / (factor * bandwidth)). The *biased* estimate: rows are compared
    with themselves too, so it is never below zero, is zero for equal samples, and for two samples of one distribution
    is of the order of 1/N + 1/M.

    Args:
        source: (N, D); receives a gradient.
        target: (M, D); receives a gradient.
        factors: of the bandwidth; the authors' code has these five.
        bandwidth: of ||x - y||^2; None takes its mean over all pairs of different rows of both domains, without
            gradient, as the authors' code does.

    Returns:
        Scalar float32.

    Raises:
        ValueError: not (N, D) and (M, D), a domain without rows, no factor, or factors or a bandwidth not above
            zero.
    """
    _check(source, target, rows=1)
    if not factors or min(factors) <= 0 or (bandwidth is not None and bandwidth <= 0):
        raise ValueError(f"factors and bandwidth of kernels are above zero, not {tuple(factors)} and {bandwidth}")
    n, m = len(source), len(target)
    distances = _squared_distances(torch.cat([widened(source), widened(target)]))  # (N + M, N + M)
    if bandwidth is None:
        mean = distances.detach().sum() / ((n + m) * (n + m - 1))
        scale = mean.clamp(min=torch.finfo(mean.dtype).tiny)  # all rows equal: every kernel is 1
    else:
        scale = distances.new_tensor(bandwidth)
    kernel = torch.stack([(-distances / (factor * scale)).exp() for factor in factors]).mean(0)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def coral(source: Tensor, target: Tensor) -> Tensor:
    """Distance of the two domains' feature covariances.

    ||C_S - C_T||_F^2 / (4 D^2), equations 1 to 3 of Sun and Saenko 2016 (https://arxiv.org/abs/1607.01719), each
    covariance divided by its rows less one.

    Args:
        source: (N, D).
        target: (M, D).

    Returns:
        Scalar float32.

    Raises:
        ValueError: not (N, D) and (M, D), or a domain with fewer than two rows.
    """
    _check(source, target, rows=2)
    difference = _covariance(widened(source)) - _covariance(widened(target))  # (D, D)
    return difference.square().sum() / (4 * source.shape[1] ** 2)


def _squared_distances(rows: Tensor) -> Tensor:
    """(N, D) to (N, N); exactly zero on the diagonal."""
    with torch.autocast(rows.device.type, enabled=False):
        rows = rows - rows.mean(0).detach()  # distances stay, and less is lost in the differences of squares
        products = rows @ rows.T
        squares = products.diagonal()
        return (squares[:, None] + squares[None, :] - 2 * products).clamp(min=0)


def _covariance(rows: Tensor) -> Tensor:
    """(N, D) to (D, D)."""
    with torch.autocast(rows.device.type, enabled=False):
        centred = rows - rows.mean(0)
        return centred.T @ centred / (len(rows) - 1)


def _check(source: Tensor, target: Tensor, *, rows: int) -> None:
    if source.dim() != 2 or target.dim() != 2 or source.shape[1] != target.shape[1]:
        raise ValueError(f"features are (N, D) and (M, D), not {tuple(source.shape)} and {tuple(target.shape)}")
    if min(len(source), len(target)) < rows:
        raise ValueError(f"a domain has at least {rows} rows, not {len(source)} of source and {len(target)} of target")
