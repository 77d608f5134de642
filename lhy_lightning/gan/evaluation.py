"""How good samples are while training: distances from real pictures in a network's features, and modes covered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lhy_lightning.callbacks.images import picture_grid, save_picture
from lhy_lightning.callbacks.results import write_scores
from lhy_lightning.core.seeding import derive_seed, run_seed
from lhy_lightning.data.images.image_datasets import PlainPictures
from lhy_lightning.metrics.averages import Mean
from lhy_lightning.metrics.generation.classifier_features import ClassifierFeatures
from lhy_lightning.metrics.generation.feature_statistics import FeatureStatistics, real_statistics
from lhy_lightning.metrics.generation.frechet import FrechetDistance, distance_name
from lhy_lightning.metrics.generation.inception_features import InceptionFeatures
from lhy_lightning.metrics.generation.inception_score import InceptionScore
from lhy_lightning.metrics.generation.mode_coverage import Coverage, ModeCoverage
from lhy_lightning.metrics.generation.nearest_images import nearest_pictures
from lhy_lightning.metrics.generation.precision_recall import ImprovedPrecisionRecall
from lhy_lightning.training.checkpoints import load_modules

INCEPTION = "inception:"
AT_ONCE = 250
HALVES = "half of the real against the other"
NEIGHBOURS_SHOWN = 16
POOR_RECALL = 0.1
"""Share of the recall of real pictures below which samples show nearly one picture for each class."""

FIGURES = frozenset((
    "frechet_classifier", "frechet_inception", "fid", "classifier_score", "inception_score", "precision", "recall",
    "modes_covered", "effective_modes", "recognised", "class_agreement",
))  # fmt: skip
"""What `SampleEvaluation` logs. Validation and test draw the same samples and compare them with training pictures."""

Features = ClassifierFeatures | InceptionFeatures


def feature_network(name: str) -> Features:
    """The network that compares pictures.

    Args:
        name: a checkpoint of an `ImageClassifier`, or "inception:" and the path or URL of the published weights.

    Raises:
        ValueError, FileNotFoundError: there is no such checkpoint, or no such weights.
    """
    if name.startswith(INCEPTION):
        return InceptionFeatures.from_file(name.removeprefix(INCEPTION))
    if not Path(name).is_file():
        raise FileNotFoundError(
            f"features={name!r}: there is no such file; give a checkpoint of an ImageClassifier that was trained on "
            f"pictures of this size, or {INCEPTION}WEIGHTS, the published Inception's."
        )
    return ClassifierFeatures(load_modules([Path(name)], "ImageClassifier")[0])


class SampleScores:
    """Figures of a set of pictures against real ones.

    Args:
        network: gives features (N, D) and class probabilities (N, K) of pictures.
        real: statistics of real pictures' features.
        real_features: (M, D) of real pictures, for precision and recall.
        allow_few: also give a Fréchet distance of fewer pictures than features.
    """

    def __init__(
        self, network: Features, real: FeatureStatistics, real_features: Tensor, *, allow_few: bool = False
    ) -> None:
        self.network, device = network, real_features.device
        dimension, classes = network.num_features, network.num_classes
        self.distance = FrechetDistance(dimension, real=real, allow_few=allow_few).to(device)
        self.precision_recall = ImprovedPrecisionRecall(dimension, real=real_features).to(device)
        self.score, self.coverage = InceptionScore(classes).to(device), ModeCoverage(classes).to(device)
        self.agreement = Mean().to(device)
        self.found: Coverage | None = None

    def __call__(self, pictures: Iterable[Tensor], labels: Sequence[Tensor] = ()) -> dict[str, Tensor]:
        """Figures of pictures that come in batches (N, C, H, W), over all ranks: a collective call.

        Args:
            pictures: batches.
            labels: for every batch the classes (N,) that were asked for, for `class_agreement`; none without.
        """
        metrics = (self.distance, self.precision_recall, self.score, self.coverage, self.agreement)
        for number, batch in enumerate(pictures):
            features, probabilities = self.network.features_and_probabilities(batch)
            self.distance.update(features)
            self.precision_recall.update(features)
            self.score.update(probabilities)
            self.coverage.update(probabilities)
            if labels:
                self.agreement.update(probabilities.argmax(1) == labels[number])
        nearness, self.found = self.precision_recall.compute(), self.coverage.compute()
        published = getattr(self.network, "published", False)
        figures = {
            distance_name(self.network): self.distance.compute(),
            "inception_score" if published else f"{self.network.name}_score": self.score.compute(),
            "precision": nearness.precision,
            "recall": nearness.recall,
            "modes_covered": self.found.covered.sum(),
            "effective_modes": self.found.effective_classes,
            "recognised": self.found.recognised,
        }
        if labels:
            figures["class_agreement"] = self.agreement.compute()
        for metric in metrics:
            metric.reset()
        return {name: value.float() for name, value in figures.items()}


class SampleEvaluation(Callback):
    """Draws samples at the end of validation and test and logs their figures; a test compares them with controls.

    `val/frechet_<network>` (`val/fid` by the published Inception alone), precision, recall, modes covered and so on; of
    a conditional generator whose classes are the classifier's, `class_agreement`: how often it names the class asked
    for. A test prints the same of real pictures, noise and real pictures with shuffled pixels, which must fail, and
    writes them to `sample_scores.csv` and samples beside their nearest training pictures to `samples/nearest.png`.

    Args:
        features: see `feature_network`.
        count: samples over all ranks.
        allow_few: also with fewer samples than features.
    """

    def __init__(self, features: str, count: int = 1000, *, allow_few: bool = False) -> None:
        self.features, self.count, self.allow_few = features, count, allow_few
        self.scores: SampleScores | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "predict" or self.scores is not None:
            return
        device, data = trainer.strategy.root_device, trainer.datamodule  # type: ignore[attr-defined]
        network = feature_network(self.features).to(device)  # the module itself is moved there later
        if not hasattr(data, "pictures"):
            raise ValueError(f"features={self.features!r} needs real pictures: fit with an ImageDataModule.")
        real = data.pictures("train")
        for turn in (True, False):  # the first rank computes what the others then find on disk
            if turn == trainer.is_global_zero:
                statistics = real_statistics(real, network, allow_few=self.allow_few, device=device)
            trainer.strategy.barrier()
        some = self.some_of(real, self.count).to(device)
        self.scores = SampleScores(network, statistics, features_of(network, some), allow_few=self.allow_few)

    def some_of(self, real: PlainPictures, count: int) -> Tensor:
        """`count` real pictures, or all, in an order that is the same each time."""
        draw = np.random.default_rng(derive_seed(run_seed(), 8))
        return real.take(draw.permutation(len(real))[:count])

    def drawn(self, trainer: Trainer, module: Any) -> Iterable[tuple[Tensor, Tensor | None]]:
        """The samples that this rank draws, from noise that is the same each time."""
        own = len(range(trainer.global_rank, self.count, trainer.world_size))
        noise = module.noise(own, seed=derive_seed(run_seed(), 7, trainer.global_rank))
        labels = module.labels_in_turn(own)
        for first in range(0, own, AT_ONCE):
            part = slice(first, first + AT_ONCE)
            asked = None if labels is None else labels[part]
            yield module.generate(noise[part], asked), asked

    def report(self, trainer: Trainer, module: Any, stage: str) -> dict[str, Tensor]:
        assert self.scores is not None
        samples, network = list(self.drawn(trainer, module)), self.scores.network
        same_classes = module.num_classes == network.num_classes
        asked = [labels for _, labels in samples if labels is not None and same_classes]
        figures = self.scores((pictures for pictures, _ in samples), asked)
        names = getattr(trainer.datamodule, "class_names", None)  # type: ignore[attr-defined]
        known = names if names and len(names) == network.num_classes else None
        if self.scores.found is not None and (said := self.scores.found.warning(known)) is not None:
            rank_zero_warn(said)
        module.log_dict({f"{stage}/{name}": value for name, value in figures.items()}, prog_bar=True)
        return figures

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self.report(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        figures = self.report(trainer, pl_module, "test")
        module: Any = pl_module
        training = trainer.datamodule.pictures("train")  # type: ignore[attr-defined]
        rows = {"samples": figures, **self.controls(trainer, training, pl_module.device)}
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        title = f"{self.count:,} samples, features: {self.features}"
        write_scores(trainer, "sample_scores.csv", rows, title=title)
        recall, of_real = (float(rows[name]["recall"]) for name in ("samples", HALVES))
        if recall < min(POOR_RECALL * of_real, float(figures["precision"])):  # else they are no pictures yet
            rank_zero_warn(
                f"mode collapse: recall {recall:.3f}, where one half of the real pictures has {of_real:.3f} of the "
                "other: samples hardly vary, as with one picture for each class. Look at samples/nearest.png; "
                "augmentation of real and fake (--model.augmentation color,translation) or another loss may help."
            )
        samples = module.sample(NEIGHBOURS_SHOWN, seed=run_seed())
        places = nearest_pictures(samples, (batch.to(samples.device) for batch in training)).rows[:, 0]
        beside = torch.stack([samples.cpu(), training.take(places.cpu().numpy())], 1).flatten(0, 1)
        save_picture(trainer, "nearest", picture_grid(beside, columns=8))

    def controls(self, trainer: Trainer, real: PlainPictures, device: torch.device) -> dict[str, dict[str, Tensor]]:
        """The same figures of half of the real pictures against the other half, of noise, and of shuffled pixels."""
        assert self.scores is not None
        network, draw = self.scores.network, torch.Generator().manual_seed(derive_seed(run_seed(), 9))
        pictures = self.some_of(real, 2 * self.count).to(device)
        half, other = pictures[0::2], pictures[1::2]
        features = features_of(network, other)
        halves = SampleScores(network, FeatureStatistics.of(features.cpu()), features, allow_few=True)
        some = pictures[: self.count]
        noise = torch.rand(some.shape, generator=draw).to(device) * 2 - 1
        order = torch.rand(some[:, 0].flatten(1).shape, generator=draw).argsort(1).to(device)  # (N, H W)
        shuffled = some.flatten(2).gather(2, order[:, None].expand(-1, some.shape[1], -1)).view_as(some)

        def own(pictures: Tensor) -> tuple[Tensor, ...]:
            parts: tuple[Tensor, ...] = pictures[trainer.global_rank :: trainer.world_size].split(AT_ONCE)
            return parts

        return {
            HALVES: halves(own(half)),
            "noise": self.scores(own(noise)),
            "shuffled pixels": self.scores(own(shuffled)),
        }


def features_of(network: Features, pictures: Tensor) -> Tensor:
    """Features (N, D) of pictures (N, C, H, W), in parts."""
    return torch.cat([network(part) for part in pictures.split(AT_ONCE)])
