"""`MCD`: two label predictors that find where they disagree on the target, and an extractor that avoids it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lhy_lightning.adaptation.adaptation import AdaptationArguments, AdaptationModule
from lhy_lightning.adaptation.losses.classifier_discrepancy import classifier_discrepancy
from lhy_lightning.core.arguments.ranges import CLIP, COUNT, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import DomainBatch


class TwoLabelPredictors(nn.Module):
    """Two label predictors on the same features, whose mean logits are the prediction."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def both(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, D) to the logits (N, K) of each."""
        return self.first(features), self.second(features)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, D) to logits (N, K)."""
        first, second = self.both(features)
        return (first + second) / 2


class MCD(AdaptationModule):
    """Maximum classifier discrepancy (Saito et al. 2018, https://arxiv.org/abs/1712.02560, section 3.3).

    Every batch takes three steps, each domain in passes of its own, as in the authors' code:

    A. extractor and both label predictors: class loss of the source, with the target terms where there are some;
    B. both label predictors: class loss of the source - discrepancy on the target, features fixed;
    C. the extractor, `extractor_steps` times: discrepancy on the target, label predictors fixed.

    `build_label_predictor` is called twice, for weights that start apart. The class loss is the sum over both.

    Args:
        extractor_steps: how often step C is taken, the paper's n.
        extractor_clip: largest gradient norm of the extractor; None disables clipping.
        label_predictor_clip: of both label predictors together.
        arguments: as in `AdaptationModule`, but for `accumulate`: a batch takes several steps of each network.

    Raises:
        ValueError: an argument is out of range, or an argument that is not of this module.

    Example:
        >>> import torch
        >>> from lhy_lightning import MCD
        >>> module = MCD(num_classes=10, image_size=16, channels=3, width=4, label_hidden=(8,))
        >>> logits = module(torch.zeros(2, 3, 16, 16))
        >>> tuple(logits.shape)
        (2, 10)
    """

    argument_ranges = ranges(extractor_steps=COUNT, extractor_clip=CLIP, label_predictor_clip=CLIP)

    label_predictor: TwoLabelPredictors | None

    def __init__(
        self,
        *,
        extractor_steps: int = 4,
        extractor_clip: float | None = None,
        label_predictor_clip: float | None = None,
        **arguments: Unpack[AdaptationArguments],
    ) -> None:
        if (accumulate := arguments.get("accumulate", 1)) != 1:
            raise ValueError(
                f"accumulate={accumulate}: each network of MCD steps several times a batch, so batches cannot be added "
                "up. Leave it out and take a larger --data.batch_size."
            )
        if arguments.get("network_clip") is not None:
            raise ValueError(
                "network_clip: MCD's networks step apart, give extractor_clip, label_predictor_clip or both."
            )
        super().__init__(**arguments)
        self.extractor_steps = extractor_steps
        self.clip = {"extractor": extractor_clip, "label_predictor": label_predictor_clip}

    def build(self) -> None:
        super().build()
        _, first = self.built()
        self.label_predictor = TwoLabelPredictors(first, self.new_label_predictor())

    def networks(self) -> dict[str, nn.Module | Sequence[nn.Module]]:
        extractor, predictors = self.built()
        return {"extractor": extractor, "label_predictor": predictors}

    def both(self, images: Tensor, *, source: bool) -> tuple[Tensor, Tensor]:
        """Logits (N, K) of each label predictor, of pictures of one domain."""
        assert self.label_predictor is not None
        return self.label_predictor.both(self.extract(images, len(images) if source else 0))

    def class_losses(self, batch: DomainBatch) -> Tensor:
        """Cross entropy of the source, summed over both label predictors."""
        first, second = self.both(batch["source_image"], source=True)
        return self.class_loss(first, batch) + self.class_loss(second, batch)

    def discrepancy(self, batch: DomainBatch) -> Tensor:
        """How much both disagree on the target."""
        return classifier_discrepancy(*self.both(batch["target_image"], source=False))

    def training_step(self, batch: DomainBatch, batch_idx: int) -> None:
        with self.toggled("extractor", "label_predictor"):  # A
            loss = class_loss = self.class_losses(batch)
            figures: dict[str, Tensor] = {}
            if self.target_weights:
                terms, figures = self.target_terms(torch.stack(self.both(batch["target_image"], source=False)).mean(0))
                loss = loss + terms
            self.backward_and_step(("extractor", "label_predictor"), loss)

        with self.toggled("label_predictor"):  # B
            raised = self.discrepancy(batch)
            self.backward_and_step("label_predictor", self.class_losses(batch) - raised)

        for _ in range(self.extractor_steps):  # C
            with self.toggled("extractor"):
                lowered = self.discrepancy(batch)
                self.backward_and_step("extractor", lowered)

        self.log_losses(
            {"loss": loss, "class_loss": class_loss, "discrepancy": raised, "discrepancy_after": lowered, **figures}
        )
