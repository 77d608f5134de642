"""Time and memory of a vector quantizer's training step: ours against `vector-quantize-pytorch`.

    pip install vector-quantize-pytorch==1.32.0
    python -m benchmarks.autoencoders.vector_quantizer [--rounds 10] [--threads 2] [--cpu_time]
        [--json figures.json] [--quick]

A step is forward, backward through vectors and loss, and the codebook's update, on random vectors: 8,192 of 64 numbers
with 512 codes, and 65,536 of 32 with 8,192. Both sides start from the same codebook, with the same decay and the same
rule for dead codes (restarted below an average of 2 vectors); theirs with `rotation_trick=False`, ours with its figures
(perplexity, share of codes used, restarts) computed in every step.

Times: the two sides in one process, one step of each in turn; the ratio is the median over rounds. Memory: how far the
peak of a process that does three steps rises, each side in a process of its own (Linux). Codes: whether both agree
wherever the squared distances of the two nearest codes differ by more than 1e-5.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.tools.interleaved import add_clock
from lhy_lightning.autoencoders.quantizers.vector_quantizer import VectorQuantizer

OURS, THEIRS = "VectorQuantizer", "vector-quantize-pytorch"
DECAY, RESTART_BELOW, BETA = 0.99, 2.0, 0.25
WARM_UP, TARGET_SPEEDUP, TARGET_MEMORY_SHARE = 2, 4.0, 0.5


@dataclass(frozen=True)
class Size:
    """Vectors N, codes K, numbers D of each."""

    vectors: int
    codes: int
    dim: int


SIZES = (Size(8_192, 512, 64), Size(65_536, 8_192, 32))


@dataclass(frozen=True)
class Figure:
    size: Size
    ours_ms: float
    theirs_ms: float
    times_faster: float
    ours_mib: float
    theirs_mib: float
    memory_share: float
    codes_differ: int


def codebook_of(size: Size) -> Tensor:
    return torch.randn(size.codes, size.dim, generator=torch.Generator().manual_seed(1))


def vectors_of(size: Size, seed: int) -> Tensor:
    return torch.randn(size.vectors, size.dim, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def ours(size: Size) -> tuple[Callable[[Tensor], Tensor], Any]:
    module = VectorQuantizer(
        size.codes, size.dim, beta=BETA, decay=DECAY, restart_below=RESTART_BELOW, codebook_init="random"
    ).train()
    module.codebook.copy_(codebook_of(size))
    module.sums.copy_(module.codebook)

    def step(vectors: Tensor) -> Tensor:
        result = module(vectors)
        (result.vectors.sum() + result.loss).backward()
        module.metrics()
        return result.codes

    return step, module


def theirs(size: Size) -> tuple[Callable[[Tensor], Tensor], Any]:
    from vector_quantize_pytorch import VectorQuantize  # type: ignore[import-not-found]

    module = VectorQuantize(
        dim=size.dim, codebook_size=size.codes, decay=DECAY, commitment_weight=BETA, rotation_trick=False,
        threshold_ema_dead_code=RESTART_BELOW,
    ).train()  # fmt: skip
    module._codebook.embed.copy_(codebook_of(size))
    module._codebook.embed_avg.copy_(codebook_of(size))

    def step(vectors: Tensor) -> Tensor:
        quantized, codes, loss = module(vectors[None])
        (quantized.sum() + loss.sum()).backward()
        return codes[0]

    return step, module


SIDES = {OURS: ours, THEIRS: theirs}


def codes_that_differ(size: Size) -> int:
    """Vectors that have another code on the other side although their two nearest codes are not equally near."""
    vectors, codebook = vectors_of(size, seed=0), codebook_of(size)
    chosen = [side(size)[0](vectors) for side in SIDES.values()]
    different = (chosen[0] != chosen[1]).nonzero()[:, 0]
    distances = torch.cdist(vectors[different].detach().double(), codebook.double()).square().topk(2, largest=False)
    return int((distances.values[:, 1] - distances.values[:, 0] > 1e-5).sum())


def times(size: Size, rounds: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    steps = {name: side(size)[0] for name, side in SIDES.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(WARM_UP + rounds):
        for name, step in steps.items():
            vectors = vectors_of(size, seed=turn)
            began = clock()
            step(vectors)
            if turn >= WARM_UP:
                seconds[name].append(clock() - began)
    return seconds


def rise_of_peak(name: str, size: Size, threads: int, answer: Any) -> None:
    """In a process of its own: MiB by which three steps raise the most memory that it ever had."""
    torch.set_num_threads(threads)
    step, _ = SIDES[name](size)
    vectors = [vectors_of(size, seed=turn) for turn in range(3)]
    torch.mm(torch.ones(64, 64), torch.ones(64, 64))  # what the first product sets up
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = peak_mib()
    for each in vectors:
        step(each)
    answer.put(peak_mib() - before)


def peak_mib() -> float:
    """The most memory of this process so far, of Linux."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def memory(name: str, size: Size) -> float:
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=rise_of_peak, args=(name, size, torch.get_num_threads(), answer))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{name}: the process that measures memory ended with {process.exitcode}")
    return float(answer.get())


def main(arguments: Sequence[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    parser.add_argument("--quick", action="store_true", help="a smoke test on few vectors")
    add_clock(parser)
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    sizes, rounds = (SIZES, options.rounds) if not options.quick else ((Size(256, 16, 8),), 2)
    clock = time.process_time if options.cpu_time else time.perf_counter
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}, "
        f"{'processor time' if options.cpu_time else 'wall clock'}, median of {rounds} steps\n"
    )
    print("| N, K, D | ours | theirs | speedup (target) | peak rises by | theirs | share (target) | codes differ |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    figures = []
    for size in sizes:
        torch.manual_seed(0)
        seconds = times(size, rounds, clock)
        own, other = seconds[OURS], seconds[THEIRS]
        ratio = statistics.median(b / a for a, b in zip(own, other, strict=True))
        room = {name: memory(name, size) for name in SIDES}
        figure = Figure(
            size, statistics.median(own) * 1e3, statistics.median(other) * 1e3, ratio, room[OURS], room[THEIRS],
            room[OURS] / max(room[THEIRS], 1e-9), codes_that_differ(size),
        )  # fmt: skip
        figures.append(figure)
        print(
            f"| {size.vectors:,}, {size.codes:,}, {size.dim} | {figure.ours_ms:.1f} ms | {figure.theirs_ms:.1f} ms | "
            f"{ratio:.2f} (≥ {TARGET_SPEEDUP:g}) | {figure.ours_mib:.0f} MiB | {figure.theirs_mib:.0f} MiB | "
            f"{figure.memory_share:.2f} (≤ {TARGET_MEMORY_SHARE:g}) | {figure.codes_differ} |",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=2))
    return figures


if __name__ == "__main__":
    main()
