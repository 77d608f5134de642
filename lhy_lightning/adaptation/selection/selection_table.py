"""Which epoch is best, said without target labels; and how well each way of saying so agreed with them."""

from __future__ import annotations

from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lhy_lightning.adaptation.selection.feature_buffer import Rows
from lhy_lightning.adaptation.selection.model_selection import (
    density_ratio,
    importance_weighted_mean,
    information_maximisation,
    rank_correlation,
    soft_neighbourhood_density,
)
from lhy_lightning.callbacks.results import write_table

SELECTION: dict[str, tuple[str, Literal["max", "min"]]] = {
    "source_accuracy": ("val/source_accuracy", "max"),
    "information": ("val/information", "max"),
    "density": ("val/density", "max"),
    "importance": ("val/importance", "max"),
    "last": ("step", "max"),
    "target_accuracy": ("val/target_accuracy", "max"),
}
"""What an epoch can be chosen by, and the figure that is monitored for it."""

LABEL_FREE = ("source_accuracy", "information", "density", "importance")
ROWS = 2000  # of each domain, for what is fitted to them or costs their square
TARGET_FIGURES = ("val/target", "test/")


def selection_scores(source: Rows, target: Rows) -> dict[str, Tensor]:
    """The figures that need no target label: information, density, importance; each is better when larger.

    Args:
        source: evaluated source validation rows, labelled.
        target: evaluated target validation rows; their labels are not looked at.
    """
    few_source, few_target = source.spread(ROWS), target.spread(ROWS)
    right = (few_source.logits.argmax(1) == few_source.labels).float()
    weights = density_ratio(few_source.features, few_target.features)
    # divided by their sum: where features of both domains lie apart, few rows have all the weight, and far too much
    weighted = importance_weighted_mean(right, weights / weights.mean())
    return {
        "information": information_maximisation(target.logits),
        "density": soft_neighbourhood_density(few_target.logits.softmax(1)),
        "importance": torch.tensor(weighted),
    }


def refuse_target_labels(trainer: Trainer, *, oracle: bool) -> None:
    """Looks for callbacks that choose or stop by a figure that takes target labels.

    Raises:
        ValueError: there is one, and `oracle` is not set.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        figure = str(getattr(callback, "monitor", None) or "")
        if not figure.startswith(TARGET_FIGURES):
            continue
        told = f"{type(callback).__name__} chooses by {figure}, which takes target labels"
        if not oracle:
            raise ValueError(
                f"{told}. In the task itself there are none: monitor one of "
                f"{', '.join(SELECTION[name][0] for name in LABEL_FREE)}, or set --model.oracle true, and every table "
                "will say ORACLE."
            )
        rank_zero_warn(f"ORACLE: {told}. Nobody can choose so in the task itself: these figures are an upper bound.")


class SelectionTable(Callback):
    """`selection.csv` at the end of a run: for each way of choosing, the step chosen and, where target labels are
    known, the target accuracy there and the rank correlation of score and target accuracy over all validations.

    Args:
        chosen: the way by which this run chose `best.ckpt`.
        oracle: the choice was allowed to see target labels; the table says so.

    Example:
        >>> from lhy_lightning import SelectionTable
        >>> SelectionTable("information", oracle=False).history
        []
    """

    def __init__(self, chosen: str, *, oracle: bool) -> None:
        self.chosen, self.oracle = chosen, oracle
        self.history: list[dict[str, float]] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        names = (*LABEL_FREE, "target_accuracy")
        figures = {name: trainer.callback_metrics.get(SELECTION[name][0]) for name in names}
        known = {name: float(value) for name, value in figures.items() if value is not None and value.isfinite()}
        self.history.append({"step": float(trainer.global_step), **known})

    def table(self) -> list[list[str]]:
        """A row for each way: its name, the step, target accuracy there, rank correlation; empty where unknown."""
        rows, labelled = [], all("target_accuracy" in row for row in self.history)
        ways = (*LABEL_FREE, "last", *(["target_accuracy"] if labelled else []))
        for way in ways:
            known = [row for row in self.history if way in row] if way != "last" else self.history
            if not known:
                continue
            best = max(known, key=lambda row: row["step"] if way == "last" else row[way])
            correlation = None
            if labelled and way not in ("last", "target_accuracy"):
                correlation = rank_correlation([row[way] for row in known], [row["target_accuracy"] for row in known])
            rows.append(
                [
                    f"{way} (ORACLE)" if way == "target_accuracy" else way,
                    "chosen" if way == self.chosen else "",
                    f"{best['step']:.0f}",
                    f"{best['target_accuracy']:.4f}" if labelled else "",
                    "" if correlation is None else f"{correlation:+.2f}",
                ]
            )
        return rows

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.history or not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        header = ["selection by", "", "step", "val/target_accuracy", "rank correlation"]
        title = f"{'ORACLE: ' if self.oracle else ''}selection over {len(self.history)} validations"
        write_table(trainer, "selection.csv", header, self.table(), title=title)

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = list(state_dict["history"])
