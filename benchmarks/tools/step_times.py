"""Time of a module's training step beside a plain loop of the same networks: what such benchmarks share."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, seed_everything
from torch import Tensor
from torch.utils.data import Dataset

from benchmarks.tools.interleaved import Contestant, add_clock, quietly

WARM_UP = 2
Loop = Callable[[Contestant], None]


@dataclass(frozen=True)
class Figure:
    """Seconds of a side's step, and the median of its share of the plain loop's in the same round."""

    name: str
    median: float
    fastest: float
    slowest: float
    ratio: float
    target: float | None


class Repeated(Dataset):
    """A few batches over and over, without an end."""

    def __init__(self, kept: Sequence[dict[str, Tensor]]) -> None:
        self.kept = kept

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        return self.kept[number % len(self.kept)]


class InTurns(Callback):
    """Our sides' steps."""

    def __init__(self, side: Contestant) -> None:
        self.side = side

    def on_train_batch_end(self, *arguments: Any) -> None:
        self.side.step()


def figures_of(sides: Sequence[Contestant], targets: Mapping[str, float]) -> Iterator[Figure]:
    """Each step is divided by the first side's of the same round, which met the same busy machine."""
    times = {side.name: [turn.seconds for turn in side.turns] for side in sides}
    plain = times[sides[0].name]
    for name, seconds in times.items():
        ratio = statistics.median(own / other for own, other in zip(seconds, plain, strict=True))
        yield Figure(name, statistics.median(seconds), min(seconds), max(seconds), ratio, targets.get(name))


def report(figures: Sequence[Figure]) -> None:
    print("\n| side | ms a step | fastest to slowest | against the notebook's loop | target |")
    print("|---|---:|---:|---:|---:|")
    for figure in figures:
        spread = f"{figure.fastest * 1e3:.1f} to {figure.slowest * 1e3:.1f}"
        target = "" if figure.target is None else f"≤ {figure.target:.2f}×"
        print(f"| {figure.name} | {figure.median * 1e3:.1f} | {spread} | {figure.ratio:.3f}× | {target} |")


def compare(
    arguments: Sequence[str] | None,
    *,
    doc: str | None,
    size: Any,
    quick: Any,
    loops_of: Callable[[Any, Path], dict[str, Loop]],
    targets: Mapping[str, float],
) -> list[Figure]:
    """The command line of such a benchmark.

    Args:
        arguments: of the command line; those of the process if None.
        doc: of the script.
        size: dataclass of whole numbers, each an option.
        quick: the same for a smoke test.
        loops_of: all sides for a size and a folder, the plain loop first.
        targets: largest ratios, by the side's name.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in asdict(size).items():
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
    size = type(size)(**{name: getattr(options, name) for name in asdict(size)})
    rounds = options.rounds
    if options.quick:
        size, rounds = quick, 2
    seed_everything(0, verbose=False)
    clock = "processor time" if options.cpu_time else "wall clock"
    facts = f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}, {clock}"
    print(f"{facts}; median of {rounds} steps, {size}")
    with quietly(), tempfile.TemporaryDirectory() as folder:
        sides = [
            Contestant(name, loop, clock=time.process_time if options.cpu_time else time.perf_counter)
            for number, (name, loop) in enumerate(loops_of(size, Path(folder)).items())
            if number == 0 or any(part in name for part in options.only)
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
    figures = list(figures_of(sides, targets))
    report(figures)
    if options.json is not None:
        result = {"machine": facts, "rounds": rounds, **asdict(size), "sides": [asdict(figure) for figure in figures]}
        options.json.write_text(json.dumps(result, indent=1) + "\n", "utf8")
    return figures
