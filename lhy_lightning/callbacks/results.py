"""The table at the end of a run, and `results.json` beside it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rich
from lightning.pytorch import Trainer
from rich.console import Console
from rich.table import Table

from lhy_lightning.core.atomic_files import atomic_write, csv_text
from lhy_lightning.training.run_directory import leaves_files, run_directory

WORTH_A_LOOK = (
    "curves.png", "samples", "codes.npy", "latents.npy", "compression.csv", "pictures.lhy", "predictions.csv",
    "predict.csv", "predictions.tsv", "submission.csv", "submission.txt",
)  # fmt: skip


def write_results(
    path: Path, results: dict[str, float], *, step: int, checkpoint: Path, controls: Mapping[str, float] | None = None
) -> None:
    """Writes the metrics of a finished run; the file's presence says that the run is done.

    Args:
        path: of `results.json`.
        results: metrics by their names.
        step: the last one.
        checkpoint: that was evaluated.
        controls: what rules without a network reach, by the names of metrics.
    """
    body: dict[str, Any] = {"step": step, "checkpoint": checkpoint.name, "results": results}
    if controls:
        body["controls"] = dict(controls)
    atomic_write(path, json.dumps(body, indent=2) + "\n")


def read_results(path: Path) -> dict[str, float] | None:
    """The figures of a finished run; None where the run is not finished."""
    if not path.is_file():
        return None
    results: dict[str, float] = json.loads(path.read_text("utf8"))["results"]
    return results


def write_table(
    trainer: Trainer, filename: str, header: list[str], rows: list[list[str]], *, title: str | None = None
) -> None:
    """Writes a table into the run folder as csv, and prints it unless the trainer is told to be quiet."""
    if leaves_files(trainer):
        atomic_write(run_directory(trainer) / filename, csv_text([header, *rows]))
    if trainer.progress_bar_callback is not None:
        table = Table(*header, title=title)
        for row in rows:
            table.add_row(*row)
        rich.print(table)


def write_scores(
    trainer: Trainer, filename: str, scores: Mapping[str, Mapping[str, Any]], *, title: str | None = None
) -> None:
    """Writes and prints a table with a line for each figure and a column for each thing that was scored.

    Args:
        trainer: the trainer at work.
        filename: in the run folder.
        scores: figures by what was scored, such as samples and their controls; not all need have every figure.
        title: of what is printed.
    """
    names = list(dict.fromkeys(name for figures in scores.values() for name in figures))
    rows = [
        [name, *(f"{float(figures[name]):.4f}" if name in figures else "" for figures in scores.values())]
        for name in names
    ]
    write_table(trainer, filename, ["figure", *scores], rows, title=title)


def print_results(
    folder: Path,
    results: dict[str, float],
    *,
    of: str,
    remarks: Sequence[str] = (),
    drawn: tuple[frozenset[str], str] | None = None,
) -> None:
    """Prints one row per quantity, one column per split, remarks on them, and where the files are.

    Args:
        folder: of the run.
        results: figures by split and quantity.
        of: title of the table.
        remarks: lines below it.
        drawn: quantities of samples, which are no figures of a split, and what the samples are compared with: they
            have a column of their own.
    """
    figures: dict[str, dict[str, float]] = {}
    for name, value in results.items():
        split, _, quantity = name.partition("/")
        if quantity:
            figures.setdefault(quantity, {})["samples" if drawn and quantity in drawn[0] else split] = value
    splits = [s for s in ("train", "val", "test") if any(s in row for row in figures.values())]
    splits += sorted({s for row in figures.values() for s in row} - set(splits))
    table = Table(title=of, title_justify="left", caption_justify="left")
    if drawn and "samples" in splits:
        table.caption = drawn[1]
    table.add_column("")
    for split in splits:
        table.add_column(split, justify="right")
    for quantity, row in sorted(figures.items()):
        table.add_row(quantity, *(f"{row[s]:.4f}" if s in row else "" for s in splits))
    console = Console()
    if figures:
        console.print(table)
    for remark in remarks:
        console.print(remark, highlight=False, markup=False)
    files = [p for name in WORTH_A_LOOK if (p := folder / name).exists()]
    console.print(
        "run folder: " + str(folder), "· " + " · ".join(p.name for p in files) if files else "", highlight=False
    )
