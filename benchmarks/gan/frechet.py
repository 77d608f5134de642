"""Fréchet distance of features: ours against torchmetrics' own, both sides in one run.

    python -m benchmarks.gan.frechet            # a minute or two
    python -m benchmarks.gan.frechet --quick    # seconds, numbers mean little

Both sides start from the same float64 means and covariances, as both metrics have them at the end of an evaluation:
torchmetrics takes the eigenvalues of the covariances' product, which is not symmetric. `first` is a call of ours that
knows nothing yet, `later` one with the root of the real covariance at hand, as `FrechetDistance` has it from its
second evaluation on. `samples` starts from N features a side instead, and so does torchmetrics for this column: it
forms both covariances, ours forms what it needs. All take turns, and times faster are medians over rounds.

Features are normal numbers. `even`: all directions vary alike. `falling`: their variances fall over three decades, as
a trained network's do. With fewer samples than features covariances have no full rank.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from torchmetrics.image.fid import _compute_fid

from lhy_lightning.metrics.generation.feature_statistics import FeatureStatistics
from lhy_lightning.metrics.generation.frechet import covariance_root, frechet_distance, frechet_distance_of_samples

GOAL = 5  # times faster at 2,048 features
DECADES = {"even": 0.0, "falling": 3.0}  # of the variances
CASES = [(512, 5000, "falling"), (2048, 5000, "even"), (2048, 5000, "falling"), (2048, 1000, "falling")]
QUICK = [(64, 200, "even"), (64, 200, "falling"), (64, 40, "falling")]

Clock = Callable[[], float]


def features(rows: int, dimension: int, kind: str, seed: int) -> Tensor:
    """(rows, dimension) float64, each seed with directions of its own."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.linalg.qr(torch.randn(dimension, dimension, generator=generator, dtype=torch.float64)).Q
    deviation = torch.logspace(0, -DECADES[kind] / 2, dimension, dtype=torch.float64)
    normal = torch.randn(rows, dimension, generator=generator, dtype=torch.float64)
    return (normal * deviation) @ directions + 0.02 * seed


def compare(dimension: int, rows: int, kind: str, rounds: int, clock: Clock) -> None:
    """Prints a row of the table."""
    x, y = features(rows, dimension, kind, 1), features(rows, dimension, kind, 2)

    def theirs(*pairs: FeatureStatistics) -> Tensor:
        return _compute_fid(*(part for pair in pairs for part in (pair.mean, pair.covariance)))

    real, made = FeatureStatistics.of(x), FeatureStatistics.of(y)
    sides = (real.mean, real.covariance, made.mean, made.covariance)
    root = covariance_root(real.covariance)
    calls: dict[str, Callable[[], Tensor]] = {
        "torchmetrics": lambda: theirs(real, made),
        "torchmetrics of samples": lambda: theirs(FeatureStatistics.of(x), FeatureStatistics.of(y)),
        "first": lambda: frechet_distance(*sides),
        "later": lambda: frechet_distance(*sides, root1=root),
        "samples": lambda: frechet_distance_of_samples(x, y),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    values: dict[str, float] = {}
    for number in range(rounds):
        names = list(calls)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = clock()
            values[name] = calls[name]().item()
            seconds[name].append(clock() - start)
    apart = max(abs(value / values["torchmetrics"] - 1) for value in values.values())
    cells = []
    for name, other in (("first", ""), ("later", ""), ("samples", " of samples")):
        ratio = statistics.median(b / a for a, b in zip(seconds[name], seconds[f"torchmetrics{other}"], strict=True))
        cells.append(f"{statistics.median(seconds[name]):.2f} ({ratio:.1f}×)")
    both = "; ".join(f"{statistics.median(seconds[f'torchmetrics{other}']):.2f}" for other in ("", " of samples"))
    print(f"| {dimension:,} | {rows:,} {kind} | {both} | {' | '.join(cells)} | {apart:.0e} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="64 features, once: a smoke test")
    parser.add_argument("--rounds", type=int, default=3, help="calls of each; the median counts")
    parser.add_argument("--threads", type=int, default=1, help="of both; more need idle cores to gain")
    parser.add_argument(
        "--cpu_time", action="store_true", help="count processor time, not the wall clock's: for a busy machine"
    )
    arguments = parser.parse_args()
    if arguments.cpu_time and arguments.threads > 1:
        parser.error("processor time adds threads up: --cpu_time takes --threads 1")
    torch.set_num_threads(arguments.threads)
    threadpool_limits(arguments.threads)  # SciPy's
    rounds = 1 if arguments.quick else arguments.rounds
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, float64; median of {rounds} rounds, "
        f"{'processor' if arguments.cpu_time else 'wall clock'} seconds, and how many times faster than torchmetrics "
        f"(goal at 2,048 features: {GOAL}).\n"
    )
    print("| features D | N a side | torchmetrics; of samples | ours, first | later | samples | relative difference |")
    print("|---|---|---|---|---|---|---|")
    for dimension, rows, kind in QUICK if arguments.quick else CASES:
        compare(dimension, rows, kind, rounds, clock)


if __name__ == "__main__":
    main()
