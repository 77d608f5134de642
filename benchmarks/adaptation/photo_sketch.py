"""Photos to sketches at 32 pixels, five classes: source-only on grey and on edges, and the four levels of homework 11.

    python -m benchmarks.adaptation.photo_sketch --folder pacs/ --out photo_sketch.jsonl

PACS stands in for the homework's photos and drawings: dog, elephant, giraffe, guitar and horse, 600 sketches each,
strokes light on dark. Networks, losses and rates are those of recipes/hw11 with `--width` channels in the first
convolution, and every level takes the same number of steps. As in the homework all sketches are trained on without
labels and predicted; their labels are read for the figure alone. The checkpoint is the one that the recipe chooses.
Each result is a line of FILE as soon as it is there; what is there is not run again. The tables have what was run
with the same steps and width.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import seed_everything

from benchmarks.tools.short_runs import (
    Result,
    add_file,
    by_method,
    chosen_and_last,
    every_method,
    kept,
    trained_and_tested,
    ways_table,
)
from lhy_lightning import DANN, DomainDataModule, SourceOnly
from lhy_lightning.cli.recipes import find_recipe
from lhy_lightning.cli.step_recipes import read_recipe

LEVELS = ("simple", "medium", "strong", "boss")
METHODS = ("source_grey", "source_edges", *LEVELS)
CLASSES = ["dog", "elephant", "giraffe", "guitar", "horse"]
OF_SOURCE_ONLY = ("network", "label_hidden", "optimizer", "lr", "schedule")


def module_of(method: str, width: int) -> Any:
    level = method if method in LEVELS else "strong"
    settings: dict[str, Any] = dict(read_recipe(str(find_recipe(f"hw11/{level}")))["model"]["init_args"])
    more = {"width": width, "projection": "none"}
    if method in LEVELS:
        return DANN(**settings, **more)
    kept = {name: value for name, value in settings.items() if name in OF_SOURCE_ONLY}
    return SourceOnly(**kept, **more)


def run(method: str, seed: int, options: argparse.Namespace) -> Result:
    seed_everything(seed, verbose=False)
    data = DomainDataModule(
        str(options.folder / "photo.parquet"), str(options.folder / "sketch.parquet"), target_labelled=True,
        transductive=True, classes=CLASSES, target_rows_per_class=600, batch_size=32, eval_batch_size=500,
        source_transform="grey" if method == "source_grey" else "edges", target_transform="inverted", image_size=32,
        horizontal_flip=0.5, rotation=15.0, cache_dir=options.cache_dir,
    )  # fmt: skip
    module = module_of(method, options.width)
    found = trained_and_tested(module, data, steps=options.steps, validations=options.validations)
    return {
        "method": method, "seed": seed, "steps": options.steps, "width": options.width, "selection": module.selection,
        "chosen": found.chosen["test/accuracy"], "last": found.last["test/accuracy"], "minutes": found.minutes,
        "by": found.by,
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> list[Result]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="with photo.parquet and sketch.parquet")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--validations", type=int, default=6)
    parser.add_argument("--width", type=int, default=32)
    add_file(parser, "adaptation_photo_sketch.jsonl")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    settings = options.steps, options.width
    results = [row for row in kept(options.out) if (row["steps"], row["width"]) == settings]
    every_method(options, results, run)
    print("| method | chosen by | seeds | chosen | last step | minutes |\n|---|---|---|---:|---:|---:|")
    for method, rows in by_method(results).items():
        print(f"| {method} | {rows[0]['selection']} | {len(rows)} | {chosen_and_last(rows)} |")
    print(f"\n{ways_table(results)}")
    return results


if __name__ == "__main__":
    main()
