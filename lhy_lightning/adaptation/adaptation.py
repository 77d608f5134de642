"""What all modules of this topic share: two networks, target terms, evaluation without target labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from lhy_lightning.adaptation.domain_pictures import DomainPictures, Projection
from lhy_lightning.adaptation.losses.class_confusion import class_confusion
from lhy_lightning.adaptation.losses.entropy import conditional_entropy, label_balance, pseudo_label_loss
from lhy_lightning.adaptation.networks.by_name import feature_extractor, features_of, label_predictor
from lhy_lightning.adaptation.networks.domain_batch_norm import tell_source_rows, with_domain_norms
from lhy_lightning.adaptation.selection.evaluated_rows import EvaluatedRows, Rows, accuracy_of
from lhy_lightning.adaptation.selection.selection_table import (
    SELECTION,
    SelectionTable,
    refuse_target_labels,
    selection_scores,
)
from lhy_lightning.callbacks.class_table import PredictionsCsv
from lhy_lightning.core.argument_ranges import CLIP, COUNT, NOT_NEGATIVE, SHARE, SHARE_OF_STEPS, Names, ranges
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.layers.memory_format import to_channels_last
from lhy_lightning.training.checkpoints import read_checkpoint
from lhy_lightning.training.multi_optimizer import SeveralOptimizers
from lhy_lightning.training.single_optimizer import OptimizerSettings, ScheduleSettings

Batch = dict[str, Tensor]
SIZES = ("num_classes", "image_size", "channels", "class_names", "source_domains")


class AdaptationModule(SeveralOptimizers):
    """Base: a feature extractor and a label predictor, learnt from labelled source and unlabelled target pictures.

    A subclass says in `losses` what else a batch teaches; it never sees a target label. Networks of one's own are one
    method each: `build_extractor`, `build_label_predictor`.

    Args:
        network: "paper", "homework" or "dirt" (see `networks.py`).
        width: channels of its first convolution; None for its own.
        norm: behind its convolutions, "batch", "group" or "none"; None for its own.
        domain_norm: batch norms of extractor and label predictor of its own for each domain; "statistics" shares scale
            and shift.
        label_hidden: units of the label predictor's hidden layers; None for the network's own label predictor.
        dropout: share of its units set to zero.
        entropy_weight: of the mean entropy of target predictions.
        balance_weight: of the distance of their mean from equal shares of all classes, KL(mean, uniform).
        confusion_weight: of the minimum class confusion of the target (MCC).
        pseudo_label_weight: of cross entropy with the network's own confident target predictions.
        pseudo_label_threshold: probability from which a prediction is a label.
        target_terms_from: share of the steps after which these four begin.
        optimizer: any of `torch.optim` by its name in small letters.
        lr: learning rate.
        momentum: of SGD.
        betas: of Adam and its kin.
        weight_decay: of weights with two or more axes.
        schedule: "annealed" (the paper's), "constant", "cosine" or "linear", over the run's steps.
        accumulate: batches whose gradients one step adds up; their mean is taken.
        network_clip: largest gradient norm; None for no limit.
        start_from: checkpoint of a module of this topic whose weights are taken, as far as they have the same name.
        selection: what says which epoch is best: "source_accuracy"; or of target predictions without labels
            "information" (information maximisation), "density" (soft neighbourhood density); "importance"
            (importance-weighted source accuracy); "last", no choice; "target_accuracy", with `oracle`.
        oracle: allow a choice by target labels. Nobody can choose so in the task itself: every table says ORACLE.
        channels_last: keep pictures and weights with channels innermost in memory, which is faster.
        projection: of the pictures of features before and after, "tsne", "pca" or "none" for no picture.
        num_classes: classes K; from the data if not given, as the next four.
        image_size: (height, width) of a picture.
        channels: 1 (grey) or 3 (colour).
        class_names: K names.
        source_domains: number of source domains.

    Raises:
        ValueError: a name or number that does not exist or does not fit another.
    """

    needs_labels = True
    data_modules = ("DomainDataModule",)
    later_metrics = ("val/information", "val/density", "val/importance", "val/proxy_distance")

    argument_ranges = ranges(
        label_hidden=COUNT, entropy_weight=NOT_NEGATIVE, balance_weight=NOT_NEGATIVE, confusion_weight=NOT_NEGATIVE,
        pseudo_label_weight=NOT_NEGATIVE, pseudo_label_threshold=SHARE, target_terms_from=SHARE_OF_STEPS,
        network_clip=CLIP, source_domains=COUNT, selection=Names(tuple(SELECTION)),
    )  # fmt: skip

    predicts_target = False
    """Whether every training step takes predictions on target rows, also without target terms."""

    extractor: nn.Module | None
    label_predictor: nn.Module | None

    def __init__(
        self,
        *,
        network: Literal["paper", "homework", "dirt"] = "paper",
        width: int | None = None,
        norm: Literal["batch", "group", "none"] | None = None,
        domain_norm: bool | Literal["statistics"] = False,
        label_hidden: tuple[int, ...] | None = None,
        dropout: float = 0.0,
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
        schedule: Literal["annealed", "constant", "cosine", "linear"] = "annealed",
        accumulate: int = 1,
        network_clip: float | None = None,
        start_from: str | None = None,
        selection: str = "source_accuracy",
        oracle: bool = False,
        channels_last: bool = True,
        projection: Projection = "tsne",
        num_classes: int | None = None,
        image_size: tuple[int, int] | None = None,
        channels: int | None = None,
        class_names: tuple[str, ...] | None = None,
        source_domains: int | None = None,
    ) -> None:
        super().__init__(accumulate=accumulate, clip={"network": network_clip})
        self.save_hyperparameters()
        if selection == "target_accuracy" and not oracle:
            raise ValueError("selection=target_accuracy takes target labels: choose another, or set oracle=true.")
        weights = {
            "entropy": entropy_weight, "balance": balance_weight, "confusion": confusion_weight,
            "pseudo_label": pseudo_label_weight,
        }  # fmt: skip
        self.network_name, self.width, self.norm, self.domain_norm = network, width, norm, domain_norm
        self.label_hidden = None if label_hidden is None else tuple(label_hidden)
        self.dropout = dropout
        self.target_weights = {name: value for name, value in weights.items() if value}
        self.pseudo_label_threshold, self.target_terms_from = pseudo_label_threshold, target_terms_from
        self.optimizer_settings = OptimizerSettings(optimizer, lr, betas, weight_decay, momentum)
        self.schedule_settings = ScheduleSettings(schedule)
        self.start_from, self.channels_last = start_from, channels_last
        self.selection, self.oracle, self.projection = selection, oracle, projection
        self.headline_metric = SELECTION[selection]
        self.num_classes, self.channels, self.source_domains = num_classes, channels, source_domains
        self.image_size = None if image_size is None else (int(image_size[0]), int(image_size[1]))
        self.class_names = None if class_names is None else tuple(class_names)
        self.extractor = self.label_predictor = None
        self.started = False  # whether the weights are those of a run already, which `start_from` is not to replace
        self.rows = nn.ModuleDict({name: EvaluatedRows() for name in ("val_source", "val_target", "test")})
        if None not in (num_classes, image_size, channels):
            self.build()

    # --- networks --------------------------------------------------------------------------------------------------

    def build_extractor(self) -> nn.Module:
        """Returns pictures (N, C, H, W) to features (N, D). Override it for one of your own."""
        _, size, channels = self.sizes()
        return feature_extractor(self.network_name, channels, size, width=self.width, norm=self.norm)

    def build_label_predictor(self, features: int) -> nn.Module:
        """Returns features (N, D) to logits (N, K). Override it for one of your own."""
        classes, size, _ = self.sizes()
        return label_predictor(
            self.network_name, features, classes, size, hidden=self.label_hidden, dropout=self.dropout,
            width=self.width, norm=self.norm,
        )  # fmt: skip

    def new_label_predictor(self) -> nn.Module:
        """One with statistics of each domain, if asked for."""
        predictor = self.build_label_predictor(self.features)
        if self.domain_norm:
            with_domain_norms(predictor, shared=self.domain_norm == "statistics")
        return predictor

    def sizes(self) -> tuple[int, tuple[int, int], int]:
        """Classes, (height, width) and channels, once they are known."""
        if self.num_classes is None or self.image_size is None or self.channels is None:
            raise ValueError(
                f"give {type(self).__name__} num_classes, image_size and channels, or fit it with a data module that "
                "tells them"
            )
        return self.num_classes, self.image_size, self.channels

    def build(self) -> None:
        """Builds all networks, once all sizes are known."""
        _, size, channels = self.sizes()
        self.extractor = self.build_extractor()
        shared = self.domain_norm == "statistics"
        if self.domain_norm and not with_domain_norms(self.extractor, shared=shared):
            raise ValueError(
                f"domain_norm={self.domain_norm}, but the feature extractor has no batch norm: set norm='batch'."
            )
        self.channels_last = self.channels_last and to_channels_last(self.extractor)
        self.features = features_of(self.extractor, channels, size)
        self.label_predictor = self.new_label_predictor()

    def networks(self) -> dict[str, nn.Module | Sequence[nn.Module]]:
        extractor, predictor = self.built()
        return {"network": [extractor, predictor]}

    def built(self) -> tuple[nn.Module, nn.Module]:
        if self.extractor is None or self.label_predictor is None:
            raise RuntimeError("there are no networks yet: give num_classes, image_size and channels, or fit first")
        return self.extractor, self.label_predictor

    @property
    def needs_target(self) -> bool:
        """Whether a training batch must have target rows."""
        return True

    def setup(self, stage: str) -> None:
        super().setup(stage)
        given = getattr(getattr(self.trainer, "datamodule", None), "hparams", {})
        if stage == "fit" and self.needs_target and given.get("target_batch_size") == 0:
            raise ValueError(
                f"{type(self).__name__} trains on target pictures too, and --data.target_batch_size 0 takes none: set "
                "it to 1 or more, or leave it out to take as many as of the source."
            )
        self.learn_from_data(SIZES, equal=("image_size", "channels", "num_classes"))
        if self.extractor is None:
            self.build()
        if stage == "fit":
            if self.start_from is not None and not self.started and not self.trainer.ckpt_path:
                self.take_weights(self.start_from)
            self.started = True
            refuse_target_labels(self.trainer, oracle=self.oracle)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.started = True

    @classmethod
    def _from_pretrained(cls, **arguments: Any) -> Self:
        module = super()._from_pretrained(**arguments)
        module.started = True
        return module

    def take_weights(self, path: str) -> set[str]:
        """Takes the weights of a checkpoint whose names and shapes are those here, and returns their names.

        Raises:
            ValueError: it has none for a feature extractor of this shape.
        """
        found, own = read_checkpoint(path)["state_dict"], self.state_dict()
        taken = {name: value for name, value in found.items() if name in own and value.shape == own[name].shape}
        missing = [name for name in own if name.startswith("extractor.") and name not in taken]
        if missing:
            raise ValueError(f"start_from={path} has no weights of the shape of {missing[0]}: give the same network.")
        self.load_state_dict(taken, strict=False)
        return set(taken)

    # --- training --------------------------------------------------------------------------------------------------

    @property
    def progress(self) -> float:
        """The share of the run's steps that are done, in [0, 1]."""
        return min(1.0, self.trainer.global_step / self.trainer.estimated_stepping_batches)

    def extract(self, images: Tensor, source_rows: int) -> Tensor:
        """Features (N, D) of pictures of which the first so many are of the source."""
        extractor, predictor = self.built()
        if self.domain_norm:
            tell_source_rows(extractor, source_rows)
            tell_source_rows(predictor, source_rows)
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        features: Tensor = extractor(images)
        return features

    def features_of_both(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Source features (N, D) and target features (M, D), which went through the extractor together."""
        source, target = batch["source_image"], batch["target_image"]
        features = self.extract(torch.cat((source, target)), len(source))
        return features[: len(source)], features[len(source) :]

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a training batch, and figures to log."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its losses are")

    def class_loss(self, logits: Tensor, batch: Batch) -> Tensor:
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

    def label_terms(self, logits: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Class loss of the source and the terms of the target, of `label_logits`."""
        rows = len(batch["source_label"])
        class_loss = self.class_loss(logits[:rows], batch)
        if not self.target_weights:
            return class_loss, {"class_loss": class_loss}
        terms, figures = self.target_terms(logits[rows:])
        return class_loss + terms, {"class_loss": class_loss, **figures}

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        with self.updating("network"):
            loss, figures = self.losses(batch)
            self.step("network", loss)
        self.log_losses({"loss": loss, **figures})

    def rates(self) -> dict[str, float]:
        """The learning rate of each network."""
        return dict.fromkeys(self.networks(), self.optimizer_settings.lr)

    def configure_optimizers(self) -> Any:
        return self.alike_optimizers(self.rates(), self.optimizer_settings, self.schedule_settings)

    # --- inference -------------------------------------------------------------------------------------------------

    def forward(self, images: Tensor) -> Tensor:
        """Target pictures (N, C, H, W) in [-1, 1] to logits (N, K)."""
        _, predictor = self.built()
        logits: Tensor = predictor(self.extract(images, 0))
        return logits

    @torch.no_grad()
    def embed(self, images: Tensor, domain: Literal["source", "target"]) -> tuple[Tensor, Tensor]:
        """Features (N, D) and logits (N, K), float32, in evaluation mode."""
        _, predictor = self.built()
        with evaluation_mode(self):
            features = self.extract(images.to(self.device), len(images) if domain == "source" else 0)
            return features.float(), torch.as_tensor(predictor(features)).float()

    # --- evaluation ------------------------------------------------------------------------------------------------

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        domain: Literal["source", "target"] = "target" if dataloader_idx else "source"
        self.rows[f"val_{domain}"].update(*self.embed(batch["image"], domain), batch)  # type: ignore[operator]

    def on_validation_epoch_end(self) -> None:
        source, target = (self.rows[f"val_{name}"].gathered() for name in ("source", "target"))  # type: ignore[operator]
        figures = {"loss": F.cross_entropy(source.logits, source.labels), **self.source_figures(source)}
        if not self.trainer.sanity_checking:
            figures |= self.label_free_scores(source, target)
        if target.labelled:
            figures["target_accuracy"] = accuracy_of(target)
        self.log_dict({f"val/{name}": value.to(self.device) for name, value in figures.items()}, sync_dist=True)

    def source_figures(self, source: Rows) -> dict[str, Tensor]:
        """What the source's validation rows say."""
        return {"source_accuracy": accuracy_of(source)}

    def label_free_scores(self, source: Rows, target: Rows) -> dict[str, Tensor]:
        """What target validation rows say without their labels."""
        return selection_scores(source, target)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.rows["test"].update(*self.embed(batch["image"], "target"), batch)  # type: ignore[operator]

    def on_test_epoch_end(self) -> None:
        rows = self.rows["test"].gathered()  # type: ignore[operator]
        mark = "_ORACLE" if self.oracle else ""
        if rows.labelled:
            loss = F.cross_entropy(rows.logits, rows.labels)
            figures = {f"test/accuracy{mark}": accuracy_of(rows), f"test/loss{mark}": loss}
        else:
            figures = {"test/confidence": rows.logits.softmax(1).max(1).values.mean()}
            rank_zero_warn(
                "the target's test pictures have no labels: there is no test/accuracy, only the mean probability of "
                "the predicted class (test/confidence). Set --data.target_labelled true where they have some; "
                "`lhy predict` writes the predictions."
            )
        self.log_dict({name: value.to(self.device) for name, value in figures.items()}, sync_dist=True)

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """Returns `index` (N,) and `probabilities` (N, K) float32."""
        return {"index": batch["index"], "probabilities": self.embed(batch["image"], "target")[1].softmax(1)}

    def configure_callbacks(self) -> list[Callback]:
        pictures = [DomainPictures(self.projection)] if self.projection != "none" else []
        return [*super().configure_callbacks(), SelectionTable(self.selection, oracle=self.oracle), *pictures]

    def prediction_writers(self) -> list[Callback]:
        return [PredictionsCsv()]
