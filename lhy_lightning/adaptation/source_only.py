"""`SourceOnly`: no adaptation at all, the figure to beat; and on labelled target pictures, the figure to reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lhy_lightning.adaptation.adaptation import AdaptationModule
from lhy_lightning.data.batches import DomainBatch, ImageBatch


class SourceOnly(AdaptationModule):
    """Learns from the labels of the source. The lower bound of an adaptation.

    With `--data.train_on target` it learns from the labels of the target instead: the upper bound, and with
    `--data.target_labels_per_class` and `start_from` the fine-tuning on a few of them. With one of the target terms,
    such as `confusion_weight`, target pictures go through the network too, without their labels.

    Args:
        arguments: as in `AdaptationModule`.

    Example:
        >>> import torch
        >>> from lhy_lightning import SourceOnly
        >>> module = SourceOnly(num_classes=10, image_size=16, channels=3, width=4, label_hidden=(8,))
        >>> logits = module(torch.zeros(2, 3, 16, 16))
        >>> tuple(logits.shape)
        (2, 10)
    """

    @property
    def needs_target(self) -> bool:
        return bool(self.target_weights)

    @property
    def missing_keys(self) -> tuple[tuple[str, str], ...]:  # type: ignore[override]
        return ()  # labelled rows of either side

    def training_step(self, batch: DomainBatch | ImageBatch, batch_idx: int) -> None:
        super().training_step(batch, batch_idx)  # type: ignore[arg-type]  # `losses` takes both

    def losses(self, batch: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        _, predictor = self.built()
        if "source_image" not in batch:  # rows of the target, with their labels
            batch = {"target_image": batch["image"], "source_label": batch["label"]}
            logits = predictor(self.extract(batch["target_image"], 0))
            class_loss = self.class_loss(logits, batch)
            return class_loss, {"class_loss": class_loss}
        source = batch["source_image"]
        if not self.target_weights:
            if self.domain_norm:
                raise ValueError(
                    f"domain_norm={self.domain_norm}, but no target picture goes through the network: its target "
                    "statistics would never be learnt. Leave it out."
                )
            class_loss = self.class_loss(predictor(self.extract(source, len(source))), batch)
            return class_loss, {"class_loss": class_loss}
        return self.label_terms(self.label_logits(*self.features_of_both(batch)), batch)
