"""`lhy fit --data.folds N`: the N fits of a cross-validation one after the other, and `folds.csv` with their mean."""

import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lhy_lightning.callbacks.results import read_results
from lhy_lightning.cli.flags import option, overwrites
from lhy_lightning.cli.runs import run_folder
from lhy_lightning.cli.runs.asked_settings import Resolve, check_same
from lhy_lightning.core.atomic_files import atomic_write, csv_text

FOLD = "fold-{}"


def run_folds(argv: list[str], run_one: Callable[[list[str]], int], resolve: Resolve) -> int | None:
    """Runs every fold that is not done yet, going on with the one that was cut off, and writes `folds.csv`.

    Args:
        argv: the command line.
        run_one: runs the command line of one fold and returns its exit code.
        resolve: tells all settings of a `fit`.

    Returns:
        The exit code, or None if the command line asks for no cross-validation (no `--data.folds`, or one fold
        by `--data.fold`).

    Raises:
        ValueError: fewer than two folds, a checkpoint given, several processes that `torchrun` or SLURM started, or a
            fold that is there with other settings.
    """
    folds, _ = option(argv, "--data.folds")
    fold, _ = option(argv, "--data.fold")
    if not argv or argv[0] != "fit" or folds is None or fold is not None:
        return None
    if not folds.isdecimal() or int(folds) < 2:
        raise ValueError(f"--data.folds {folds}: give at least 2.")
    if run_folder.launched_from_outside():
        raise ValueError(
            "--data.folds starts one fit after the other; under torchrun or SLURM name one by --data.fold."
        )
    name, rest = option(argv, "--name")
    checkpoint, rest = option(rest, "--ckpt_path")
    if checkpoint is not None:
        raise ValueError("--data.folds goes on by itself with the fold that was cut off: leave --ckpt_path out.")
    recipe, _ = option(argv, "--config")
    root = Path(option(argv, "--trainer.default_root_dir")[0] or "runs")
    name = name or f"{run_folder.name_of_recipe(recipe or 'run')}-folds"
    overwrite, rest = overwrites(rest)
    asked: dict[str, Any] = {}
    results = []
    for number in range(int(folds)):
        folder = root / name / FOLD.format(number)
        if run_folder.is_run(folder) and not overwrite:
            asked = asked or resolve([*rest, "--data.fold", "0"])
            asked["data"]["init_args"]["fold"] = number
            check_same(folder, asked, "a fold of this run,")
        if overwrite or not run_folder.is_finished(folder):
            last = folder / "checkpoints" / "last.ckpt"
            os.environ.pop(run_folder.ENVIRONMENT_KEY, None)
            resumed = last.is_file() and not overwrite
            more = ["--ckpt_path", str(last)] if resumed else ["--overwrite", "true"] if overwrite else []
            print(f"fold {number} of {folds}{' (resumed)' if resumed else ''}", flush=True)
            code = run_one([*rest, "--name", f"{name}/{folder.name}", "--data.fold", str(number), *more])
            if code or not run_folder.is_finished(folder):
                return code or 1
        done = read_results(folder / "results.json")
        assert done is not None
        results.append(done)
    if os.environ.get("LOCAL_RANK", "0") == "0":
        write_folds(root / name / "folds.csv", results)
        print((root / name / "folds.csv").read_text("utf8"))
    return 0


def write_folds(path: Path, results: list[dict[str, float]]) -> None:
    """One row a fold, then mean and standard deviation over folds (n − 1 in the denominator)."""
    names = sorted(set.intersection(*(set(result) for result in results)))
    columns = {name: [result[name] for result in results] for name in names}
    rows: list[list[Any]] = [
        ["fold", *names],
        *([number, *(f"{columns[n][number]:.6f}" for n in names)] for number in range(len(results))),
        ["mean", *(f"{statistics.mean(columns[n]):.6f}" for n in names)],
        ["deviation", *(f"{statistics.stdev(columns[n]):.6f}" for n in names)],
    ]
    atomic_write(path, csv_text(rows))
