"""Time of one training step: our module under the Trainer against a hand-written loop, and what each setting adds.

    python -m benchmarks.cnn.train_step [--quick]

Both sides of every comparison run in one process, one step of each in turn, so that a busy machine slows both. The
Trainer's step is everything from the end of one step of the other side to the end of its own: fetching the batch,
hooks, logging, progress bar, last checkpoint. The hand-written loop does the same arithmetic with the same settings
(channels innermost, fused SGD, cosine schedule) and writes loss and accuracy every tenth step to a csv file.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import logging
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import RichProgressBar
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lhy_lightning import ImageClassifier
from lhy_lightning.callbacks.curves import Curves
from lhy_lightning.callbacks.last_checkpoint import LastCheckpoint
from lhy_lightning.cnn.networks import ResNet
from lhy_lightning.optim import build_schedule, parameter_groups
from lhy_lightning.training.csv_logger import RunLogger

WARM_UP = 5
LR, MOMENTUM, DECAY, LOG_EVERY = 0.1, 0.9, 5e-4, 10


class Batches(Dataset):
    """A few random batches over and over."""

    def __init__(self, shape: tuple[int, int, int, int], steps: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.steps = steps
        self.kept = [
            {"image": 2 * torch.rand(shape, generator=generator) - 1, "label": torch.arange(shape[0]) % 10}
            for _ in range(4)
        ]

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        if number >= self.steps:
            raise IndexError
        return self.kept[number % 4]


def by_hand(
    network: nn.Module,
    batches: Batches,
    *,
    channels_last: bool = True,
    fused: bool | None = True,
    compiled: bool = False,
    log: Path | None = None,
) -> Iterator[None]:
    """A training loop as one writes it without a framework; a step each time it is asked for the next."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = network.to(memory_format=layout)
    if compiled:
        network.compile()
    groups = parameter_groups(network, LR, DECAY)
    optimizer = torch.optim.SGD(groups, lr=LR, momentum=MOMENTUM, nesterov=True, fused=fused)
    schedule = build_schedule(optimizer, "cosine", total_steps=len(batches))
    with (log or Path("/dev/null")).open("w") as file:
        writer = csv.writer(file)
        for step, batch in enumerate(DataLoader(batches, batch_size=None)):
            images, label = batch["image"].contiguous(memory_format=layout), batch["label"]
            logits = network(images)
            loss = F.cross_entropy(logits, label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % LOG_EVERY == LOG_EVERY - 1:
                accuracy = (logits.argmax(1) == label).float().mean()
                writer.writerow((step, loss.item(), accuracy.item()))
                file.flush()
            yield


class InTurn(Callback):
    """Runs and times one step of the other side after each of the Trainer's."""

    def __init__(self, other: Iterator[None]) -> None:
        self.other = other
        self.ours: list[float] = []
        self.theirs: list[float] = []
        self.left = 0.0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: Any) -> None:
        arrived = time.perf_counter()
        next(self.other)
        done = time.perf_counter()
        if self.left:
            self.ours.append(arrived - self.left)
            self.theirs.append(done - arrived)
        self.left = time.perf_counter()


class TinyNetwork(nn.Module):
    """Too small to matter: what remains is the framework."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.flatten(1))


class TinyClassifier(ImageClassifier):
    def build_network(self) -> nn.Module:
        return TinyNetwork()


def trainer_against_hand(
    module: ImageClassifier, network: nn.Module, shape: tuple[int, int, int, int], steps: int
) -> tuple[float, float]:
    """Median seconds of a step under the Trainer and by hand."""
    batches = Batches(shape, steps + WARM_UP + 1)
    network.load_state_dict(module.network.state_dict())  # type: ignore[union-attr]
    with tempfile.TemporaryDirectory() as folder:
        in_turn = InTurn(by_hand(network, batches, log=Path(folder) / "by_hand.csv"))
        trainer = Trainer(
            accelerator="cpu", max_epochs=1, log_every_n_steps=LOG_EVERY, logger=RunLogger(folder),
            default_root_dir=folder, enable_model_summary=False, enable_checkpointing=True,
            callbacks=[RichProgressBar(refresh_rate=4), Curves(), LastCheckpoint(), in_turn],
        )  # fmt: skip
        trainer.fit(module, DataLoader(batches, batch_size=None))
    return statistics.median(in_turn.ours[WARM_UP:]), statistics.median(in_turn.theirs[WARM_UP:])


def settings_in_turn(make: Callable[[], nn.Module], shape: tuple[int, int, int, int], steps: int) -> dict[str, float]:
    """Median seconds of a hand-written step with every setting on, and with one of them changed."""
    batches = Batches(shape, steps + WARM_UP + 1)
    variants: dict[str, dict[str, Any]] = {
        "channels last, fused optimizer": {},
        "without channels last": {"channels_last": False},
        "without fused optimizer (foreach)": {"fused": False},
        "with torch.compile": {"compiled": True},
    }
    loops: dict[str, Iterator[None]] = {}
    for name, options in variants.items():
        torch.manual_seed(0)
        loops[name] = by_hand(make(), batches, **options)
    times: dict[str, list[float]] = {name: [] for name in variants}
    for name, _ in itertools.product(variants, range(WARM_UP)):
        next(loops[name])
    for _, name in itertools.product(range(steps), variants):
        start = time.perf_counter()
        next(loops[name])
        times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def main(quick: bool = False) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    seed_everything(0, verbose=False)
    steps, small_steps, rows = (2, 20, 8) if quick else (50, 500, 128)
    numbers = {"num_classes": 10, "channels": 3, "lr": LR, "weight_decay": DECAY}
    shape = (rows, 3, 32, 32)

    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}")
    module = ImageClassifier(network="resnet", depth=20, width=16, image_size=(32, 32), **numbers)
    tiny = TinyClassifier(image_size=(4, 4), **{**numbers, "channels": 1})
    lines = [
        (f"ResNet-20, width 16, {rows} x 3 x 32 x 32, median of {steps}",
         *trainer_against_hand(module, ResNet(10), shape, steps)),
        (f"one linear layer, 8 x 1 x 4 x 4, median of {small_steps}",
         *trainer_against_hand(tiny, TinyNetwork(), (8, 1, 4, 4), small_steps)),
    ]  # fmt: skip
    print("\n| step | Trainer, ms | by hand, ms | ratio | Trainer adds, ms |")
    print("|---|---:|---:|---:|---:|")
    for name, ours, theirs in lines:
        print(f"| {name} | {ours * 1e3:.2f} | {theirs * 1e3:.2f} | {ours / theirs:.3f} | {(ours - theirs) * 1e3:.2f} |")
    if quick:
        return
    settings = settings_in_turn(lambda: ResNet(10), shape, steps)
    default = next(iter(settings.values()))
    print("\n| ResNet-20 by hand | ms a step | against the first row |")
    print("|---|---:|---:|")
    for name, seconds in settings.items():
        print(f"| {name} | {seconds * 1e3:.2f} | {seconds / default:.3f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test: few steps, few rows, no table of settings")
    main(**vars(parser.parse_args()))
