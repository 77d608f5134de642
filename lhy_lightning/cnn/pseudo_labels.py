"""Pseudo-labels by relabelling: the network names unlabelled pictures every few epochs and learns from its answers."""

from __future__ import annotations

from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from lhy_lightning.cnn.classifier import ImageClassifier, ImageClassifierArguments
from lhy_lightning.core.arguments.ranges import COUNT, NOT_NEGATIVE, SHARE, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import PseudoLabelBatch
from lhy_lightning.training.module import EvaluatedSplit


class PseudoLabelClassifier(ImageClassifier):
    """Self-training (Lee 2013, "Pseudo-Label", and the strong level of homework 3).

    Every `relabel_every_n_epochs` epochs, once val/accuracy has reached `start_accuracy`, all unlabelled pictures are
    classified in evaluation mode and without augmentation; those whose probability reaches `threshold` are learned
    from with the predicted class, at the weight `pseudo_label_weight`, until the next relabelling. Validation pictures
    are never among them. Logs `pseudo/labelled`, and `pseudo/accuracy` (not a number where no true label is known). The
    labels are part of the data module's state, so a resumed run goes on with the same ones.

    Args:
        relabel_every_n_epochs: epochs from one labelling to the next.
        start_accuracy: validation accuracy that has to be reached first; labels from a bad network do harm.
        threshold: probability from which a prediction becomes a label.
        pseudo_label_weight: weight of the loss on pseudo-labelled pictures (alpha in the paper).
        arguments: as in `ImageClassifier`.

    Example:
        >>> import torch
        >>> from lhy_lightning import PseudoLabelClassifier
        >>> model = PseudoLabelClassifier(network="vgg", depth=3, width=4, num_classes=2, image_size=8, channels=1)
        >>> tuple(model(torch.zeros(3, 1, 8, 8)).shape)
        (3, 2)
    """

    argument_ranges = ranges(
        relabel_every_n_epochs=COUNT, start_accuracy=SHARE, threshold=SHARE, pseudo_label_weight=NOT_NEGATIVE
    )

    later_metrics = ("pseudo/*",)

    def __init__(
        self,
        *,
        relabel_every_n_epochs: int = 5,
        start_accuracy: float = 0.5,
        threshold: float = 0.95,
        pseudo_label_weight: float = 1.0,
        **arguments: Unpack[ImageClassifierArguments],
    ) -> None:
        super().__init__(**arguments)
        self.relabel_every_n_epochs, self.start_accuracy = relabel_every_n_epochs, start_accuracy
        self.threshold, self.pseudo_label_weight = threshold, pseudo_label_weight
        self.pseudo_figures = {"pseudo/labelled": 0.0, "pseudo/accuracy": float("nan")}

    def training_step(self, batch: PseudoLabelBatch, batch_idx: int) -> Tensor:  # type: ignore[override]
        assert self.network is not None
        images, labelled = batch["image"], len(batch["label"])
        if "pseudo_image" in batch:  # absent before the first labelling
            images = torch.cat((images, batch["pseudo_image"]))
        logits = self.network(self.layout(images))
        supervised = self.loss(logits[:labelled], batch)
        pseudo = torch.zeros_like(supervised)
        if "pseudo_image" in batch:
            pseudo = self.loss(logits[labelled:], {"label": batch["pseudo_label"]})
        losses = {"train/loss": supervised, "train/pseudo_loss": pseudo}
        self.log_training(batch_idx, logits[:labelled], batch["label"], losses)
        return supervised + self.pseudo_label_weight * pseudo

    def report(self, split: EvaluatedSplit) -> None:
        super().report(split)
        if self.trainer.state.fn != "fit" or self.trainer.sanity_checking:
            return
        due = (self.trainer.current_epoch + 1) % self.relabel_every_n_epochs == 0
        if due and self.last_accuracy is not None and self.last_accuracy >= self.start_accuracy:
            self.relabel()
        self.log_dict(self.pseudo_figures, sync_dist=True)

    @torch.no_grad()
    def relabel(self) -> None:
        """Labels every unlabelled picture that the network is sure of; all ranks end up with the same labels."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        truth: Tensor = data.unlabelled_truth.to(self.device)
        # each rank fills in its own rows, the sum over ranks is the whole
        predicted = torch.zeros(len(truth), dtype=torch.int64, device=self.device)
        confidence = torch.zeros(len(truth), device=self.device)
        for host_batch in data.unlabelled_loader():
            batch = move_data_to_device(host_batch, self.device)  # the loader gives pictures in [-1, 1] already
            with self.trainer.precision_plugin.val_step_context():
                best = self(batch["image"]).float().softmax(1).max(1)
            predicted[batch["index"]] = best.indices
            confidence[batch["index"]] = best.values
        predicted = self.trainer.strategy.reduce(predicted, reduce_op="sum")
        confidence = self.trainer.strategy.reduce(confidence, reduce_op="sum")
        chosen = (confidence >= self.threshold).nonzero().squeeze(1)
        data.set_pseudo_labels(chosen.cpu(), predicted[chosen].cpu())
        known = chosen[truth[chosen] >= 0]
        right = (predicted[known] == truth[known]).float().mean()  # not a number where no truth is known
        self.pseudo_figures = {"pseudo/labelled": float(len(chosen)), "pseudo/accuracy": float(right)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["pseudo_figures"] = dict(self.pseudo_figures)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.pseudo_figures = dict(checkpoint.get("pseudo_figures", self.pseudo_figures))
