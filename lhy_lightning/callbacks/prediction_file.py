"""A file of predictions: rows of all ranks in the order of the inputs, written at the end, whole or not at all."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from lhy_lightning.core.atomic_files import atomic_write
from lhy_lightning.core.distributed import gather_from_ranks
from lhy_lightning.training.run_directory import run_directory

UNREADABLE = "could not be read; of a grey picture"


class PredictionFile(Callback):
    """Gathers what `predict_step` returns and writes it when every input has its row.

    A subclass names the file, says which inputs there are, what a row is and what the file has of the rows.
    """

    filename: str

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []
        self.unreadable: frozenset[int] = frozenset()

    def marked(self, table: list[list[Any]]) -> list[list[Any]]:
        """Adds a column that says which inputs could not be read: their predictions are those of a grey stand-in.

        Args:
            table: header, then one row an input, in order. Where all could be read it stays as it is.
        """
        if not self.unreadable:
            return table
        notes = [UNREADABLE if number in self.unreadable else "" for number in range(len(table) - 1)]
        return [[*row, note] for row, note in zip(table, ["note", *notes], strict=True)]

    def inputs(self, datamodule: Any) -> list[str]:
        """What is predicted for: paths, lines …"""
        raise NotImplementedError

    def rows(self, outputs: Any) -> list[tuple[Any, ...]]:
        """A batch's rows: the place among the inputs, then numbers, strings or arrays, which travel between ranks."""
        raise NotImplementedError

    def text(self, pl_module: LightningModule, inputs: list[str], rows: list[tuple[Any, ...]]) -> str | bytes:
        """The file's content, from one row an input, in order."""
        raise NotImplementedError

    def counted(self, rows: list[tuple[Any, ...]]) -> str:
        """How many rows the file has, in words."""
        return f"{len(rows)} rows"

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        unlabelled = getattr(data, "has_test", False) and not getattr(data, "test_labelled", True)
        if unlabelled and trainer.limit_test_batches and trainer.limit_predict_batches:  # predicted when it is trained
            self._refuse_a_part(trainer)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._rows = []
        self._refuse_a_part(trainer)

    def _refuse_a_part(self, trainer: Trainer) -> None:
        """Refuses a limit of batches, by which the file would have rows for some inputs only.

        Raises:
            ValueError: `limit_predict_batches` is less than all.
        """
        limit = trainer.limit_predict_batches
        if not trainer.fast_dev_run and (isinstance(limit, int) or limit < 1.0):  # type: ignore[attr-defined]
            raise ValueError(
                f"--trainer.limit_predict_batches {limit}: {self.filename} has a row for every input; leave the "
                "limit out, or predict for fewer inputs."
            )

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._rows += self.rows(outputs)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        rows = [row for part in gather_from_ranks(self._rows) for row in part]
        if not trainer.is_global_zero:
            return
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            print(f"fast_dev_run: {len(rows)} rows predicted, {self.filename} is not written")
            return
        rows = sorted(rows, key=lambda row: row[0])
        inputs = self.inputs(trainer.datamodule)  # type: ignore[attr-defined]
        if [row[0] for row in rows] != list(range(len(inputs))):
            raise RuntimeError(f"{len(rows)} predictions for {len(inputs)} inputs: {self.filename} is not written.")
        bad = getattr(trainer.datamodule, "bad_rows", {})  # type: ignore[attr-defined]
        self.unreadable = frozenset(bad.get("predict", ()))
        path = run_directory(trainer) / self.filename
        atomic_write(path, self.text(pl_module, inputs, rows))
        print(f"{path}: {self.counted(rows)}")
