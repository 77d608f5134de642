"""Time of a DCGAN's training step: homework 6's own loop in plain PyTorch against `GAN` under the Trainer.

    python benchmarks/gan_step.py [--width 64] [--rounds 20] [--threads 2] [--json figures.json] [--quick]

A step is one of the discriminator and one of the generator on 64 pictures of 64 x 64 pixels. The other side is the
notebook's loop, written out: the same networks, fresh noise for each of the two steps, binary cross entropy after a
sigmoid, both backward passes through the whole discriminator, Adam as torch has it by default, losses read every tenth
step. The notebook of 2021 detaches the fakes in the discriminator's step, those of 2022 and 2023 do not and go back
through the generator for nothing: ratios are against the cheaper one.

Our step is everything from the end of one step to the end of the next: batch, hooks, logging, progress bar, averaged
generator. All sides train in one process on the same random pictures in memory, one step of each in turn, so that a
busy machine slows all; medians are over steps, of ratios over rounds.
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
from turns import LOG_EVERY, Side, add_clock, default_trainer, quietly

from lhy_lightning.gan.dcgan import DCGANDiscriminator, DCGANGenerator
from lhy_lightning.gan.gan import GAN

WARM_UP, LATENT, LR, BETAS = 2, 100, 2e-4, (0.5, 0.999)
NOTEBOOK = "the notebook's loop, 2021"
ASKED = {"GAN, defaults": 0.8, "GAN, reuse_fakes off": 0.9}


@dataclass(frozen=True)
class Size:
    """Homework 6: pictures of 64 pixels in batches of 64, 64 channels next to the picture."""

    width: int = 64
    batch_size: int = 64
    image_size: int = 64


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
        generator = torch.Generator().manual_seed(0)
        shape = (size.batch_size, 3, size.image_size, size.image_size)
        self.kept = [{"image": 2 * torch.rand(shape, generator=generator) - 1} for _ in range(4)]

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        return self.kept[number % 4]


def notebook(size: Size, *, detached: bool) -> Callable[[Side], None]:
    """The loop of homework 6; `detached` says whether the discriminator's backward stops at the fakes."""

    def loop(side: Side) -> None:
        generator = DCGANGenerator(latent=LATENT, width=size.width, image_size=size.image_size)
        discriminator = DCGANDiscriminator(width=size.width, image_size=size.image_size)
        criterion = nn.BCELoss()
        discriminator_adam = torch.optim.Adam(discriminator.parameters(), lr=LR, betas=BETAS)
        generator_adam = torch.optim.Adam(generator.parameters(), lr=LR, betas=BETAS)
        for step, batch in enumerate(DataLoader(Batches(size), batch_size=None)):
            real = batch["image"]
            real_label, fake_label = torch.ones(len(real)), torch.zeros(len(real))

            fake = generator(torch.randn(len(real), LATENT))
            real_scores = discriminator(real).sigmoid()
            fake_scores = discriminator(fake.detach() if detached else fake).sigmoid()
            discriminator_loss = (criterion(real_scores, real_label) + criterion(fake_scores, fake_label)) / 2
            discriminator.zero_grad()
            discriminator_loss.backward()
            discriminator_adam.step()

            fake = generator(torch.randn(len(real), LATENT))
            fake_scores = discriminator(fake).sigmoid()
            generator_loss = criterion(fake_scores, real_label)
            generator.zero_grad()
            generator_loss.backward()
            generator_adam.step()

            if step % LOG_EVERY == 0:
                discriminator_loss.item(), generator_loss.item()
            side.step()

    return loop


class InTurns(Callback):
    """Our sides' steps."""

    def __init__(self, side: Side) -> None:
        self.side = side

    def on_train_batch_end(self, *arguments: Any) -> None:
        self.side.step()


def ours(size: Size, folder: Path, **settings: Any) -> Callable[[Side], None]:
    """`GAN` under the Trainer with everything that `lhy fit` switches on by default."""

    def loop(side: Side) -> None:
        module = GAN(
            width=size.width, latent=LATENT, image_size=(size.image_size, size.image_size), channels=3,
            discriminator_lr=LR, generator_lr=LR, betas=BETAS, **settings,
        )  # fmt: skip
        trainer = default_trainer(folder / side.name, InTurns(side), max_epochs=-1)
        trainer.fit(module, DataLoader(Batches(size), batch_size=None))

    return loop


def loops_of(size: Size, folder: Path) -> dict[str, Callable[[Side], None]]:
    """All sides by their names, the one first that the others are measured against."""
    variants: dict[str, dict[str, Any]] = {
        "GAN, defaults": {},
        "GAN, reuse_fakes off": {"reuse_fakes": False},
        "GAN, channels_last off": {"channels_last": False},
        "GAN, reuse_fakes and channels_last off": {"reuse_fakes": False, "channels_last": False},
        "GAN, averaged generator off": {"ema_decay": None},
    }
    return {
        NOTEBOOK: notebook(size, detached=True),
        "the notebook's loop, 2022 and 2023": notebook(size, detached=False),
        **{name: ours(size, folder, **settings) for name, settings in variants.items()},
    }


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
    parser.add_argument("--only", nargs="+", default=[""], help="the notebook's loop and sides with one of these in it")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    parser.add_argument("--quick", action="store_true", help="a smoke test: two steps of tiny networks on few rows")
    add_clock(parser)
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    size = Size(options.width, options.batch_size, options.image_size)
    rounds = options.rounds
    if options.quick:
        size, rounds = Size(width=2, batch_size=4, image_size=16), 2
    seed_everything(0, verbose=False)
    clock = "processor time" if options.cpu_time else "wall clock"
    facts = f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}, {clock}"
    print(f"{facts}; median of {rounds} steps, {size}")
    with quietly(), tempfile.TemporaryDirectory() as folder:
        sides = [
            Side(name, loop, clock=time.process_time if options.cpu_time else time.perf_counter)
            for name, loop in loops_of(size, Path(folder)).items()
            if name == NOTEBOOK or any(part in name for part in options.only)
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
