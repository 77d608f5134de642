"""`DANN`: features from which a label can be told and the domain cannot. Homework 11."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

from lhy_lightning.adaptation.adaptation import AdaptationArguments, AdaptationModule
from lhy_lightning.adaptation.losses.domain_loss import domain_accuracy, domain_loss
from lhy_lightning.adaptation.networks.by_name import perceptron
from lhy_lightning.adaptation.schedules import reversal_coefficient
from lhy_lightning.adaptation.selection.domain_classifier_monitor import DomainWatch
from lhy_lightning.adaptation.selection.feature_buffer import Rows
from lhy_lightning.adaptation.selection.proxy_distance import fresh_domain_accuracy, proxy_a_distance
from lhy_lightning.core.arguments.ranges import CLIP, COUNT, NOT_NEGATIVE, POSITIVE, Range, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import DomainBatch
from lhy_lightning.layers.gradient_reversal import GradientReversal

FRESH_ROWS = 500  # of each domain, for the fresh domain classifier of a validation


class DANNArguments(AdaptationArguments, total=False):
    """Arguments of `DANN`, for the `**arguments` of those built on it."""

    domain_hidden: tuple[int, ...]
    domain_classifier_norm: Literal["batch", "none"]
    reversal: Literal["annealed", "constant"]
    coefficient: float
    domain_weight: float
    domain_lr: float | None
    domain_classifier_clip: float | None
    alternating: bool


class DANN(AdaptationModule):
    """Domain-adversarial training (Ganin et al. 2016, https://arxiv.org/abs/1505.07818, algorithm 1).

    Source and target go through the extractor together; a domain classifier learns to tell their features apart, and
    its gradient, reversed and times λ, teaches the extractor that they are not to be told apart: one backward pass.

    With `alternating`, homework 11's form: the domain classifier steps first, on features without their graph; then
    extractor and label predictor step on (class loss - λ domain loss), as the classifier that has just learnt sees it.

    Args:
        domain_hidden: units of the domain classifier's hidden layers.
        domain_classifier_norm: "batch" between them, as in the homework, or "none".
        reversal: λ, "annealed" from 0 to `coefficient` as 2 / (1 + exp(-10 p)) - 1 over the share p of the steps that
            are done (the paper's), or "constant".
        coefficient: λ at the end.
        domain_weight: of the mean of both domains' losses: 2 makes it their sum, as in the paper; the homework has 1.
        domain_lr: the domain classifier's learning rate in the alternating form; `lr` if not given.
        domain_classifier_clip: its largest gradient norm there; None disables clipping.
        alternating: the homework's form.
        arguments: as in `AdaptationModule`.

    Raises:
        ValueError: an argument is out of range or unknown.

    Example:
        >>> import torch
        >>> from lhy_lightning import DANN
        >>> module = DANN(num_classes=10, image_size=16, channels=3, width=4, label_hidden=(8,))
        >>> logits = module(torch.zeros(2, 3, 16, 16))
        >>> tuple(logits.shape)
        (2, 10)
    """

    argument_ranges = ranges(
        domain_hidden=COUNT, coefficient=Range(at_least=0, note="or features are driven apart"), domain_weight=POSITIVE,
        domain_lr=NOT_NEGATIVE, domain_classifier_clip=CLIP,
    )  # fmt: skip

    domain_classifier: nn.Module | None

    def __init__(
        self,
        *,
        domain_hidden: tuple[int, ...] = (100,),
        domain_classifier_norm: Literal["batch", "none"] = "none",
        reversal: Literal["annealed", "constant"] = "annealed",
        coefficient: float = 1.0,
        domain_weight: float = 2.0,
        domain_lr: float | None = None,
        domain_classifier_clip: float | None = None,
        alternating: bool = False,
        **arguments: Unpack[AdaptationArguments],
    ) -> None:
        if not alternating and (domain_lr is not None or domain_classifier_clip is not None):
            raise ValueError("domain_lr and domain_classifier_clip are of the alternating form: set alternating=true.")
        self.domain_hidden, self.domain_classifier_norm = tuple(domain_hidden), domain_classifier_norm  # for `build`
        super().__init__(**arguments)
        if alternating:
            self.clip["domain_classifier"] = domain_classifier_clip
        self.schedule_of_reversal, self.coefficient, self.domain_weight = reversal, coefficient, domain_weight
        self.domain_lr, self.alternating = domain_lr, alternating
        self.gradient_reversal = GradientReversal()

    # --- networks --------------------------------------------------------------------------------------------------

    def build_domain_classifier(self, features: int) -> nn.Module:
        """Returns features (N, D) to logits (N, 1), target rows above zero. Override it for one of your own."""
        return perceptron(features, self.domain_hidden, 1, norm=self.domain_classifier_norm)

    def domain_features(self) -> int:
        """Numbers that the domain classifier takes of a row."""
        return self.features

    def build(self) -> None:
        super().build()
        self.domain_classifier = self.build_domain_classifier(self.domain_features())

    def networks(self) -> dict[str, nn.Module | Sequence[nn.Module]]:
        extractor, predictor = self.built()
        assert self.domain_classifier is not None
        if self.alternating:
            return {"network": [extractor, predictor], "domain_classifier": self.domain_classifier}
        return {"network": [extractor, predictor, self.domain_classifier]}

    # --- training --------------------------------------------------------------------------------------------------

    def coefficient_now(self) -> float:
        """λ of the step under way."""
        if self.schedule_of_reversal == "constant":
            return self.coefficient
        return reversal_coefficient(self.progress, maximum=self.coefficient)

    def domain_logits(self, features: Tensor) -> Tensor:
        """Features (N, D) to logits (N,) of being a target row."""
        assert self.domain_classifier is not None
        logits: Tensor = self.domain_classifier(features)
        return logits.squeeze(1)

    def domain_inputs(self, source: Tensor, target: Tensor, logits: Tensor) -> Tensor:
        """What the domain classifier sees (N + M, D) of source features (N, D) and target features (M, D).

        Args:
            source, target: features.
            logits: (N + M, K) of the label predictor.
        """
        return torch.cat((source, target))

    def losses(self, batch: DomainBatch) -> tuple[Tensor, dict[str, Tensor]]:
        source, target = self.features_of_both(batch)
        logits = self.label_logits(source, target)
        self.gradient_reversal.coefficient.fill_(self.coefficient_now())
        seen = self.gradient_reversal(self.domain_inputs(source, target, logits))
        domain, figures = self.domain_terms(seen, len(source), logits)
        label, label_figures = self.label_terms(logits, batch)
        return label + self.domain_weight * domain, {**label_figures, **figures}

    def row_weights(self, logits: Tensor, source_rows: int) -> tuple[Tensor | None, Tensor | None]:
        """How much source rows (N,) and target rows (M,) weigh in the domain loss; None is alike."""
        return None, None

    def domain_terms(self, seen: Tensor, source_rows: int, logits: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The domain classifier's loss, not yet weighed: the mean of both domains' means, whatever their sizes."""
        found = self.domain_logits(seen)
        source, target = found[:source_rows], found[source_rows:]
        loss = domain_loss(source, target, *self.row_weights(logits, source_rows))
        accuracy = domain_accuracy(source, target)
        return loss, {
            "domain_loss": loss, "domain_accuracy": accuracy, "coefficient": self.gradient_reversal.coefficient,
        }  # fmt: skip

    def training_step(self, batch: DomainBatch, batch_idx: int) -> None:
        if not self.alternating:
            super().training_step(batch, batch_idx)
            return
        self.gradient_reversal.coefficient.fill_(self.coefficient_now())
        with self.toggled("network"):
            source, target = self.features_of_both(batch)
            logits = self.label_logits(source, target)
            inputs = self.domain_inputs(source, target, logits)
        with self.toggled("domain_classifier"):
            domain, figures = self.domain_terms(inputs.detach(), len(source), logits.detach())
            self.backward_and_step("domain_classifier", self.domain_weight * domain)
        with self.toggled("network"):
            label, label_figures = self.label_terms(logits, batch)
            domain, _ = self.domain_terms(inputs, len(source), logits)
            loss = label - self.gradient_reversal.coefficient * self.domain_weight * domain
            self.backward_and_step("network", loss)
        self.log_losses({"loss": loss, **label_figures, **figures})

    def rates(self) -> dict[str, float]:
        rates = super().rates()
        if self.alternating and self.domain_lr is not None:
            rates["domain_classifier"] = self.domain_lr
        return rates

    def label_free_scores(self, source: Rows, target: Rows) -> dict[str, Tensor]:
        """With the proxy A-distance of a fresh domain classifier, which says whether this one still learns."""
        few_source, few_target = source.spread(FRESH_ROWS), target.spread(FRESH_ROWS)
        accuracy = fresh_domain_accuracy(few_source.features, few_target.features)
        scores = super().label_free_scores(source, target)
        return {**scores, "proxy_distance": torch.tensor(proxy_a_distance(accuracy))}

    def configure_callbacks(self) -> list[Callback]:
        return [*super().configure_callbacks(), DomainWatch()]
