"""An epoch of homework 11 from its raw files: ours against the notebook's way, both sides in one run.

    python -m benchmarks.adaptation.domain_epoch             # some minutes
    python -m benchmarks.adaptation.domain_epoch --cpu_time  # on a busy machine, with OMP_NUM_THREADS=1
    python -m benchmarks.adaptation.domain_epoch --quick     # seconds, numbers mean little

An epoch is 156 steps of 32 source and 32 target pictures, 32×32: Canny edges of source files, grey target files
brought to size, flips and rotations of 15 degrees. The notebook's way is a Dataset that opens, converts, flips and
turns one picture after the other with PIL and OpenCV, as torchvision's transforms do, in a DataLoader without workers.
Ours is `DomainDataModule`: the first epoch begins with an empty cache and decodes every file once, all of both domains.
"""

import argparse
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.tools.interleaved import add_clock, quietly
from lhy_lightning import DomainDataModule
from lhy_lightning.data.samplers import TrainBatches

BATCH, SIZE, CANNY, DEGREES, GOAL = 32, 32, (170, 300), 15.0, 0.5
Clock = Callable[[], float]


class OnePictureAtATime(Dataset):
    """What the notebook's `ImageFolder` and its transforms do, without torchvision."""

    def __init__(self, folder: Path, *, edges: bool) -> None:
        self.files, self.edges = sorted(folder.glob("*/*.bmp")), edges
        self.labels = [int(file.parent.name) for file in self.files]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        with open(self.files[row], "rb") as file:
            picture = Image.open(file).convert("RGB").convert("L")
        if self.edges:
            picture = Image.fromarray(cv2.Canny(np.array(picture), *CANNY))
        else:
            picture = picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        if torch.rand(1) < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        angle = float(torch.empty(1).uniform_(-DEGREES, DEGREES))
        picture = picture.rotate(angle, Image.Resampling.NEAREST, fillcolor=0)
        pixels = torch.from_numpy(np.array(picture, dtype=np.uint8)).view(SIZE, SIZE, 1)
        return pixels.permute(2, 0, 1).contiguous().float().div(255), self.labels[row]


def write_files(folder: Path, source: int, target: int) -> None:
    """Pieces of two photos in colour, in ten class folders; enlarged digits in grey, in a folder that is no class."""
    rng, photos, digits = random.Random(0), load_sample_images().images, load_digits().images
    for i in range(source):
        photo, place = photos[i % 2], folder / f"train_data/{i % 10}"
        place.mkdir(parents=True, exist_ok=True)
        top, left = rng.randrange(photo.shape[0] - 96), rng.randrange(photo.shape[1] - 96)
        Image.fromarray(photo[top : top + 96, left : left + 96]).resize((32, 32)).save(place / f"{i}.bmp")
    place = folder / "test_data/0"
    place.mkdir(parents=True)
    for i in range(target):
        digit = (digits[i % len(digits)] * 15.9).astype(np.uint8)
        Image.fromarray(digit).resize((28, 28), Image.Resampling.BICUBIC).save(place / f"{i:05d}.bmp")


def consume(batches: Iterable[object]) -> int:
    return sum(1 for _ in batches)


def notebook(folder: Path, steps: int, clock: Clock) -> float:
    started = clock()
    loaders = [
        DataLoader(OnePictureAtATime(folder / name, edges=edges), batch_size=BATCH, shuffle=True, drop_last=True)
        for name, edges in (("train_data", True), ("test_data", False))
    ]
    assert consume(zip(range(steps), *loaders, strict=False)) == steps
    return clock() - started


def ours(folder: Path, steps: int, clock: Clock) -> tuple[float, float]:
    """Seconds of the first epoch, with all that goes before it, and of the second."""
    with tempfile.TemporaryDirectory() as cache:
        times, began = [], clock()
        data = DomainDataModule(
            str(folder), None, transductive=True, image_size=SIZE, source_transform="edges", target_transform="grey",
            canny=CANNY, horizontal_flip=0.5, rotation=DEGREES, batch_size=BATCH, steps_per_epoch=steps,
            cache_dir=cache,
        )  # fmt: skip
        data.setup()
        loader = data.train_dataloader()
        sampler = loader.sampler
        assert isinstance(sampler, TrainBatches)
        for epoch in range(2):
            sampler.set_epoch(epoch)
            assert consume(data.prepare_batch(batch, training=True) for batch in loader) == steps
            times.append(clock() - began)
            began = clock()
    return times[0], times[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few pictures, once: a smoke test")
    parser.add_argument("--rounds", type=int, default=5, help="how often both sides take their turn")
    parser.add_argument("--source_files", type=int, default=5000, help="as many as the homework's folder has")
    parser.add_argument("--target_files", type=int, default=5000, help="the homework's folder has 100,000")
    add_clock(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    source, target, rounds = arguments.source_files, arguments.target_files, arguments.rounds
    if arguments.quick:
        source, target, rounds = 640, 640, 1
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    steps = source // BATCH
    with tempfile.TemporaryDirectory() as place, quietly():
        folder = Path(place) / "real_or_drawing"
        write_files(folder, source, target)
        turns = [(notebook(folder, steps, clock), *ours(folder, steps, clock)) for _ in range(rounds)]
    pictures = 2 * steps * BATCH
    theirs, first, second = (statistics.median(column) for column in zip(*turns, strict=True))
    print(
        f"torch {torch.__version__}, OpenCV {cv2.__version__}, {source:,} source and {target:,} target files, {steps} "
        f"steps of {BATCH} + {BATCH}, median of {rounds}, {'processor' if arguments.cpu_time else 'wall clock'} time.\n"
    )
    print("| side | seconds an epoch | µs a picture | times the notebook's (range) | goal |\n|---|---|---|---|---|")
    print(f"| the notebook's way | {theirs:.2f} | {theirs / pictures * 1e6:.0f} | 1 | |")
    for number, name in ((1, "ours, first epoch, files decoded"), (2, "ours, every other epoch")):
        ratios = sorted(turn[number] / turn[0] for turn in turns)
        seconds = (first, second)[number - 1]
        print(
            f"| {name} | {seconds:.2f} | {seconds / pictures * 1e6:.0f} | **{statistics.median(ratios):.2f}** "
            f"({ratios[0]:.2f}–{ratios[-1]:.2f}) | ≤ {GOAL} |"
        )


if __name__ == "__main__":
    main()
