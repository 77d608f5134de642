"""Photos to sketches at 32 pixels, five classes: source-only on grey and on edges, and the four levels of homework 11.

    python benchmarks/adaptation_photo_sketch.py --folder pacs/ --out photo_sketch.jsonl

PACS stands in for the homework's photos and drawings: dog, elephant, giraffe, guitar and horse, 600 sketches each,
strokes light on dark. Networks, losses and rates are those of recipes/hw11 with `--width` channels in the first
convolution, and every level takes the same number of steps. As in the homework all sketches are trained on without
labels and predicted; their labels are read for the figure alone. The checkpoint is the one that the recipe chooses.
Each result is a line of FILE as soon as it is there; what is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything

from lhy_lightning import DANN, DomainDataModule, SourceOnly
from lhy_lightning.callbacks.best_checkpoint import BestCheckpoint
from lhy_lightning.recipes import find_recipe
from lhy_lightning.steps import read_recipe

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


def run(method: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    seed_everything(seed, verbose=False)
    data = DomainDataModule(
        str(options.folder / "photo.parquet"), str(options.folder / "sketch.parquet"), target_labelled=True,
        transductive=True, classes=CLASSES, target_rows_per_class=600, batch_size=32, eval_batch_size=500,
        source_transform="grey" if method == "source_grey" else "edges", target_transform="inverted", image_size=32,
        horizontal_flip=0.5, rotation=15.0, cache_dir=options.cache_dir,
    )  # fmt: skip
    module = module_of(method, options.width)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        best = BestCheckpoint(folder=folder)
        trainer = Trainer(
            accelerator="cpu", logger=False, callbacks=[best], max_steps=options.steps, enable_progress_bar=False,
            val_check_interval=options.steps // options.validations, check_val_every_n_epoch=None,
            enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=folder,
        )  # fmt: skip
        trainer.fit(module, datamodule=data)
        minutes = (time.process_time() - began) / 60
        [last] = trainer.test(module, datamodule=data, verbose=False)
        [chosen] = trainer.test(
            module, datamodule=data, ckpt_path=best.best_model_path, verbose=False, weights_only=True
        )
        table = [line.split(",") for line in (Path(folder) / "selection.csv").read_text().splitlines()[1:]]
    return {
        "method": method, "seed": seed, "steps": options.steps, "width": options.width, "selection": module.selection,
        "chosen": chosen["test/accuracy"], "last": last["test/accuracy"], "minutes": round(minutes, 2),
        "by": {row[0]: {"accuracy": row[3], "correlation": row[4]} for row in table},
    }  # fmt: skip


def spread(values: list[float]) -> str:
    deviation = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.1f}{deviation}"


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="with photo.parquet and sketch.parquet")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--validations", type=int, default=6)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--cache_dir")
    parser.add_argument("--out", type=Path, default=Path("adaptation_photo_sketch.jsonl"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    results = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.is_file() else []
    done = {(row["method"], row["seed"], row["steps"], row["width"]) for row in results}
    for seed in options.seeds:
        for method in options.methods:
            if (method, seed, options.steps, options.width) in done:
                continue
            results.append(run(method, seed, options))
            with options.out.open("a") as file:
                file.write(json.dumps(results[-1]) + "\n")
            print(results[-1], flush=True)
    print("| method | chosen by | seeds | chosen | last step | minutes |\n|---|---|---|---:|---:|---:|")
    for method in dict.fromkeys(row["method"] for row in results):
        rows = [row for row in results if row["method"] == method]
        figures = [spread([row[name] for row in rows]) for name in ("chosen", "last")]
        minutes = mean(row["minutes"] for row in rows)
        print(f"| {method} | {rows[0]['selection']} | {len(rows)} | {figures[0]} | {figures[1]} | {minutes:.1f} |")
    return results


if __name__ == "__main__":
    main()
