"""What it costs to notice losses that are not finite, and to compare files with their checksums.

    python -m benchmarks.training.finiteness [--quick]

Steps: one module under two Trainers that take turns, with the callback that sees every loss and without it; ratios of
each pair of neighbouring blocks of steps, their median. Files: reading a checkpoint, a saved folder and a cache with
and without the comparison, in turns in one process, from the system's cache of files, where it costs most.
"""

from __future__ import annotations

import argparse
import logging
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.tools.interleaved import Contestant, add_clock, quietly
from lhy_lightning import ImageClassifier
from lhy_lightning.core.checksums import _checked, check_archive, check_tensors, tensor_checksums
from lhy_lightning.data.cache_checks import BlockSums, same_bytes
from lhy_lightning.training.checkpoints import WholeFileCheckpointIO
from lhy_lightning.training.csv_logger import RunLogger
from lhy_lightning.training.finite_losses import StopAtNonFiniteLoss, non_finite
from lhy_lightning.training.module import CourseModule

Clock = Callable[[], float]


class Repeated(Dataset):
    """One batch over and over, without an end."""

    def __init__(self, batch: dict[str, Tensor]) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return 10**7

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        return self.batch


class SmallBert(CourseModule):
    """Two layers, width 128: a step is as short as a text model's gets."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.save_hyperparameters()
        layer = nn.TransformerEncoderLayer(width, 2, 4 * width, batch_first=True, dropout=0.0)
        self.words, self.layers = nn.Embedding(1000, width), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 2)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        logits = self.head(self.layers(self.words(batch["ids"]))[:, 0])
        loss = nn.functional.cross_entropy(logits, batch["label"])
        if self.should_log(batch_idx):
            self.log("train/loss", loss.detach())
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=1e-4, fused=True)


class InTurns(Callback):
    """A side's steps; the side without the rule takes the callback away once the fit has begun."""

    def __init__(self, side: Contestant, *, watched: bool) -> None:
        self.side, self.watched = side, watched

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.watched:
            callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
            callbacks[:] = [callback for callback in callbacks if not isinstance(callback, StopAtNonFiniteLoss)]

    def on_train_batch_end(self, trainer: Trainer, *arguments: Any) -> None:
        if trainer.accelerator.__class__.__name__ == "CUDAAccelerator" and trainer.global_step % 10 == 0:
            torch.cuda.synchronize()
        self.side.step()


def step_ratio(
    make: Callable[[], CourseModule],
    batch: dict[str, Tensor],
    folder: Path,
    *,
    rounds: int,
    seconds: float,
    clock: Clock,
) -> tuple[float, float]:
    """Milliseconds of a step without the rule, and the median ratio of a step with it."""

    def loop(watched: bool) -> Callable[[Contestant], None]:
        def run(side: Contestant) -> None:
            trainer = Trainer(
                accelerator="auto", devices=1, max_epochs=1, log_every_n_steps=10, enable_progress_bar=False,
                logger=RunLogger(folder / str(watched)), enable_checkpointing=False, enable_model_summary=False,
                callbacks=[InTurns(side, watched=watched)],
            )  # fmt: skip
            trainer.fit(make(), DataLoader(Repeated(batch), batch_size=None))

        return run

    sides = [Contestant(name, loop(name == "with"), clock=clock) for name in ("without", "with")]
    for _ in range(3):
        for side in sides:
            side.turn(seconds)
    for side in sides:
        side.turns.clear()
    for number in range(rounds):
        for side in sides if number % 2 else sides[::-1]:
            side.turn(seconds)
    for side in sides:
        side.stop()
    without, seen = ([turn.seconds / turn.steps for turn in side.turns] for side in sides)
    return statistics.median(without) * 1e3, statistics.median(b / a for a, b in zip(without, seen, strict=True))


def in_turns(plain: Callable[[], Any], checked: Callable[[], Any], rounds: int, clock: Clock) -> tuple[float, float]:
    """Milliseconds of the one, and the median ratio of the other to it."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for place in (0, 1) if number % 2 else (1, 0):
            start = clock()
            (plain, checked)[place]()
            times[place].append(clock() - start)
    first, second = (own[1:] for own in times)
    return statistics.median(first) * 1e3, statistics.median(b / a for a, b in zip(first, second, strict=True))


def file_ratios(folder: Path, megabytes: int, rounds: int, clock: Clock) -> dict[str, tuple[float, float]]:
    """Of a checkpoint, a safetensors file and a cache of so many MB."""
    state = {f"layer.{n}.weight": torch.randn(megabytes * 2**18 // 16) for n in range(16)}
    optimizer = {"state": {n: {"exp_avg": value.clone()} for n, value in enumerate(state.values())}}
    checkpoint, saved = folder / "a.ckpt", folder / "a.safetensors"
    WholeFileCheckpointIO().save_checkpoint({"state_dict": state, "optimizer_states": [optimizer]}, checkpoint)
    save_file(state, saved, tensor_checksums(state))
    module = nn.ParameterDict({name.replace(".", "_"): value.clone() for name, value in state.items()})

    def load() -> Any:
        found = torch.load(checkpoint, weights_only=True, map_location="cpu")
        module.load_state_dict({name.replace(".", "_"): value for name, value in found["state_dict"].items()})
        return found

    def load_checked() -> None:
        _checked.clear()
        check_archive(checkpoint)
        torch.stack(non_finite(load()["state_dict"])[1]).any().item()

    def load_saved() -> Any:
        found = load_file(saved)
        module.load_state_dict({name.replace(".", "_"): value for name, value in found.items()})
        return found

    def load_saved_checked() -> None:
        check_tensors(saved)
        torch.stack(non_finite(load_saved())[1]).any().item()

    pixels = np.random.default_rng(0).integers(0, 256, (megabytes * 2**20 // 3072, 32, 32, 3), dtype=np.uint8)
    sums = BlockSums()
    sums.add(pixels.tobytes())
    np.save(folder / "a.npy", pixels)

    def epoch() -> Any:
        mapped = np.load(folder / "a.npy", mmap_mode="r")
        order = np.random.default_rng(1).permutation(len(mapped))
        for first in range(0, len(order), 128):
            np.asarray(mapped)[order[first : first + 128]]
        return mapped

    def epoch_checked() -> None:
        if not same_bytes(np.asarray(epoch()), sums.sums()):
            raise RuntimeError("the cache is not what was written")

    return {
        "checkpoint with optimizer: archive and weights": in_turns(load, load_checked, rounds, clock),
        "saved folder: tensors and weights": in_turns(load_saved, load_saved_checked, rounds, clock),
        "cache of images: start beside reading an epoch's batches": in_turns(epoch, epoch_checked, rounds, clock),
    }


def main(quick: bool = False, cpu_time: bool = False) -> None:
    clock = time.process_time if cpu_time else time.perf_counter
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    seed_everything(0, verbose=False)
    rounds, seconds, rows = (2, 0.02, 8) if quick else (60, 0.5, 128)
    images = {"image": 2 * torch.rand(rows, 3, 32, 32) - 1, "label": torch.arange(rows) % 10}
    ids = {"ids": torch.randint(0, 1000, (32, 32)), "label": torch.arange(32) % 2}

    def cnn() -> CourseModule:
        return ImageClassifier(depth=20, width=16, num_classes=10, channels=3, image_size=(32, 32))

    where = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    print(f"torch {torch.__version__}, {where}, {torch.get_num_threads()} threads, {clock.__name__}")
    print("\n| step | ms without | with, ratio |\n|---|---:|---:|")
    with quietly(), tempfile.TemporaryDirectory() as folder:
        for name, make, batch in (("ResNet-20", cnn, images), ("small BERT, 32 x 32 tokens", SmallBert, ids)):
            plain, ratio = step_ratio(make, batch, Path(folder) / name, rounds=rounds, seconds=seconds, clock=clock)
            print(f"| {name} | {plain:.2f} | {ratio:.4f} |")
        print("\n| file | MB | ms without | with, ratio |\n|---|---:|---:|---:|")
        for megabytes in (4,) if quick else (16, 256):
            for name, (plain, ratio) in file_ratios(Path(folder), megabytes, 3 if quick else 9, clock).items():
                print(f"| {name} | {megabytes} | {plain:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test: few steps, small files")
    add_clock(parser)
    main(**vars(parser.parse_args()))
