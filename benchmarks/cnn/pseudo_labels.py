"""What pseudo-labels gain: MNIST with 280 labels a class, recipes with and without them over paired seeds.

    python -m benchmarks.cnn.pseudo_labels --source mnist/ --seeds 5 --jobs 2

Every run takes the same number of gradient steps on the same labelled pictures with the same augmentation of them;
a seed decides initial weights, order and draws, and is shared by the recipes that are compared. Prints a table for
each recipe (test accuracy of the epoch that is best on validation rows, and its gain over the baseline
paired by seed, with the standard error) and the pseudo-labels' accuracy by epoch. Runs that are done are not repeated.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

RECIPES = ("mnist/labelled_only", "mnist/pseudo_labels", "mnist/fixmatch")


def run(recipe: str, seed: int, options: argparse.Namespace) -> Path:
    """Fits one recipe with one seed, unless it is done; returns its run folder."""
    folder = Path(options.runs) / f"{recipe}-seed{seed}"
    if not (folder / "results.json").is_file():
        command = [
            sys.executable, "-m", "lhy_lightning.cli", "fit", "--config", recipe, "--data.source", options.source,
            "--seed_everything", str(seed), "--trainer.default_root_dir", options.runs,
            "--name", f"{recipe}-seed{seed}", "--overwrite", "--trainer.enable_progress_bar", "false", *options.more,
        ]  # fmt: skip
        threads = str(max(1, (os.cpu_count() or 1) // options.jobs))
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": threads}, stdout=subprocess.DEVNULL)
    return folder


def accuracy(folder: Path) -> float:
    """Test accuracy of a finished run."""
    return float(json.loads((folder / "results.json").read_text())["results"]["test/accuracy"])


def by_epoch(folder: Path) -> list[tuple[str, str]]:
    """(labelled, their accuracy) at every validation of a run."""
    with (folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("pseudo/labelled")]
    return [(row["pseudo/labelled"], row.get("pseudo/accuracy", "")) for row in rows]


def main() -> None:
    """Runs what is missing and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="folder of the data, or its hub id")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    parser.add_argument("--runs", default="runs/benchmark-pseudo-labels", help="folder of the runs")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), help="the baseline first")
    options, options.more = parser.parse_known_args()
    recipes, baseline = options.recipes, options.recipes[0]
    todo = [(recipe, seed) for seed in range(options.seeds) for recipe in recipes]
    with ThreadPoolExecutor(options.jobs) as pool:
        folders = dict(zip(todo, pool.map(lambda item: run(*item, options), todo), strict=True))
    scores = {recipe: [accuracy(folders[recipe, seed]) for seed in range(options.seeds)] for recipe in recipes}

    print(f"| recipe | test accuracy, {options.seeds} seeds | gain over {baseline} | standard errors |")
    print("|---|---|---|---|")
    for recipe in recipes:
        spread = statistics.stdev(scores[recipe]) if options.seeds > 1 else float("nan")
        gains = [a - b for a, b in zip(scores[recipe], scores[baseline], strict=True)]
        gain, cells = statistics.mean(gains), "| | |"
        if recipe != baseline and options.seeds > 1:
            error = statistics.stdev(gains) / len(gains) ** 0.5
            cells = f"| {gain:+.4f} ± {error:.4f} | {gain / error:+.1f} |"
        print(f"| {recipe} | {statistics.mean(scores[recipe]):.4f} ± {spread:.4f} {cells}")
    for recipe in recipes:
        epochs = [by_epoch(folders[recipe, seed]) for seed in range(options.seeds)]
        if not epochs[0]:
            continue
        print(f"\n{recipe}, pseudo-labels by epoch (mean of seeds): labelled, share of them that is right")
        for number, rows in enumerate(zip(*epochs, strict=True)):
            labelled = statistics.mean(float(count) for count, _ in rows)
            right = [float(share) for _, share in rows if share and share != "nan"]
            share = f"{statistics.mean(right):.4f}" if right else "unknown"
            print(f"  {number}: {labelled:8.0f}  {share}")


if __name__ == "__main__":
    main()
