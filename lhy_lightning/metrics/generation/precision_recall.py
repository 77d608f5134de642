"""Improved precision and recall: are samples like real ones, and do they cover them?"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lhy_lightning.metrics.generation.distances import kth_nearest_distance, squared_distances


class PrecisionRecall(NamedTuple):
    """Two shares between 0 and 1, scalars float64."""

    precision: Tensor
    recall: Tensor


def precision_recall(real: Tensor, generated: Tensor, *, k: int = 3, chunk: int = 1024) -> PrecisionRecall:
    """Precision: share of samples on the real pictures' manifold. Recall: share of real ones on the samples'.

    Kynkäänniemi et al. 2019 (https://arxiv.org/abs/1904.06991), equations 1 and 2: a manifold is the union of balls
    around its points that reach to their k-th nearest neighbour. Figures depend on the number of rows, which should
    be the same on both sides (the paper has 50,000).

    Args:
        real: features (N, D).
        generated: features (M, D).
        k: the paper's 3.
        chunk: rows whose distances are in memory at a time.

    Raises:
        ValueError: shapes do not fit, features that are not finite, or fewer than k + 1 rows on a side.

    Example:
        >>> import torch
        >>> from lhy_lightning import precision_recall
        >>> samples = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
        >>> precision_recall(samples, samples).recall.item()
        1.0
    """
    if real.ndim != 2 or real.shape[1:] != generated.shape[1:]:
        raise ValueError(f"expected features (N, D) and (M, D), not {tuple(real.shape)} and {tuple(generated.shape)}")
    if not (real.isfinite().all() & generated.isfinite().all()):
        raise ValueError("a feature is not finite: look for NaN in the pictures or in the feature network")
    real, generated = real.double(), generated.double()
    centre = real.mean(0)  # differences of small numbers keep more digits
    real, generated = real - centre, generated - centre
    real_radius, generated_radius = (kth_nearest_distance(x, k, chunk=chunk) for x in (real, generated))
    covered = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    inside = []
    for first in range(0, len(generated), chunk):
        part = slice(first, first + chunk)
        distances = squared_distances(generated[part], real)
        inside.append((distances <= real_radius).any(1))
        covered |= (distances <= generated_radius[part, None]).any(0)
    return PrecisionRecall(torch.cat(inside).double().mean(), covered.double().mean())


class ImprovedPrecisionRecall(Metric):
    """The same of features that come in batches, from all ranks; it keeps them all, float32.

    Args:
        num_features: D.
        real: real features (N, D) that outlive `reset`; None to collect them with `update(features, real=True)`.
        k: neighbours.
        chunk: rows whose distances are in memory at a time.
    """

    full_state_update = False

    real_features: list[Tensor]
    features: list[Tensor]

    def __init__(self, num_features: int, *, real: Tensor | None = None, k: int = 3, chunk: int = 1024) -> None:
        super().__init__()
        self.num_features, self.k, self.chunk = num_features, k, chunk
        self.real = None if real is None else self._checked(real)
        self.add_state("features", [], dist_reduce_fx="cat")
        if real is None:
            self.add_state("real_features", [], dist_reduce_fx="cat")

    def _checked(self, features: Tensor) -> Tensor:
        if features.ndim != 2 or features.shape[1] != self.num_features:
            raise ValueError(f"expected features (N, {self.num_features}), not {tuple(features.shape)}")
        return features.detach().float()

    def update(self, features: Tensor, real: bool = False) -> None:
        """Takes a batch of features (N, D).

        Raises:
            ValueError: another shape, or real features where they were given.
        """
        if real and self.real is not None:
            raise ValueError("the real features were given: no more can be added to them")
        (self.real_features if real else self.features).append(self._checked(features))

    def compute(self) -> PrecisionRecall:
        """Both shares, over all ranks' features: a collective call.

        Raises:
            ValueError: what `precision_recall` raises.
        """
        generated = dim_zero_cat(self.features)
        real = dim_zero_cat(self.real_features) if self.real is None else self.real.to(generated)
        return precision_recall(real, generated, k=self.k, chunk=self.chunk)

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gathers; a rank without rows takes part with none of this shape, where torchmetrics' own have another."""
        for name in self._defaults:
            if isinstance(getattr(self, name), list) and not getattr(self, name):
                setattr(self, name, [torch.empty(0, self.num_features, device=self.device)])
        super().sync(*args, **kwargs)
