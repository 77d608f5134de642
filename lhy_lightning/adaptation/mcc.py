"""`MCC`: target classes that are not confused with each other, without any domain classifier."""

from __future__ import annotations

from lhy_lightning.adaptation.adaptation import AdaptationArguments
from lhy_lightning.adaptation.source_only import SourceOnly
from lhy_lightning.core.arguments.signatures import Unpack


class MCC(SourceOnly):
    """Minimum class confusion (Jin et al. 2020, https://arxiv.org/abs/1912.03699): class loss of the source plus the
    confusion of target predictions.

    Args:
        arguments: as in `AdaptationModule`.

    Example:
        >>> import torch
        >>> from lhy_lightning import MCC
        >>> module = MCC(num_classes=10, image_size=16, channels=3, width=4, label_hidden=(8,))
        >>> logits = module(torch.zeros(2, 3, 16, 16))
        >>> tuple(logits.shape)
        (2, 10)
    """

    def __init__(  # type: ignore[misc]  # a default is restated
        self, *, confusion_weight: float = 1.0, **arguments: Unpack[AdaptationArguments]
    ) -> None:
        super().__init__(confusion_weight=confusion_weight, **arguments)
