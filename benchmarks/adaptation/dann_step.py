"""Time of a DANN's training step: homework 11's own loop in plain PyTorch against `DANN` under the Trainer.

    python -m benchmarks.adaptation.dann_step [--width 64] [--rounds 20] [--threads 2] [--json figures.json] [--quick]

A step sees 32 source and 32 target pictures of 32 x 32 pixels, grey. The other side is the notebook's loop, written
out: the homework's three networks, the extractor once on both domains together, the domain classifier's step on
detached features, then the step of extractor and label predictor on class loss - .1 domain loss, three Adam optimizers
as torch has them by default, binary cross entropy over the mixed rows, losses and accuracy read every step.

Our step is everything from the end of one step to the end of the next: batch, hooks, logging, progress bar. All sides
train in one process on the same random pictures in memory, one step of each in turn, so that a busy machine slows all;
medians are over steps, of ratios over rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.tools.interleaved import Contestant, default_trainer
from benchmarks.tools.step_times import Figure, InTurns, Repeated, compare
from lhy_lightning.adaptation.dann import DANN
from lhy_lightning.adaptation.networks.by_name import feature_extractor, perceptron

LR, CLASSES, LAMBDA = 1e-3, 10, 0.1
NOTEBOOK = "the notebook's loop"
TARGETS = {"DANN": 1.0, "DANN, alternating": 1.0}


@dataclass(frozen=True)
class Size:
    """Homework 11: 32 rows of each domain, 64 channels in the first convolution, 512 units."""

    width: int = 64
    batch_size: int = 32
    units: int = 512


def batches(size: Size) -> DataLoader:
    """Four random batches over and over, without an end."""
    draws, rows = torch.Generator().manual_seed(0), size.batch_size

    def pictures() -> Tensor:
        return 2 * torch.rand(rows, 1, 32, 32, generator=draws) - 1

    kept = [
        {
            "source_image": pictures(), "target_image": pictures(),
            "source_label": torch.randint(CLASSES, (rows,), generator=draws),
        }
        for _ in range(4)
    ]  # fmt: skip
    return DataLoader(Repeated(kept), batch_size=None)


def notebook(size: Size) -> Callable[[Contestant], None]:
    def loop(side: Contestant) -> None:
        extractor = feature_extractor("homework", 1, (32, 32), width=size.width)
        predictor = perceptron(8 * size.width, (size.units,) * 2, CLASSES)
        classifier = perceptron(8 * size.width, (size.units,) * 4, 1, norm="batch")
        class_criterion, domain_criterion = nn.CrossEntropyLoss(), nn.BCEWithLogitsLoss()
        adams = [torch.optim.Adam(network.parameters()) for network in (extractor, predictor, classifier)]
        hits = rows = 0.0
        for batch in batches(size):
            source, label = batch["source_image"], batch["source_label"]
            mixed = torch.cat([source, batch["target_image"]])
            domain_label = torch.zeros(len(mixed), 1)
            domain_label[: len(source)] = 1

            feature = extractor(mixed)
            domain_loss = domain_criterion(classifier(feature.detach()), domain_label)
            domain_loss.item()
            domain_loss.backward()
            adams[2].step()

            logits = predictor(feature[: len(source)])
            loss = class_criterion(logits, label) - LAMBDA * domain_criterion(classifier(feature), domain_label)
            loss.item()
            loss.backward()
            adams[0].step()
            adams[1].step()
            for adam in adams:
                adam.zero_grad()

            hits += torch.sum(torch.argmax(logits, dim=1) == label).item()
            rows += len(source)
            side.step()

    return loop


def ours(size: Size, folder: Path, **settings: Any) -> Callable[[Contestant], None]:
    """`DANN` under the Trainer with everything that `lhy fit` switches on by default."""

    def loop(side: Contestant) -> None:
        module = DANN(
            network="homework", width=size.width, label_hidden=(size.units,) * 2, domain_hidden=(size.units,) * 4,
            domain_classifier_norm="batch", domain_weight=1.0, optimizer="adam", lr=LR, schedule="constant",
            reversal="constant", coefficient=LAMBDA, num_classes=CLASSES, image_size=(32, 32), channels=1,
            projection="none", **settings,
        )  # fmt: skip
        trainer = default_trainer(folder / side.name, InTurns(side), max_steps=10**6)
        trainer.fit(module, batches(size))

    return loop


def loops_of(size: Size, folder: Path) -> dict[str, Callable[[Contestant], None]]:
    """All sides by their names, the one first that the others are measured against."""
    variants: dict[str, dict[str, Any]] = {
        "DANN": {},
        "DANN, alternating": {"alternating": True},
        "DANN, channels_last off": {"channels_last": False},
    }
    return {NOTEBOOK: notebook(size), **{name: ours(size, folder, **settings) for name, settings in variants.items()}}


def main(arguments: Sequence[str] | None = None) -> list[Figure]:
    return compare(
        arguments,
        doc=__doc__,
        size=Size(),
        quick=Size(width=2, batch_size=4, units=8),
        loops_of=loops_of,
        targets=TARGETS,
    )


if __name__ == "__main__":
    main()
