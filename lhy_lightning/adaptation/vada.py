"""`VADA`: a domain-adversarial network whose predictions stay the same round the pictures of both domains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from lhy_lightning.adaptation.dann import DANN, DANNArguments
from lhy_lightning.adaptation.losses.cluster_assumption import ClusterAssumption
from lhy_lightning.adaptation.losses.entropy import conditional_entropy
from lhy_lightning.core.arguments.ranges import NOT_NEGATIVE, ranges
from lhy_lightning.core.arguments.signatures import Unpack


class VADA(ClusterAssumption, DANN):
    """Virtual adversarial domain adaptation (Shu et al. 2018, https://arxiv.org/abs/1802.08735, section 4).

    Class loss + λd domain loss, whose gradient is reversed, + λs VAT(source) + λt (VAT(target) + H(target)), with VAT
    the divergence between a picture's prediction and its virtual adversarial neighbour's, and H the mean entropy.

    The authors' code trains `network: dirt` by Adam of rate .001 with betas (.5, .999) at a constant rate, and with
    batch statistics of each domain apart: `domain_norm: statistics`. Its domain classifier steps first, as with
    `alternating`, on a batch of its own, and the extractor learns from exchanged domain labels, not from a reversed
    gradient.

    Args:
        source_smoothness_weight: λs, weight of the source's virtual adversarial loss; with 0 and `domain_norm` no
            source picture is perturbed.
        target_cluster_weight: λt, weight of the target's virtual adversarial loss and conditional entropy.
        radius: ε, the norm of the perturbation of a picture in [-1, 1]; the paper's is for 3x32x32 numbers.
        ema_decay: of the averaged weights of extractor and label predictor, which evaluate and predict.
        coefficient: λd, the λ of `DANN`.
        reversal: as in `DANN`; the paper's λd is constant.
        domain_weight: as in `DANN`; 1 is the authors' code's.
        arguments: as in `DANN`.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import torch
        >>> from lhy_lightning import VADA
        >>> module = VADA(num_classes=10, image_size=16, channels=3, width=4, label_hidden=(8,))
        >>> logits = module(torch.zeros(2, 3, 16, 16))
        >>> tuple(logits.shape)
        (2, 10)
    """

    argument_ranges = ranges(source_smoothness_weight=NOT_NEGATIVE)

    predicts_target = True

    def __init__(  # type: ignore[misc]  # defaults are restated
        self,
        *,
        source_smoothness_weight: float = 1.0,
        target_cluster_weight: float = 0.01,
        radius: float = 3.5,
        ema_decay: float = 0.998,
        coefficient: float = 0.01,
        reversal: Literal["annealed", "constant"] = "constant",
        domain_weight: float = 1.0,
        **arguments: Unpack[DANNArguments],
    ) -> None:
        super().__init__(
            target_cluster_weight=target_cluster_weight, radius=radius, ema_decay=ema_decay, coefficient=coefficient,
            reversal=reversal, domain_weight=domain_weight, **arguments,
        )  # fmt: skip
        self.source_smoothness_weight = source_smoothness_weight

    def label_terms(self, logits: Tensor, batch: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Class loss of the source, smoothness of both, entropy of the target."""
        loss, figures = super().label_terms(logits, batch)
        rows, images = len(batch["source_label"]), batch["target_image"]
        if self.source_smoothness_weight or not self.domain_norm:
            divergences = self.divergences(torch.cat((batch["source_image"], images)), rows, logits)
            source, target = divergences[:rows].mean(), divergences[rows:].mean()
            loss, figures = loss + self.source_smoothness_weight * source, {**figures, "source_vat_loss": source}
        else:  # nothing of the source matters to the target rows
            target = self.divergences(images, 0, logits[rows:]).mean()
        entropy = conditional_entropy(logits[rows:])
        loss = loss + self.target_cluster_weight * (target + entropy)
        return loss, {**figures, "target_vat_loss": target, "target_entropy": entropy}
