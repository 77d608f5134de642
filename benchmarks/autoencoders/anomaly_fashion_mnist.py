"""One class of Fashion-MNIST against the rest: AUROC of every level of homework 8, of PCA and of an isolation forest.

    python -m benchmarks.autoencoders.anomaly_fashion_mnist --source FOLDER [--levels boss --seeds 0 1] [--out FILE]

Networks, scores and made anomalies are those of recipes/hw08; pictures are grey 32 x 32, and every level takes the same
number of steps. The best of five validations by val/loss (normal pictures only) is tested, on all 10,000 test pictures
or, with `--every 3`, on the 1,000 normal ones and every third of the others.
Each result is a line of FILE as soon as it is there; what is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer, seed_everything
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest

from lhy_lightning import AnomalyDataModule, AnomalyDetector
from lhy_lightning.callbacks.best_checkpoint import BestCheckpoint
from lhy_lightning.cli.recipes import find_recipe
from lhy_lightning.cli.step_recipes import read_recipe
from lhy_lightning.data.images.anomaly_data import ANOMALY
from lhy_lightning.data.images.image_splits import Split
from lhy_lightning.metrics.anomalies import detection_figures, threshold_of

LEVELS = ("pca", "forest", "simple", "medium", "strong", "boss")


class Thinned(AnomalyDataModule):
    """Tests on every nth anomaly only: scores take 36 looks at a picture."""

    every = 1

    def choose(self, splits: dict[str, Split]) -> dict[str, Split]:
        chosen = super().choose(splits)
        if "test" in chosen:
            test = chosen["test"]
            kept = (test.truth != ANOMALY) | ((test.truth == ANOMALY).cumsum() % self.every == 0)
            chosen["test"] = Split(test.pool, test.rows[kept], test.truth[kept])
        return chosen


def pictures_of(source: str, name: str, cache: str | None, size: int | None, batch_size: int) -> Thinned:
    return Thinned(
        source, normal_class=name, image_size=size, batch_size=batch_size, eval_batch_size=500, cache_dir=cache,
    )  # fmt: skip


def flat(data: AnomalyDataModule, split: str) -> np.ndarray:
    return torch.cat(list(data.pictures(split))).flatten(1).numpy()


def baseline(level: str, data: AnomalyDataModule, seed: int) -> dict[str, float]:
    """PCA to 95 % of the variance, scored by what it leaves; scikit-learn's forest as it comes. On 28 x 28 pixels."""
    data.setup("fit")
    data.setup("test")
    train, val, test = (flat(data, split) for split in ("train", "val", "test"))
    if level == "pca":
        pca = PCA(0.95, random_state=seed).fit(train)

        def score(rows: np.ndarray) -> np.ndarray:
            return ((rows - pca.inverse_transform(pca.transform(rows))) ** 2).mean(1)
    else:
        forest = IsolationForest(random_state=seed).fit(train)

        def score(rows: np.ndarray) -> np.ndarray:
            return -forest.score_samples(rows)

    labels = torch.cat([batch["label"] for batch in data.test_dataloader()])
    threshold = threshold_of(torch.from_numpy(score(val)), 0.05)
    figures = detection_figures(torch.from_numpy(score(test)), labels, threshold)
    return {f"test/{name}": float(value) for name, value in figures.items()}


def settings_of(level: str, given: list[str]) -> dict[str, Any]:
    settings = dict(read_recipe(str(find_recipe(f"hw08/{level}")))["model"]["init_args"])
    return settings | {name: json.loads(value) for name, value in (pair.split("=", 1) for pair in given)}


def detector(level: str, data: AnomalyDataModule, seed: int, steps: int, given: list[str]) -> dict[str, float]:
    seed_everything(seed, verbose=False)
    module = AnomalyDetector(**settings_of(level, given), plot_every_n_validations=0)
    with tempfile.TemporaryDirectory() as folder:
        best = BestCheckpoint(folder=folder)
        trainer = Trainer(
            accelerator="cpu", logger=False, callbacks=[best], max_steps=steps, val_check_interval=steps // 5,
            check_val_every_n_epoch=None, enable_progress_bar=False, enable_model_summary=False,
            num_sanity_val_steps=0, default_root_dir=folder,
        )  # fmt: skip
        trainer.fit(module, datamodule=data)
        found = trainer.test(module, datamodule=data, ckpt_path=best.best_model_path, verbose=False, weights_only=True)
    return {name: float(value) for name, value in found[0].items()}


def summary(results: list[dict[str, Any]]) -> str:
    """A line a level: mean AUROC over classes, and its standard deviation over seeds where there are several."""
    lines = []
    for level in dict.fromkeys(result["level"] for result in results):
        rows = [result for result in results if result["level"] == level]
        seeds = sorted({row["seed"] for row in rows})
        means = [mean(row["test/auroc"] for row in rows if row["seed"] == seed) for seed in seeds]
        classes = {row["class"]: [] for row in rows}
        for row in rows:
            classes[row["class"]].append(row["test/auroc"])
        each = " ".join(f"{name}:{mean(values):.3f}" for name, values in classes.items())
        spread = f" ± {stdev(means):.4f} over seeds {seeds}" if len(means) > 1 else ""
        seconds = mean(row["seconds"] for row in rows)
        lines.append(f"{level:8} {mean(means):.4f}{spread}  {len(rows)} runs of {seconds:.0f} s  {each}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="folder with train.parquet and test.parquet, or a hub id")
    parser.add_argument("--levels", nargs="+", default=LEVELS, choices=LEVELS)
    parser.add_argument("--classes", nargs="+", type=int, default=range(10))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--set", nargs="+", default=[], dest="given", help="name=JSON: another argument of the module")
    parser.add_argument("--every", type=int, default=1, help="test on every nth anomaly only")
    parser.add_argument("--cache_dir")
    parser.add_argument("--out", type=Path, default=Path("anomaly_fashion_mnist.jsonl"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    results = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.is_file() else []
    done = {(row["level"], row["class"], row["seed"]) for row in results}
    names = AnomalyDataModule(given.source, cache_dir=given.cache_dir)._open_sets("fit").classes(None, None)
    for seed in given.seeds:
        for number in given.classes:
            for level in given.levels:
                label = " ".join([level, *given.given])
                if (label, names[number], seed) in done:
                    continue
                Thinned.every = given.every
                start, classic = time.process_time(), level in ("pca", "forest")
                size = None if classic else 32
                data = pictures_of(given.source, names[number], given.cache_dir, size, given.batch_size)
                found = (
                    baseline(level, data, seed) if classic else detector(level, data, seed, given.steps, given.given)
                )
                row = {"level": label, "class": names[number], "seed": seed, **found}
                row["seconds"] = round(time.process_time() - start, 1)
                results.append(row)
                with given.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    print(summary(results))


if __name__ == "__main__":
    main()
