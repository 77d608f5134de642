"""MNIST to MNIST-M: target accuracy of source-only training, of adaptation and of training on target labels.

    python -m benchmarks.adaptation.digits --source mnist/ --target mnist_m/ \\
        --set 'schedule="constant"' domain_weight=1.0
    python -m benchmarks.adaptation.digits --image_size 16 --steps 4000 --methods source_only dann    # embedded digits

The paper's network without batch norm on colour pictures, 64 source and 64 target rows a step, SGD of rate .01 with
momentum .9. The first command's settings were chosen on seed 0 of DANN by the label-free score; without `--set` the
rate falls and the domain losses add up, as in the paper. `dirt_t` has the network of its own paper with a quarter of
the channels: VADA for `--steps`, then DIRT-T for half of them from the checkpoint that VADA chose; `dirt_source_only`
is this network without adaptation. Their settings too were chosen on seed 0 by the label-free score.

Target labels are read for the test alone: the checkpoint is chosen by `--selection` over the run's validations (of
DIRT-T the last is taken), and its accuracy on the target's test split is the figure. The results also have the accuracy
that each other way of choosing would have had on target validation rows.
Each result is a line of FILE as soon as it is there; what is there is not run again. The tables have what was run
with the same steps and settings.
"""

from __future__ import annotations

import argparse
import inspect
import json
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import seed_everything

from benchmarks.tools.short_runs import (
    Result,
    Run,
    add_file,
    by_method,
    chosen_and_last,
    every_method,
    kept,
    trained_and_tested,
    ways_table,
)
from lhy_lightning import CDAN, DANN, DIRTT, MCC, MCD, VADA, DomainDataModule, MomentMatching, SourceOnly

DIRT: dict[str, Any] = {  # as in Shu et al. 2018, but for width and rate
    "network": "dirt", "width": 16, "optimizer": "adam", "lr": 0.003, "betas": (0.5, 0.999), "schedule": "constant",
}  # fmt: skip
APART = {"domain_norm": "statistics"}
OF_VADA = {**DIRT, **APART, "coefficient": 1.0, "source_smoothness_weight": 0.0}
OF_DIRTT = {**DIRT, **APART, "lr": 0.0003, "radius": 1.0, "teacher_weight": 0.1, "refresh": 500, "selection": "last"}
METHODS: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "source_only": (SourceOnly, {}, {}),
    "dann": (DANN, {}, {}),
    "cdan": (CDAN, {}, {}),
    "mcd": (MCD, {}, {}),
    "mcc": (MCC, {}, {}),
    "coral": (MomentMatching, {"distance": "coral"}, {}),
    "mmd": (MomentMatching, {"distance": "mmd"}, {}),
    "dirt_source_only": (SourceOnly, DIRT, {}),
    "dirt_t": (DIRTT, OF_DIRTT, {}),
    "target_supervised": (SourceOnly, {"selection": "target_accuracy", "oracle": True}, {"train_on": "target"}),
}


def module_of(kind: Any, settings: dict[str, Any], options: argparse.Namespace) -> Any:
    taken = {name for part in kind.__mro__ for name in inspect.signature(part.__init__).parameters}
    pairs = (pair.split("=", 1) for pair in options.given)
    given = {name: json.loads(value) for name, value in pairs if name in taken}
    return kind(**{"selection": options.selection, "projection": "none", **settings, **given})


def row(method: str, seed: int, module: Any, found: Run, options: argparse.Namespace) -> Result:
    def accuracy(figures: dict[str, float]) -> float:
        return next(value for name, value in figures.items() if name.startswith("test/accuracy"))

    return {
        "method": method, "seed": seed, "steps": options.steps, "given": options.given, "target": options.target,
        "selection": module.selection, "score": found.score, "chosen": accuracy(found.chosen),
        "last": accuracy(found.last), "minutes": found.minutes, "by": found.by,
    }  # fmt: skip


def run(method: str, seed: int, options: argparse.Namespace) -> Result:
    kind, settings, of_data = METHODS[method]
    seed_everything(seed, verbose=False)
    data = DomainDataModule(
        options.source, options.target, target_labelled=True, image_size=options.image_size, channels=3, batch_size=64,
        eval_batch_size=500, cache_dir=options.cache_dir, **of_data,
    )  # fmt: skip
    how = {"steps": options.steps, "validations": options.validations}
    module = module_of(kind, settings, options)
    if kind is not DIRTT:
        return row(method, seed, module, trained_and_tested(module, data, **how), options)
    with tempfile.TemporaryDirectory() as folder:  # the first phase, whose chosen checkpoint the second starts from
        vada, teacher = module_of(VADA, OF_VADA, options), Path(folder) / "vada.ckpt"
        first = row("vada", seed, vada, trained_and_tested(vada, data, **how, keep=teacher), options)
        module = module_of(DIRTT, {**settings, "start_from": str(teacher)}, options)
        refined = trained_and_tested(module, data, steps=options.steps // 2, validations=options.validations)
    return {**row(method, seed, module, refined, options), "first": first}


def phases(results: list[Result]) -> list[Result]:
    """The results, with what the first phase of one came to before it."""
    return [part for row in results for part in ([row["first"], row] if "first" in row else [row])]


def table(results: list[Result]) -> str:
    lines = ["| method | seeds | chosen without target labels | last step | minutes |", "|---|---|---:|---:|---:|"]
    for method, rows in by_method(results).items():
        oracle = " (ORACLE)" if rows[0]["selection"] == "target_accuracy" else ""
        lines.append(f"| {method}{oracle} | {len(rows)} | {chosen_and_last(rows)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> list[Result]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="embedded:plain_digits")
    parser.add_argument("--target", default="embedded:photo_digits")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--image_size", type=int, default=28)
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument(
        "--set", nargs="+", default=[], dest="given", help="name=JSON: another argument of all that take it"
    )
    parser.add_argument("--validations", type=int, default=9)
    parser.add_argument("--selection", default="information")
    add_file(parser, "adaptation_digits.jsonl")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    settings = options.steps, options.given
    results = [row for row in kept(options.out) if (row["steps"], row["given"]) == settings]
    every_method(options, results, run)
    shown = phases(results)
    print(table(shown), ways_table(shown), sep="\n\n")
    return results


if __name__ == "__main__":
    main()
