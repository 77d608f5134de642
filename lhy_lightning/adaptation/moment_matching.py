"""`MomentMatching`: features of both domains with the same covariance, or the same mean in a kernel's space."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from lhy_lightning.adaptation.adaptation import AdaptationArguments, AdaptationModule
from lhy_lightning.adaptation.losses.moments import coral, mmd
from lhy_lightning.core.arguments.ranges import NOT_NEGATIVE, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import DomainBatch


class MomentMatching(AdaptationModule):
    """Class loss and a distance of source and target features, without an adversary.

    Args:
        distance: "coral", of covariances (Sun and Saenko 2016, https://arxiv.org/abs/1607.01719), or "mmd", of means
            under several Gaussian kernels (Long et al. 2015, https://arxiv.org/abs/1502.02791).
        distance_weight: of it.
        arguments: as in `AdaptationModule`.

    Raises:
        ValueError: another distance, or a negative weight.

    Example:
        >>> import torch
        >>> from lhy_lightning import MomentMatching
        >>> module = MomentMatching(num_classes=10, image_size=16, channels=3, width=4, label_hidden=(8,))
        >>> logits = module(torch.zeros(2, 3, 16, 16))
        >>> tuple(logits.shape)
        (2, 10)
    """

    argument_ranges = ranges(distance_weight=NOT_NEGATIVE)

    def __init__(
        self,
        *,
        distance: Literal["coral", "mmd"] = "coral",
        distance_weight: float = 1.0,
        **arguments: Unpack[AdaptationArguments],
    ) -> None:
        super().__init__(**arguments)
        self.distance, self.distance_weight = {"coral": coral, "mmd": mmd}[distance], distance_weight

    def losses(self, batch: DomainBatch) -> tuple[Tensor, dict[str, Tensor]]:
        source, target = self.features_of_both(batch)
        label, figures = self.label_terms(self.label_logits(source, target), batch)
        distance = self.distance(source, target)
        return label + self.distance_weight * distance, {**figures, "distance": distance}
