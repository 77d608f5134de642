"""Time of a DANN's training step: homework 11's own loop in plain PyTorch against `DANN` under the Trainer.

    python benchmarks/dann_step.py [--width 64] [--rounds 20] [--threads 2] [--json figures.json] [--quick]

A step sees 32 source and 32 target pictures of 32 x 32 pixels, grey. The other side is the notebook's loop, written
out: the homework's three networks, the extractor once on both domains together, the domain classifier's step on
detached features, then the step of extractor and label predictor on class loss - .1 domain loss, three Adam optimizers
as torch has them by default, binary cross entropy over the mixed rows, losses and accuracy read every step.

Our step is everything from the end of one step to the end of the next: batch, hooks, logging, progress bar. All sides
train in one process on the same random pictures in memory, one step of each in turn, so that a busy machine slows all;
medians are over steps, of ratios over rounds.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, seed_everything
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from turns import Side, add_clock, default_trainer, quietly

from lhy_lightning.adaptation.dann import DANN
from lhy_lightning.adaptation.networks import feature_extractor, perceptron

WARM_UP, LR, CLASSES, LAMBDA = 2, 1e-3, 10, 0.1
NOTEBOOK = "the notebook's loop"
ASKED = {"DANN": 1.0, "DANN, alternating": 1.0}


@dataclass(frozen=True)
class Size:
    """Homework 11: 32 rows of each domain, 64 channels in the first convolution, 512 units."""

    width: int = 64
    batch_size: int = 32
    units: int = 512


@dataclass(frozen=True)
class Figure:
    """Seconds of a side's step, and the median of its share of the notebook's in the same round."""

    name: str
    median: float
    fastest: float
    slowest: float
    ratio: float
    asked: float | None


class Batches(Dataset):
    """Four random batches over and over, without an end."""

    def __init__(self, size: Size) -> None:
        draws, rows = torch.Generator().manual_seed(0), size.batch_size

        def pictures() -> Tensor:
            return 2 * torch.rand(rows, 1, 32, 32, generator=draws) - 1

        self.kept = [
            {
                "source_image": pictures(), "target_image": pictures(),
                "source_label": torch.randint(CLASSES, (rows,), generator=draws),
            }
            for _ in range(4)
        ]  # fmt: skip

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        return self.kept[number % 4]


def notebook(size: Size) -> Callable[[Side], None]:
    def loop(side: Side) -> None:
        extractor = feature_extractor("homework", 1, (32, 32), width=size.width)
        predictor = perceptron(8 * size.width, (size.units,) * 2, CLASSES)
        classifier = perceptron(8 * size.width, (size.units,) * 4, 1, norm="batch")
        class_criterion, domain_criterion = nn.CrossEntropyLoss(), nn.BCEWithLogitsLoss()
        adams = [torch.optim.Adam(network.parameters()) for network in (extractor, predictor, classifier)]
        hits = rows = 0.0
        for batch in DataLoader(Batches(size), batch_size=None):
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


class InTurns(Callback):
    """Our sides' steps."""

    def __init__(self, side: Side) -> None:
        self.side = side

    def on_train_batch_end(self, *arguments: Any) -> None:
        self.side.step()


def ours(size: Size, folder: Path, **settings: Any) -> Callable[[Side], None]:
    """`DANN` under the Trainer with everything that `lhy fit` switches on by default."""

    def loop(side: Side) -> None:
        module = DANN(
            network="homework", width=size.width, label_hidden=(size.units,) * 2, domain_hidden=(size.units,) * 4,
            domain_classifier_norm="batch", domain_weight=1.0, optimizer="adam", lr=LR, schedule="constant",
            reversal="constant", coefficient=LAMBDA, num_classes=CLASSES, image_size=(32, 32), channels=1,
            projection="none", **settings,
        )  # fmt: skip
        trainer = default_trainer(folder / side.name, InTurns(side), max_steps=10**6)
        trainer.fit(module, DataLoader(Batches(size), batch_size=None))

    return loop


def loops_of(size: Size, folder: Path) -> dict[str, Callable[[Side], None]]:
    """All sides by their names, the one first that the others are measured against."""
    variants: dict[str, dict[str, Any]] = {
        "DANN": {},
        "DANN, alternating": {"alternating": True},
        "DANN, channels_last off": {"channels_last": False},
    }
    return {NOTEBOOK: notebook(size), **{name: ours(size, folder, **settings) for name, settings in variants.items()}}


def figures_of(sides: Sequence[Side]) -> Iterator[Figure]:
    """Each step is divided by the notebook's of the same round, which met the same busy machine."""
    times = {side.name: [turn.seconds for turn in side.turns] for side in sides}
    for name, seconds in times.items():
        ratio = statistics.median(own / other for own, other in zip(seconds, times[NOTEBOOK], strict=True))
        yield Figure(name, statistics.median(seconds), min(seconds), max(seconds), ratio, ASKED.get(name))


def report(figures: Sequence[Figure]) -> None:
    print("\n| side | ms a step | fastest to slowest | against the notebook's loop | asked |")
    print("|---|---:|---:|---:|---:|")
    for figure in figures:
        spread = f"{figure.fastest * 1e3:.1f} to {figure.slowest * 1e3:.1f}"
        asked = "" if figure.asked is None else f"≤ {figure.asked:.2f}×"
        print(f"| {figure.name} | {figure.median * 1e3:.1f} | {spread} | {figure.ratio:.3f}× | {asked} |")


def main(arguments: Sequence[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in asdict(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--rounds", type=int, default=20, help="steps of every side that are timed")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    parser.add_argument("--quick", action="store_true", help="a smoke test: two steps of tiny networks on few rows")
    add_clock(parser)
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    size, rounds = Size(options.width, options.batch_size, options.units), options.rounds
    if options.quick:
        size, rounds = Size(width=2, batch_size=4, units=8), 2
    seed_everything(0, verbose=False)
    clock = "processor time" if options.cpu_time else "wall clock"
    facts = f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}, {clock}"
    print(f"{facts}; median of {rounds} steps, {size}")
    with quietly(), tempfile.TemporaryDirectory() as folder:
        sides = [
            Side(name, loop, clock=time.process_time if options.cpu_time else time.perf_counter)
            for name, loop in loops_of(size, Path(folder)).items()
        ]
        for side in sides:
            for _ in range(WARM_UP):
                side.turn(0)
            side.turns.clear()
        for number in range(rounds):
            for side in sides[number % len(sides) :] + sides[: number % len(sides)]:
                side.turn(0)
        for side in sides:
            side.stop()
    figures = list(figures_of(sides))
    report(figures)
    if options.json is not None:
        result = {"machine": facts, "rounds": rounds, **asdict(size), "sides": [asdict(figure) for figure in figures]}
        options.json.write_text(json.dumps(result, indent=1) + "\n", "utf8")
    return figures


if __name__ == "__main__":
    main()
