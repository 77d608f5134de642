"""Several trained classifiers as one: the mean of their probabilities."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from lhy_lightning.training.checkpoints import load_modules


class ProbabilityAverage(LightningModule):
    """Averages the probabilities of classifiers that know the same classes.

    Args:
        members: trained `ImageClassifier`s, in any mixture of networks, of one picture size.

    Raises:
        ValueError: no member, or members of different classes, size or channels.
    """

    def __init__(self, members: list[Any]) -> None:
        super().__init__()
        if not members:
            raise ValueError("an ensemble needs at least one classifier.")
        for name in ("class_names", "image_size", "channels"):
            first, *others = (getattr(member.hparams, name) for member in members)
            if wrong := [other for other in others if other != first]:
                raise ValueError(f"classifiers of one ensemble must agree in {name}: {first} and {wrong[0]}.")
        self.members = nn.ModuleList(members)
        self.save_hyperparameters(dict(members[0].hparams))

    @classmethod
    def from_checkpoints(cls, paths: list[Path]) -> "ProbabilityAverage":
        """Loads each checkpoint with the class that made it."""
        return cls(load_modules(paths, "ImageClassifier"))

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Adds a batch to loss and accuracy of the mean probabilities, as `ImageClassifier.test_step`."""
        probabilities = self.predict_step(batch, batch_idx)["probabilities"]
        first: Any = self.members[0]
        first.score(batch, "test", probabilities.clamp(min=1e-12).log())

    def on_test_epoch_end(self) -> None:
        scores: Any = self.members[0].test_scores
        figures = scores.compute()
        scores.reset()
        if figures["confusion"].any():
            named = {f"test/{name}": figures[name] for name in ("loss", "accuracy")}
            self.log_dict(named, prog_bar=True, sync_dist=True)
        else:
            rank_zero_warn("the test pictures have no labels: there is no test/accuracy. `lhy predict` predicts them.")

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        members: list[Any] = list(self.members)
        each = torch.stack([member.predict_step(batch, batch_idx)["probabilities"] for member in members])
        return {"index": batch["index"], "probabilities": each.mean(dim=0)}
