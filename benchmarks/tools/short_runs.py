"""Many short runs of one table: each is trained and tested alike, and kept in a file as soon as it is there."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from lightning.pytorch import Trainer

from lhy_lightning.callbacks.best_checkpoint import BestCheckpoint

Result = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """What came of one run.

    Attributes:
        chosen, last: test figures of the checkpoint that the module chose, and of the last step.
        score: by which it was chosen.
        validation: figures of the last validation.
        minutes: of processor time, for training.
        by: target accuracy and rank correlation of every way of choosing, where the run has a `selection.csv`.
    """

    chosen: dict[str, float]
    last: dict[str, float]
    score: float
    validation: dict[str, float]
    minutes: float
    by: dict[str, dict[str, str]]


def trained_and_tested(module: Any, data: Any, *, steps: int, validations: int, keep: Path | None = None) -> Run:
    """Fits a module and tests what it chose; `keep` is the file that the chosen checkpoint is copied to."""
    with tempfile.TemporaryDirectory() as folder:
        best = BestCheckpoint(folder=folder)
        trainer = Trainer(
            accelerator="cpu", logger=False, callbacks=[best], max_steps=steps, enable_progress_bar=False,
            val_check_interval=steps // validations, check_val_every_n_epoch=None, enable_model_summary=False,
            num_sanity_val_steps=0, default_root_dir=folder,
        )  # fmt: skip
        began = time.process_time()
        trainer.fit(module, datamodule=data)
        minutes = round((time.process_time() - began) / 60, 2)
        figures = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        table = Path(folder) / "selection.csv"
        rows = [line.split(",") for line in table.read_text().splitlines()[1:]] if table.is_file() else []
        [last] = trainer.test(module, datamodule=data, verbose=False)
        [chosen] = trainer.test(
            module, datamodule=data, ckpt_path=best.best_model_path, verbose=False, weights_only=True
        )
        if keep is not None:
            shutil.copyfile(best.best_model_path, keep)
    by = {row[0]: {"accuracy": row[3], "correlation": row[4]} for row in rows}
    return Run(dict(chosen), dict(last), float(best.best_model_score or 0), figures, minutes, by)


def add_file(parser: ArgumentParser, default: str) -> None:
    parser.add_argument("--cache_dir")
    parser.add_argument("--out", type=Path, default=Path(default))


def kept(path: Path) -> list[Result]:
    """The results of a file, one a line; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def go_on(
    path: Path, results: list[Result], wanted: Iterable[tuple[Any, ...]],
    key: Callable[[Result], tuple[Any, ...]], run: Callable[..., Result],
) -> None:  # fmt: skip
    """Adds `run(*arguments)` to the results and to the file, for all arguments that no result has.

    Args:
        path: the file.
        results: those that are there.
        wanted: arguments of `run`.
        key: the arguments that a result had.
        run: one run.
    """
    done = {key(row) for row in results}
    for arguments in wanted:
        if arguments in done:
            continue
        results.append(run(*arguments))
        with path.open("a") as file:
            file.write(json.dumps(results[-1]) + "\n")
        print(results[-1], flush=True)


def every_method(options: Namespace, results: list[Result], run: Callable[[str, int, Namespace], Result]) -> None:
    """Adds `run(method, seed, options)` of all methods and seeds, first one seed of all.

    Args:
        options: with `out`, `methods` and `seeds`.
        results: those that are there, all with the settings that are asked for.
        run: one run.
    """
    go_on(
        options.out, results, ((method, seed) for seed in options.seeds for method in options.methods),
        key=lambda row: (row["method"], row["seed"]),
        run=lambda method, seed: run(method, seed, options),
    )  # fmt: skip


def by_method(results: Sequence[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for row in results:
        found.setdefault(row["method"], []).append(row)
    return found


def chosen_and_last(rows: Sequence[Result]) -> str:
    """Cells of a table: accuracy of the chosen checkpoints, of the last steps, mean minutes."""
    accuracies = [spread([row[name] for row in rows]) for name in ("chosen", "last")]
    return " | ".join([*accuracies, f"{mean(row['minutes'] for row in rows):.1f}"])


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation of shares, in points; a dash where there are none."""
    if not values:
        return "–"
    return f"{100 * mean(values):.1f}" + (f" ± {100 * stdev(values):.1f}" if len(values) > 1 else "")


def ways_table(results: Sequence[Result]) -> str:
    """What each way of choosing would have got: target accuracy on validation rows, and its rank correlation there."""
    lines = [
        "| method | checkpoint chosen by | accuracy on validation rows | rank correlation |",
        "|---|---|---:|---:|",
    ]
    for method, rows in by_method(results).items():
        ways = [row["by"] for row in rows if row["by"]]
        for way in ways[0] if ways else []:
            accuracies = [float(by[way]["accuracy"]) for by in ways if by[way]["accuracy"]]
            correlations = [float(by[way]["correlation"]) for by in ways if by[way]["correlation"]]
            told = f"{mean(correlations):+.2f}" if correlations else "–"
            lines.append(f"| {method} | {way} | {spread(accuracies)} | {told} |")
    return "\n".join(lines)
