"""PACS with one domain held out: test accuracy there of each way of learning from the other three.

    python -m benchmarks.adaptation.leave_one_domain_out --folder pacs32/ --out leave_one_domain_out.jsonl
    python -m benchmarks.adaptation.leave_one_domain_out --folder pacs32/ --methods erm irm --held_out sketch

FOLDER has `photo`, `art_painting`, `cartoon` and `sketch` as parquet files; pictures are read at 32 x 32 pixels. All
methods have the small network of Ganin et al. 2016 with batch norm, from scratch, Adam at .001 with a cosine schedule,
16 rows of each source domain a step, mirrored at random. The checkpoint is chosen by the mean accuracy on validation
rows of the three sources, a tenth of each; nine tenths of the held-out domain are tested on, none of it is trained on.
IRM is run twice: `irm_100` with DomainBed's weight of 100 after a tenth of the steps, and `irm` with 1, as 100 fails on
the sources' own validation rows already (.23 of them right after 300 steps, against .50 with 1; one seed, photo held
out).

"Within noise of ERM": runs of one seed are paired (same splits, same first weights), and d is a method's accuracy less
that of ERM. A mean of d counts as a difference only if it is more than twice its standard error over the pairs, the
standard deviation of d over the square root of their number. For "all", a seed's accuracy is its mean over the
held-out domains. With three seeds this is a lenient rule (Student's t asks for 4.3 standard errors at 5 %): what it
calls noise no stricter rule calls a difference; what it calls a difference may still be chance.

Each result is a line of FILE as soon as it is there; what is there is not run again.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from lightning.pytorch import seed_everything

from benchmarks.tools.short_runs import Result, add_file, go_on, kept, spread, trained_and_tested
from lhy_lightning import DomainDataModule, DomainGeneralization

DOMAINS = ("photo", "art_painting", "cartoon", "sketch")
METHODS: dict[str, dict[str, Any]] = {
    "erm": {},
    "group_dro": {"method": "group_dro"},
    "irm": {"method": "irm", "irm_weight": 1.0},
    "mixup": {"method": "mixup"},
    "irm_100": {"method": "irm", "irm_weight": 100.0},
}


def run(held_out: str, method: str, seed: int, options: argparse.Namespace) -> Result:
    places = {name: str(options.folder / f"{name}.parquet") for name in DOMAINS}
    seed_everything(seed, verbose=False)
    data = DomainDataModule(
        [place for name, place in places.items() if name != held_out], places[held_out], target_labelled=True,
        target_batch_size=0, target_val_fraction=0.05, target_test_fraction=0.9, image_size=32, channels=3,
        batch_size=48, eval_batch_size=500, horizontal_flip=0.5, cache_dir=options.cache_dir,
    )  # fmt: skip
    module = DomainGeneralization(
        network="paper", norm="batch", width=options.width, optimizer="adam", lr=1e-3, schedule="cosine",
        projection="none", **METHODS[method],
    )  # fmt: skip
    found = trained_and_tested(module, data, steps=options.steps, validations=options.validations)
    return {
        "held_out": held_out, "method": method, "seed": seed, "steps": options.steps, "width": options.width,
        "chosen": found.chosen["test/accuracy"], "last": found.last["test/accuracy"], "minutes": found.minutes,
        "source_accuracy": found.validation["val/source_accuracy"],
        "worst_accuracy": found.validation["val/worst_accuracy"],
    }  # fmt: skip


def by_seed(results: Sequence[Result], method: str, domains: Sequence[str]) -> dict[int, float]:
    """The chosen checkpoints' mean accuracy over held-out domains, of the seeds that have all of them."""
    found: dict[int, list[float]] = {}
    for row in results:
        if row["method"] == method and row["held_out"] in domains:
            found.setdefault(row["seed"], []).append(row["chosen"])
    return {seed: mean(values) for seed, values in found.items() if len(values) == len(domains)}


def difference(values: dict[int, float], baseline: dict[int, float]) -> str:
    """The mean difference from ERM over common seeds in points, and whether it is within noise."""
    pairs = [100 * (values[seed] - baseline[seed]) for seed in sorted(values.keys() & baseline.keys())]
    if len(pairs) < 2:
        return "too few seeds"
    error = stdev(pairs) / len(pairs) ** 0.5
    told = f"{mean(pairs):+.1f} ± {error:.1f}"
    return f"{told}, within noise of ERM" if abs(mean(pairs)) <= 2 * error else told


def table(results: Sequence[Result]) -> str:
    """Accuracy as mean ± standard deviation over seeds; the difference as mean ± standard error."""
    lines = [
        "| held out | method | seeds | accuracy there | difference from ERM | CPU minutes |",
        "|---|---|---:|---:|---|---:|",
    ]
    present = [name for name in DOMAINS if any(row["held_out"] == name for row in results)]
    for title, domains in (*((name, [name]) for name in present), ("all", present)):
        baseline = by_seed(results, "erm", domains)
        for method in METHODS:
            values = by_seed(results, method, domains)
            if not values:
                continue
            apart = "" if method == "erm" else difference(values, baseline)
            minutes = mean(r["minutes"] for r in results if r["method"] == method and r["held_out"] in domains)
            name = "ERM" if method == "erm" else method
            lines.append(
                f"| {title} | {name} | {len(values)} | {spread(list(values.values()))} | {apart} | {minutes:.1f} |"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> list[Result]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--held_out", nargs="+", default=list(DOMAINS), choices=DOMAINS)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--validations", type=int, default=4)
    parser.add_argument("--width", type=int, default=24)
    add_file(parser, "leave_one_domain_out.jsonl")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    results = [row for row in kept(options.out) if (row["steps"], row["width"]) == (options.steps, options.width)]
    wanted = itertools.product(options.seeds, options.held_out, options.methods)
    go_on(
        options.out, results, ((held_out, method, seed) for seed, held_out, method in wanted),
        key=lambda row: (row["held_out"], row["method"], row["seed"]),
        run=lambda held_out, method, seed: run(held_out, method, seed, options),
    )  # fmt: skip
    print(table(results))
    return results


if __name__ == "__main__":
    main()
