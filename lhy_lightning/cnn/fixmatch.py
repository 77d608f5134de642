"""FixMatch, semi-supervised learning: the weak view of an unlabelled image labels it, the strong view learns."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lhy_lightning.cnn.classifier import ImageClassifier, ImageClassifierArguments
from lhy_lightning.core.arguments.ranges import NOT_NEGATIVE, SHARE, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import WeakStrongBatch
from lhy_lightning.training.module import EvaluatedSplit


def fixmatch_loss(weak_logits: Tensor, strong_logits: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """Cross entropy of the strong view against the weak view's prediction, where that is confident.

    Equation 4 of Sohn et al. 2020 (https://arxiv.org/abs/2001.07685): the mean over *all* unlabelled pictures, those
    under the threshold counting zero, so that the loss grows with the number of confident ones.

    Args:
        weak_logits: (M, K), no gradient flows into them.
        strong_logits: (M, K).
        threshold: probability from which a prediction is a label (tau).

    Returns:
        Loss (scalar), labels (M,) int64, and whether each was confident enough (M,) bool.
    """
    confidence, label = weak_logits.detach().float().softmax(1).max(1)
    confident = confidence >= threshold
    rows = F.cross_entropy(strong_logits, label, reduction="none")
    return (rows * confident).mean(), label, confident


class FixMatchClassifier(ImageClassifier):
    """Trains on labelled pictures and, through two views, on unlabelled ones (FixMatch, Sohn et al. 2020).

    The data module gives both views (`unlabelled: weak_strong`). Logs at every validation, over the training batches
    since the last one: `pseudo/labelled` (confident views), `pseudo/mask_rate` (their share) and, where the true
    labels are known, `pseudo/accuracy`. Validation pictures are never among them.

    Args:
        threshold: probability from which the weak view's prediction is a label (tau).
        lambda_u: weight of the loss on unlabelled pictures.
        arguments: as in `ImageClassifier`.

    Example:
        >>> import torch
        >>> from lhy_lightning import FixMatchClassifier
        >>> model = FixMatchClassifier(network="vgg", depth=3, width=4, num_classes=2, image_size=8, channels=1)
        >>> tuple(model(torch.zeros(3, 1, 8, 8)).shape)
        (3, 2)
    """

    argument_ranges = ranges(threshold=SHARE, lambda_u=NOT_NEGATIVE)

    counts: Tensor
    truth: Tensor | None

    later_metrics = ("pseudo/*",)
    missing_keys = (
        (
            "weak_image",
            "FixMatch trains on two views of unlabelled pictures: give the data unlabelled='weak_strong' and "
            "unlabelled_per_batch, and unlabelled pictures",
        ),
    )

    def __init__(
        self, *, threshold: float = 0.95, lambda_u: float = 1.0, **arguments: Unpack[ImageClassifierArguments]
    ) -> None:
        super().__init__(**arguments)
        self.threshold, self.lambda_u = threshold, lambda_u
        # views seen, confident, confident with known truth, of these right: summed on the device, read at validation
        self.register_buffer("counts", torch.zeros(4), persistent=False)
        self.register_buffer("truth", None, persistent=False)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        data: Any = getattr(self.trainer, "datamodule", None)
        truth = getattr(data, "unlabelled_truth", None) if stage == "fit" else None
        self.truth = truth.to(self.device) if truth is not None and bool((truth >= 0).any()) else None

    def training_step(self, batch: WeakStrongBatch, batch_idx: int) -> Tensor:  # type: ignore[override]
        assert self.network is not None
        labelled = len(batch["label"])
        logits = self.network(self.layout(torch.cat((batch["image"], batch["strong_image"]))))
        with torch.no_grad():  # after the pass with gradients: autocast would keep these weights' copies for that one
            weak = self.network(self.layout(batch["weak_image"]))
        supervised = self.loss(logits[:labelled], batch)
        unsupervised, label, confident = fixmatch_loss(weak, logits[labelled:], self.threshold)
        self.count(batch["unlabelled_index"], label, confident)
        losses = {"train/loss": supervised, "train/unlabelled_loss": unsupervised}
        self.log_training(batch_idx, logits[:labelled], batch["label"], losses)
        return supervised + self.lambda_u * unsupervised

    def count(self, index: Tensor, label: Tensor, confident: Tensor) -> None:
        """Adds one batch to `counts`."""
        known = right = confident.new_zeros(()).sum()
        if self.truth is not None:
            truth = self.truth[index]
            known = ((truth >= 0) & confident).sum()
            right = ((truth == label) & confident).sum()
        self.counts += torch.stack((torch.full_like(known, len(label)), confident.sum(), known, right))

    def report(self, split: EvaluatedSplit) -> None:
        super().report(split)
        if self.trainer.state.fn != "fit" or self.trainer.sanity_checking:
            return
        counts: Any = self.trainer.strategy.reduce(self.counts.clone(), reduce_op="sum")
        seen, confident, known, right = counts.tolist()
        self.counts.zero_()
        figures = {"pseudo/labelled": confident, "pseudo/mask_rate": confident / max(seen, 1)}
        if self.truth is not None:
            figures["pseudo/accuracy"] = right / known if known else float("nan")
        self.log_dict(figures, sync_dist=True)
