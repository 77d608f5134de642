"""`metrics.csv` of a run: one row a step, kept across a resume."""

import csv
import io
import os
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only

from lhy_lightning.core.atomic_files import atomic_write, full_disk_told


class MetricsFile:
    """Appends rows to a csv; what is logged twice at one step becomes one row, a new column rewrites the file.

    Args:
        path: the file.
        before_step: rows of this step and later, written by a run that was cut off, are dropped; None drops all.
    """

    def __init__(self, path: Path, before_step: int | None = None) -> None:
        self.path, self.columns, self.rows = path, ["epoch", "step"], []
        if before_step is not None and path.is_file():
            whole, _, _cut_off_by_a_kill = path.read_text("utf8").rpartition("\n")
            rows = [row for row in csv.DictReader(whole.splitlines()) if int(row["step"]) < before_step]
            self.rows = [{name: value for name, value in row.items() if value} for row in rows]
            self._add_columns(name for row in self.rows for name in row)
        self._last_row_at = 0
        self._rewrite()

    rows: list[dict[str, Any]]

    def add(self, step: int, values: dict[str, float]) -> None:
        row = {name: repr(float(value)) for name, value in values.items() if name != "epoch"}
        row |= {"epoch": str(int(values["epoch"]))} if "epoch" in values else {}
        row["step"] = str(step)
        merge = bool(self.rows) and self.rows[-1]["step"] == str(step)
        if merge:
            self.rows[-1] |= row
        else:
            self.rows.append(row)
        if self._add_columns(row):
            self._rewrite()
            return
        line = self._lines(self.rows[-1:])
        with full_disk_told(self.path, len(line)), self.path.open("r+b") as file:
            self._last_row_at = self._last_row_at if merge else file.seek(0, os.SEEK_END)
            file.seek(self._last_row_at)
            file.write(line)
            file.truncate()

    def _add_columns(self, names: Any) -> bool:
        new = sorted(set(names) - set(self.columns))
        self.columns = ["epoch", "step", *sorted({*self.columns, *new} - {"epoch", "step"})]
        return bool(new)

    def _lines(self, rows: list[dict[str, Any]], *, header: bool = False) -> bytes:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()

    def _rewrite(self) -> None:
        head, last = self._lines(self.rows[:-1], header=True), self._lines(self.rows[-1:])
        atomic_write(self.path, head + last)
        self._last_row_at = len(head)


class RunLogger(CSVLogger):
    """Lightning's CSV logger writing to a fixed file, keeping the rows before the step that a run resumes from.

    Args:
        folder: the run folder.
        filename: the csv in it.
        before_step: see `MetricsFile`.
    """

    def __init__(self, folder: str | Path, *, filename: str = "metrics.csv", before_step: int | None = None) -> None:
        super().__init__(save_dir=str(folder), name="", version="")
        self.folder, self.filename, self.before_step = Path(folder), filename, before_step
        self._file: MetricsFile | None = None
        self._paused = False

    def pause(self) -> None:
        """Writes nothing from here on: figures of the best epoch, measured again at the end, are on no curve."""
        self._paused = True

    @property
    def log_dir(self) -> str:
        return str(self.folder)

    @property
    def root_dir(self) -> str:
        return str(self.folder)

    @property
    def experiment(self) -> Any:
        return self

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        if self._paused:
            return
        if self._file is None:
            self._file = MetricsFile(self.folder / self.filename, self.before_step)
        self._file.add(step or 0, {name: float(value) for name, value in metrics.items()})

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Left out: `config.yaml` of the run folder holds every setting."""

    def save(self) -> None:
        """Rows are on disk as soon as they are logged."""

    def finalize(self, status: str) -> None:
        """Nothing is held back."""
