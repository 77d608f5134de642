"""What all modules of this topic share: class loss and target terms, and an evaluation that needs no target label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from torch import Tensor, nn

from lhy_lightning.adaptation.domain_networks import DomainNetworks, NetworkArguments
from lhy_lightning.adaptation.domain_plots import DomainPictures, Projection
from lhy_lightning.adaptation.losses.class_confusion import class_confusion
from lhy_lightning.adaptation.losses.entropy import conditional_entropy, label_balance, pseudo_label_loss
from lhy_lightning.adaptation.selection.feature_buffer import EvaluatedRows, Rows, accuracy_of
from lhy_lightning.adaptation.selection.selection_table import (
    SELECTION,
    SelectionTable,
    refuse_target_labels,
    selection_scores,
)
from lhy_lightning.adaptation.selection.target_figures import target_figures
from lhy_lightning.callbacks.prediction_tables import PredictionsCsv
from lhy_lightning.core.arguments.ranges import NOT_NEGATIVE, SHARE, SHARE_OF_STEPS, Names, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import DomainBatch, EvaluatedDomainBatch
from lhy_lightning.training.module import EvaluatedSplit
from lhy_lightning.training.single_optimizer import OptimizerSettings, ScheduleSettings

Domain = Literal["source", "target"]
Schedule = Literal["annealed", "constant", "cosine", "linear"]


class AdaptationArguments(NetworkArguments, total=False):
    """Arguments of `AdaptationModule`, for the `**arguments` of those built on it."""

    entropy_weight: float
    balance_weight: float
    confusion_weight: float
    pseudo_label_weight: float
    pseudo_label_threshold: float
    target_terms_from: float
    optimizer: str
    lr: float
    momentum: float
    betas: tuple[float, float]
    weight_decay: float
    schedule: Schedule
    selection: str
    oracle: bool
    projection: Projection


class AdaptationModule(DomainNetworks):
    """Base: a feature extractor and a label predictor, learnt from labelled source and unlabelled target pictures.

    A subclass says in `losses` what else a batch teaches; it never sees a target label. Validation is on both domains,
    and the best epoch is chosen without target labels. To use networks of your own, override `build_extractor`,
    `build_label_predictor`.

    Args:
        entropy_weight: of the mean entropy of target predictions.
        balance_weight: of the distance of their mean from equal shares of all classes, KL(mean, uniform).
        confusion_weight: of the minimum class confusion of the target (MCC).
        pseudo_label_weight: of cross entropy with the network's own confident target predictions.
        pseudo_label_threshold: probability from which a prediction is a label.
        target_terms_from: share of the steps after which these four begin.
        optimizer: any of `torch.optim`, by its lower-case name.
        lr: learning rate.
        momentum: of SGD.
        betas: coefficients (β₁, β₂) of Adam-type optimizers.
        weight_decay: of weights with two or more axes.
        schedule: "annealed" (the paper's), "constant", "cosine" or "linear", over the run's steps.
        selection: what says which epoch is best: "source_accuracy"; or of target predictions without labels
            "information" (information maximisation), "density" (soft neighbourhood density); "importance"
            (importance-weighted source accuracy); "last", no choice; "target_accuracy", with `oracle`.
        oracle: allow a choice by target labels. Nobody can choose so in the task itself: every table says ORACLE.
        projection: of the pictures of features before and after, "tsne", "pca" or "none" for no picture.
        arguments: as in `DomainNetworks`.

    Raises:
        ValueError: a name or number that does not exist or does not fit another, a choice by target labels without
            `oracle`.
    """

    needs_labels = True
    data_modules = ("DomainDataModule",)
    later_metrics = ("val/information", "val/density", "val/importance", "val/proxy_distance")

    argument_ranges = ranges(
        entropy_weight=NOT_NEGATIVE, balance_weight=NOT_NEGATIVE, confusion_weight=NOT_NEGATIVE,
        pseudo_label_weight=NOT_NEGATIVE, pseudo_label_threshold=SHARE, target_terms_from=SHARE_OF_STEPS,
        selection=Names(tuple(SELECTION)),
    )  # fmt: skip

    predicts_target = False
    """Whether every training step takes predictions on target rows, also without target terms."""

    def __init__(
        self,
        *,
        entropy_weight: float = 0.0,
        balance_weight: float = 0.0,
        confusion_weight: float = 0.0,
        pseudo_label_weight: float = 0.0,
        pseudo_label_threshold: float = 0.95,
        target_terms_from: float = 0.0,
        optimizer: str = "sgd",
        lr: float = 0.01,
        momentum: float = 0.9,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        schedule: Schedule = "annealed",
        selection: str = "source_accuracy",
        oracle: bool = False,
        projection: Projection = "tsne",
        **arguments: Unpack[NetworkArguments],
    ) -> None:
        super().__init__(**arguments)
        if selection == "target_accuracy" and not oracle:
            raise ValueError("selection=target_accuracy takes target labels: choose another, or set oracle=true.")
        self.selection, self.oracle, self.projection = selection, oracle, projection
        self.monitor = SELECTION[selection]
        self.rows = nn.ModuleDict({name: EvaluatedRows() for name in ("val_source", "val_target", "test_target")})
        weights = {
            "entropy": entropy_weight, "balance": balance_weight, "confusion": confusion_weight,
            "pseudo_label": pseudo_label_weight,
        }  # fmt: skip
        self.target_weights = {name: value for name, value in weights.items() if value}
        self.pseudo_label_threshold, self.target_terms_from = pseudo_label_threshold, target_terms_from
        self.optimizer_settings = OptimizerSettings(optimizer, lr, betas, weight_decay, momentum)
        self.schedule_settings = ScheduleSettings(schedule)
        self.build_if_known()

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit":
            refuse_target_labels(self.trainer, oracle=self.oracle)

    # --- training --------------------------------------------------------------------------------------------------

    @property
    def progress(self) -> float:
        """The share of the run's steps that are done, in [0, 1]."""
        return min(1.0, self.trainer.global_step / self.trainer.estimated_stepping_batches)

    def features_of_both(self, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Source features (N, D) and target features (M, D), which went through the extractor together."""
        source, target = batch["source_image"], batch["target_image"]
        features = self.extract(torch.cat((source, target)), len(source))
        return features[: len(source)], features[len(source) :]

    def losses(self, batch: DomainBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a training batch, and figures to log."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its losses are")

    def class_loss(self, logits: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """Cross entropy of source rows."""
        return F.cross_entropy(logits.float(), batch["source_label"])

    def target_terms(self, logits: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of what target predictions (M, K) are to be like, and figures to log."""
        loss, figures = logits.new_zeros((), dtype=torch.float32), {}
        begun = self.progress >= self.target_terms_from
        for name, weight in self.target_weights.items():
            if name == "entropy":
                term = conditional_entropy(logits)
            elif name == "balance":
                term = label_balance(logits)
            elif name == "confusion":
                term = class_confusion(logits)
            else:
                term, figures["pseudo_labelled"] = pseudo_label_loss(logits, self.pseudo_label_threshold)
            figures[f"{name}_loss"] = term
            loss = loss + (weight if begun else 0.0) * term
        return loss, figures

    def label_logits(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits (N, K) of source features (N, D), with target features (M, D) (N + M, K) where those are asked for."""
        _, predictor = self.built()
        both = self.predicts_target or self.target_weights
        logits: Tensor = predictor(torch.cat((source, target)) if both else source)
        return logits

    def label_terms(self, logits: Tensor, batch: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Class loss of the source and the terms of the target, of `label_logits`."""
        rows = len(batch["source_label"])
        class_loss = self.class_loss(logits[:rows], batch)
        if not self.target_weights:
            return class_loss, {"class_loss": class_loss}
        terms, figures = self.target_terms(logits[rows:])
        return class_loss + terms, {"class_loss": class_loss, **figures}

    def training_step(self, batch: DomainBatch, batch_idx: int) -> None:
        with self.toggled("network"):
            loss, figures = self.losses(batch)
            self.backward_and_step("network", loss)
        self.log_losses({"loss": loss, **figures})

    def rates(self) -> dict[str, float]:
        """The learning rate of each network."""
        return dict.fromkeys(self.networks(), self.optimizer_settings.lr)

    def configure_optimizers(self) -> Any:
        return self.same_optimizers(self.rates(), self.optimizer_settings, self.schedule_settings)

    # --- evaluation ------------------------------------------------------------------------------------------------

    def rows_of(self, split: EvaluatedSplit, domain: Domain) -> EvaluatedRows:
        """Where rows of a domain are collected."""
        rows = self.rows[f"{split}_{domain}"]
        assert isinstance(rows, EvaluatedRows)
        return rows

    def validation_step(self, batch: EvaluatedDomainBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.evaluate(batch, "val", "target" if dataloader_idx else "source")

    def evaluate(self, batch: EvaluatedDomainBatch, split: EvaluatedSplit, domain: Domain = "target") -> None:
        """Collects a batch of a domain: features, logits and what is known of its rows."""
        self.rows_of(split, domain).update(*self.embed(batch["image"], domain), batch)

    def report(self, split: EvaluatedSplit) -> None:
        """Logs what the rows of all ranks say."""
        figures = self.validation_figures() if split == "val" else self.test_figures()
        self.log_dict({name: value.to(self.device) for name, value in figures.items()}, sync_dist=True)

    def validation_figures(self) -> dict[str, Tensor]:
        """Figures of both domains, `val/target_accuracy` among them where target labels are known."""
        source, target = self.rows_of("val", "source").gathered(), self.rows_of("val", "target").gathered()
        figures = {"loss": F.cross_entropy(source.logits, source.labels), **self.source_figures(source)}
        if not self.trainer.sanity_checking:
            figures |= self.label_free_scores(source, target)
        if target.labelled:
            figures["target_accuracy"] = accuracy_of(target)
        return {f"val/{name}": value for name, value in figures.items()}

    def source_figures(self, source: Rows) -> dict[str, Tensor]:
        """What the source's validation rows say."""
        return {"source_accuracy": accuracy_of(source)}

    def label_free_scores(self, source: Rows, target: Rows) -> dict[str, Tensor]:
        """What target validation rows say without their labels."""
        return selection_scores(source, target)

    def test_figures(self) -> dict[str, Tensor]:
        """What the target's test rows say."""
        return target_figures(self.rows_of("test", "target").gathered(), oracle=self.oracle)

    def predict_step(self, batch: EvaluatedDomainBatch, batch_idx: int) -> dict[str, Tensor]:
        """Returns `index` (N,) and `probabilities` (N, K) float32."""
        return {"index": batch["index"], "probabilities": self.embed(batch["image"], "target")[1].softmax(1)}

    def configure_callbacks(self) -> list[Callback]:
        pictures = [DomainPictures(self.projection)] if self.projection != "none" else []
        return [*super().configure_callbacks(), SelectionTable(self.selection, oracle=self.oracle), *pictures]

    def prediction_writers(self) -> list[Callback]:
        return [PredictionsCsv()]
