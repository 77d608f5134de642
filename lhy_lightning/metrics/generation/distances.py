"""Nearest neighbours among rows of features, a block of the distance matrix at a time."""

from __future__ import annotations

import torch
from torch import Tensor


def squared_distances(queries: Tensor, points: Tensor) -> Tensor:
    """Squared Euclidean distances (N, M) float64 of rows (N, D) from rows (M, D), by one matrix product.

    In float64, as the product loses half of the digits where two rows nearly agree; they should be near the origin.
    """
    queries, points = queries.double(), points.double()
    squares = queries.square().sum(1, keepdim=True) + points.square().sum(1)
    return torch.addmm(squares, queries, points.T, alpha=-2).clamp(min=0)


def kth_nearest_distance(points: Tensor, k: int, *, chunk: int = 1024) -> Tensor:
    """Squared distance of each row of (N, D) from its k-th nearest *other* row, (N,) float64.

    Args:
        points: (N, D).
        k: 1 for the nearest.
        chunk: rows whose distances are in memory at a time, chunk * N * 8 bytes.

    Raises:
        ValueError: fewer than k + 1 rows.
    """
    if not 1 <= k < len(points):
        raise ValueError(f"{len(points)} rows have no neighbour number {k}: k goes from 1 to one less than the rows")
    found = []
    for first in range(0, len(points), chunk):
        distances = squared_distances(points[first : first + chunk], points)
        own = torch.arange(len(distances), device=points.device)
        distances[own, first + own] = torch.inf  # a copy of the row counts, the row itself does not
        found.append(distances.kthvalue(k, dim=1).values)
    return torch.cat(found)
