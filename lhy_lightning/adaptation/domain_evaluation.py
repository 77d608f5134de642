"""How the modules of this topic are evaluated: rows of the source with their labels, of the target without."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from lhy_lightning.adaptation.domain_networks import DomainNetworks, NetworkArguments
from lhy_lightning.adaptation.domain_pictures import DomainPictures, Projection
from lhy_lightning.adaptation.selection.evaluated_rows import EvaluatedRows, Rows, accuracy_of
from lhy_lightning.adaptation.selection.selection_table import (
    SELECTION,
    SelectionTable,
    refuse_target_labels,
    selection_scores,
)
from lhy_lightning.callbacks.class_table import PredictionsCsv
from lhy_lightning.core.argument_ranges import Names, ranges
from lhy_lightning.core.signatures import Unpack
from lhy_lightning.data.batches import EvaluatedDomainBatch
from lhy_lightning.training.module import EvaluatedSplit

Domain = Literal["source", "target"]


class EvaluationArguments(NetworkArguments, total=False):
    """Arguments of `DomainEvaluation`, for the `**arguments` of those built on it."""

    selection: str
    oracle: bool
    projection: Projection


class DomainEvaluation(DomainNetworks):
    """Base: validation on both domains, and a choice of the best epoch that asks for no target label.

    Args:
        selection: what says which epoch is best: "source_accuracy"; or of target predictions without labels
            "information" (information maximisation), "density" (soft neighbourhood density); "importance"
            (importance-weighted source accuracy); "last", no choice; "target_accuracy", with `oracle`.
        oracle: allow a choice by target labels. Nobody can choose so in the task itself: every table says ORACLE.
        projection: of the pictures of features before and after, "tsne", "pca" or "none" for no picture.
        arguments: as in `DomainNetworks`.

    Raises:
        ValueError: a choice by target labels without `oracle`.
    """

    later_metrics = ("val/information", "val/density", "val/importance", "val/proxy_distance")

    argument_ranges = ranges(selection=Names(tuple(SELECTION)))

    def __init__(
        self,
        *,
        selection: str = "source_accuracy",
        oracle: bool = False,
        projection: Projection = "tsne",
        **arguments: Unpack[NetworkArguments],
    ) -> None:
        super().__init__(**arguments)
        if selection == "target_accuracy" and not oracle:
            raise ValueError("selection=target_accuracy takes target labels: choose another, or set oracle=true.")
        self.selection, self.oracle, self.projection = selection, oracle, projection
        self.headline_metric = SELECTION[selection]
        self.rows = nn.ModuleDict({name: EvaluatedRows() for name in ("val_source", "val_target", "test_target")})

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit":
            refuse_target_labels(self.trainer, oracle=self.oracle)

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
        """Accuracy and loss on the target, or without labels how sure the predictions are."""
        rows = self.rows_of("test", "target").gathered()
        mark = "_ORACLE" if self.oracle else ""
        if rows.labelled:
            loss = F.cross_entropy(rows.logits, rows.labels)
            return {f"test/accuracy{mark}": accuracy_of(rows), f"test/loss{mark}": loss}
        rank_zero_warn(
            "the target's test pictures have no labels: there is no test/accuracy, only the mean probability of "
            "the predicted class (test/confidence). Set --data.target_labelled true where they have some; "
            "`lhy predict` writes the predictions."
        )
        return {"test/confidence": rows.logits.softmax(1).max(1).values.mean()}

    def predict_step(self, batch: EvaluatedDomainBatch, batch_idx: int) -> dict[str, Tensor]:
        """Returns `index` (N,) and `probabilities` (N, K) float32."""
        return {"index": batch["index"], "probabilities": self.embed(batch["image"], "target")[1].softmax(1)}

    def configure_callbacks(self) -> list[Callback]:
        pictures = [DomainPictures(self.projection)] if self.projection != "none" else []
        return [*super().configure_callbacks(), SelectionTable(self.selection, oracle=self.oracle), *pictures]

    def prediction_writers(self) -> list[Callback]:
        return [PredictionsCsv()]
