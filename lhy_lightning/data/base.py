"""What every data module shares: loaders that resume in mid-epoch, and randomness seeded anew for every batch."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, TypeVar

from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn
from lightning.pytorch.utilities.model_helpers import _restricted_classmethod
from torch.utils.data import DataLoader, Dataset, Sampler

from lhy_lightning.core.arguments.ranges import (
    Names,
    Range,
    check_arguments,
)
from lhy_lightning.core.arguments.renamed import RenamedArguments
from lhy_lightning.core.seeding import reseed_for_batch
from lhy_lightning.data.controls import Control
from lhy_lightning.data.samplers import EvalBatches, TrainBatches
from lhy_lightning.training.checkpoints import without_code
from lhy_lightning.training.resume import position_in_run, resume_exactly
from lhy_lightning.training.stop_signals import outlive_stop_signals

Batch = TypeVar("Batch")


class ResumableLoader(DataLoader[Batch]):
    """A training loader whose place, (epoch, batches trained on), travels in the checkpoint.

    The place is counted in batches trained on, not in batches fetched: workers run ahead.

    Args:
        place: tells the epoch, counted from 0, and how many of its batches have been trained on.
    """

    def __init__(
        self,
        dataset: Dataset[Batch],
        sampler: TrainBatches,
        *,
        place: Callable[[], tuple[int, int]],
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        super().__init__(
            dataset,
            batch_size=None,
            sampler=sampler,
            num_workers=num_workers,
            pin_memory=pin_memory,
            persistent_workers=num_workers > 0,
            worker_init_fn=outlive_stop_signals,
        )
        self.place = place

    def state_dict(self) -> dict[str, int]:
        epoch, batches = self.place()
        return {"epoch": epoch, "batches": batches}

    def load_state_dict(self, state: dict[str, int]) -> None:
        assert isinstance(self.sampler, TrainBatches)
        self.sampler.set_epoch(state["epoch"])
        self.sampler.resume_at = (state["epoch"], state["batches"])


@rank_zero_only
def rank_zero_print(message: str) -> None:
    """Prints on the first rank only."""
    print(message, flush=True)


SOURCES = ("source", "target", "target_test", "source_a", "source_b")
"""Arguments that name where rows come from, beside those that end in `_source`."""


class CourseDataModule(LightningDataModule, metaclass=RenamedArguments):
    """Base of the course's data modules. Constructor arguments are plain data; `batch_size` is per process.

    A subclass calls `self.save_hyperparameters(logger=False)` (a key that model and data both have would raise in
    the logger), gives `train_loader` a dataset that takes what its sampler yields, and augments in
    `on_after_batch_transfer`, where torch's generators are freshly seeded for the batch.
    """

    split_settings: tuple[str, ...] = ()
    """Arguments that determine which rows there are, what their labels mean and which split each is in: a run that goes
    on from a checkpoint refuses to change them."""

    order_settings: tuple[str, ...] = ("batch_size",)
    """Arguments that determine the batches of an epoch: changed within one, they repeat and leave out rows."""

    kept_settings: tuple[str, ...] = ()
    """Arguments that a run which goes on does not look at, as what they made is in the checkpoint."""

    argument_ranges: ClassVar[Mapping[str, Range | Names]] = {}
    """What the numbers among the constructor's arguments may be; a subclass says so of its own, beside them."""

    _loader: ResumableLoader[Any] | None = None
    _place: dict[str, int] | None = None

    def __new__(cls, *positional: Any, **arguments: Any) -> Self:
        """Checks the arguments, before a constructor reads anything.

        Raises:
            ValueError: see `check_arguments`; or a source is empty, which as a path would be the current folder.
        """
        check_arguments(cls, positional, arguments)
        places = {"source": positional[0] if positional else None, **arguments}
        named = {name: value for name, value in places.items() if name in SOURCES or name.endswith("_source")}
        empty = next((name for name, value in named.items() if value == "" or value in ([""], ("",))), None)
        if empty is not None:
            raise ValueError(f"{empty} is empty: name a file, a folder or a hub id (is a shell variable not set?).")
        return super().__new__(cls)

    def __init__(self) -> None:
        super().__init__()
        self._reported: set[str] = set()

    def missing_labels(self) -> str | None:
        """After `setup`: what is said to a module that needs labels where training rows have none; None if they do."""
        return None

    def _warn_once(self, message: str) -> None:
        """Warns on the first rank, once of each message however often a stage is set up."""
        if message not in self._reported:
            self._reported.add(message)
            rank_zero_warn(message)

    def _tell(self, message: str) -> None:
        """Prints a fact about the data on the first rank, once however often a stage is set up."""
        if message not in self._reported:
            self._reported.add(message)
            rank_zero_print(message)

    def control(self, split: str) -> Control | None:
        """What a rule without a network reaches on `val` or `test`; None where there is none."""
        return None

    @_restricted_classmethod  # as Lightning has it
    def load_from_checkpoint(cls, checkpoint_path: Any, *places: Any, **arguments: Any) -> Self:
        """As Lightning has it, and the file runs no code: `weights_only` is true where it is left out.

        Raises:
            ValueError: it holds objects that could run code.
        """
        made: Self = without_code(super().load_from_checkpoint, checkpoint_path, *places, **arguments)
        return made

    def _stage(self) -> str:
        """What the Trainer is at; "fit" without one."""
        return str(self.trainer.state.fn.value) if self.trainer is not None and self.trainer.state.fn else "fit"

    def train_loader(
        self, dataset: Dataset[Batch], sampler: TrainBatches, *, num_workers: int = 0
    ) -> ResumableLoader[Batch]:
        loader = ResumableLoader(
            dataset,
            sampler,
            place=self._place_now,
            num_workers=num_workers,
            pin_memory=self._on_gpu(),
        )
        sampler.same_every_epoch = self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        if self._place is not None:
            loader.load_state_dict(self._place)
        self._loader, self._place = loader, None
        return loader

    def state_dict(self) -> dict[str, Any]:
        """The training loader's place; a subclass adds to what `super().state_dict()` returns.

        Lightning restores loaders that have a state, but not once `trainer.estimated_stepping_batches`, which any
        schedule asks for, has made them: that is before the checkpoint is read. A data module is restored earlier.
        """
        training = self._loader is not None and self.trainer is not None and self.trainer.fit_loop._data_fetcher
        return {"place": self._loader.state_dict()} if training and self._loader else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self.trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:
            resume_exactly(self.trainer)  # the model need not be one of the course's
            self._place = state_dict.get("place")

    def eval_loader(self, dataset: Dataset[Batch], batch_size: int, *, num_workers: int = 0) -> DataLoader[Batch]:
        """Every row once over all ranks, in order."""
        rows = len(dataset)  # type: ignore[arg-type]
        return self.loader(dataset, EvalBatches(rows, batch_size), num_workers=num_workers)

    def loader(
        self, dataset: Dataset[Batch], sampler: Sampler[list[int]], *, num_workers: int = 0
    ) -> DataLoader[Batch]:
        """A loader for evaluation whose sampler yields lists of rows, of which the dataset makes a batch each."""
        return DataLoader(
            dataset,
            batch_size=None,
            sampler=sampler,
            num_workers=num_workers,
            pin_memory=self._on_gpu(),
            worker_init_fn=outlive_stop_signals,
        )

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        if self.trainer is not None and self.trainer.training:
            reseed_for_batch(self.trainer)
        return batch

    def _place_now(self) -> tuple[int, int]:
        return position_in_run(self.trainer.fit_loop) if self.trainer is not None else (0, 0)

    def _on_gpu(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
