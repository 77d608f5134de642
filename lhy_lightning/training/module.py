"""What every Lightning module of the course shares: checkpoints that rebuild it, the Hub, seeded batches."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.model_helpers import _restricted_classmethod

from lhy_lightning.core.arguments.ranges import Names, Range, check_arguments, ranges
from lhy_lightning.core.arguments.renamed import RenamedArguments, with_new_names
from lhy_lightning.core.checksums import check_archive
from lhy_lightning.core.seeding import reseed_for_batch, run_seed
from lhy_lightning.layers.batch_norm import refuse_single_values
from lhy_lightning.optim.optimizers import NAMES
from lhy_lightning.training.built_module import BuiltModule
from lhy_lightning.training.checkpoints import (
    WholeFileCheckpointIO,
    class_path,
    is_path_of,
    read_checkpoint,
    without_code,
)
from lhy_lightning.training.checks.checkpoint_fit import mismatch
from lhy_lightning.training.checks.data_fit import check_data_module
from lhy_lightning.training.checks.first_batches import FirstBatches
from lhy_lightning.training.checks.precision import check_precision, take_true_precision
from lhy_lightning.training.checks.resumed_settings import ResumedSettings, check_data
from lhy_lightning.training.checks.trainer_numbers import check_numbers
from lhy_lightning.training.finite_losses import FiniteLosses, stop_at_non_finite_losses
from lhy_lightning.training.resume import resume_exactly

EvaluatedSplit = Literal["val", "test"]


class CourseModule(BuiltModule, metaclass=RenamedArguments):
    """Base of the course's Lightning modules.

    A subclass takes plain data as constructor arguments, calls `self.save_hyperparameters()`, and keeps
    `self.hparams` such that `type(self)(**self.hparams)` rebuilds network and preprocessing without any data: what
    `setup` learns from the data module is written back into `self.hparams`.
    """

    monitor: tuple[str, Literal["max", "min"]] = ("val/loss", "min")
    """The logged figure by which the best epoch is chosen, and whether more or less of it is better."""

    argument_ranges: ClassVar[Mapping[str, Range | Names]] = ranges(optimizer=Names(NAMES, any_case=True))
    """What the numbers among the constructor's arguments may be; a subclass says so of its own, beside them."""

    later_metrics: tuple[str, ...] = ()
    """Patterns of logged figures that the validation batches before training leave out: they are not missed."""

    needs_float32: str = ""
    """What of a training step would vanish with weights in half precision, in words; empty if nothing would."""

    tests_without_labels: bool = False
    """Whether a test of rows without labels says something; if not, `lhy fit` ends with predictions for them."""

    needs_labels: bool | str = False
    """Whether every training row must have a label, or the setting because of which: others are refused in `setup`."""

    missing_keys: tuple[tuple[str, str], ...] = ()
    """Keys of training batches beside those that the contract wants, and what is said where one is absent."""

    data_modules: tuple[str, ...] = ()
    """Names of the package's data modules whose batches this module takes; of other packages' nothing is asked."""

    def __new__(cls, *positional: Any, **arguments: Any) -> Self:
        """Checks the arguments, before a constructor builds or reads anything."""
        check_arguments(cls, positional, arguments)
        return super().__new__(cls, *positional, **arguments)

    def __init__(self) -> None:
        super().__init__()
        self._brought: list[Callback] = []
        self._first_batches = FirstBatches()

    loaded_settings: Mapping[str, Any] = {}
    """Those of the checkpoint that is being loaded."""

    def setup(self, stage: str) -> None:
        check_data_module(self, stage)
        self._first_batches = FirstBatches()
        strategy = self.trainer.strategy
        if type(strategy.checkpoint_io) is TorchCheckpointIO:
            strategy.checkpoint_io = WholeFileCheckpointIO()
        if stage == "fit":
            resume_exactly(self.trainer)
            self.finite_losses = FiniteLosses()
            stop_at_non_finite_losses(self.trainer, self)

            check_numbers(self.trainer)
            check_precision(self, self.trainer.precision_plugin, needs_float32=self.needs_float32)

    def configure_model(self) -> None:
        # The networks are built by now. It may be called without a Trainer, as for any Lightning module.
        if self._trainer is not None:
            take_true_precision(self, self.trainer.precision_plugin)

    def _apply_batch_transfer_handler(self, batch: Any, device: Any = None, dataloader_idx: int = 0) -> Any:
        """As Lightning has it, whose loops hand every batch through here; steps then get what their annotation names.

        Its public hooks do not do: a module's are left out where a data module has its own, with a warning.
        """
        batch = super()._apply_batch_transfer_handler(batch, device, dataloader_idx)
        return batch if device is None else self._first_batches.take(self, batch, dataloader_idx)

    def should_log(self, batch_idx: int) -> bool:
        """Whether loggers take this training step: logging one costs .5 ms."""
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return batch_idx == 0 or bool(every and (self.trainer.global_step + 1) % every == 0)

    def configure_callbacks(self) -> list[Callback]:
        """Returns the callbacks that the module brings; a subclass adds its own to those of `super()`.

        What it brought to the stage before leaves the Trainer here, or Lightning would call it overridden each time.
        """
        callbacks: list[Callback] = self.trainer.callbacks  # type: ignore[attr-defined]
        callbacks[:] = [one for one in callbacks if not any(one is brought for brought in self._brought)]
        return []

    def teardown(self, stage: str) -> None:
        there: list[Callback] = list(self.trainer.callbacks)  # type: ignore[attr-defined]
        own = {type(callback) for callback in self.configure_callbacks()}
        self.trainer.callbacks = there  # type: ignore[attr-defined]
        self._brought = [callback for callback in there if type(callback) in own]

    def on_train_start(self) -> None:
        if getattr(getattr(self.trainer, "datamodule", None), "hparams", {}).get("batch_size") == 1:
            refuse_single_values(self)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # Dropout and noise draw from here on; augmentation has drawn from the data module's own seed.
        reseed_for_batch(self.trainer, stream=1)

    # --- evaluation ------------------------------------------------------------------------------------------------

    def evaluate(self, *arguments: Any, **named: Any) -> Any:
        """Takes (batch, split): adds a batch of "val" or "test" to its figures; returns the output of the step."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it is evaluated: define `evaluate`")

    def report(self, *arguments: Any, **named: Any) -> None:
        """Takes (split): logs its figures when all its batches were added, and begins new ones."""

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        return self.evaluate(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        return self.evaluate(batch, "test")

    def on_validation_epoch_end(self) -> None:
        self.report("val")

    def on_test_epoch_end(self) -> None:
        self.report("test")

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.check_losses()
        self.check_weights(checkpoint["state_dict"])
        checkpoint["class_path"] = class_path(type(self))
        checkpoint["seed"], checkpoint["processes"] = run_seed(), self.trainer.world_size
        if (data := getattr(self.trainer, "datamodule", None)) is not None:  # no hook of its own is called for it
            checkpoint["data_class_path"] = class_path(type(data))

    @_restricted_classmethod  # Lightning's own: refused on an instance, which would stay as it is
    def load_from_checkpoint(cls, checkpoint_path: Any, *places: Any, **arguments: Any) -> Self:
        """As Lightning has it; a checkpoint of another class is called so, where its arguments do not fit this one.

        The file runs no code: `weights_only` is true where it is left out.

        Raises:
            TypeError: another class made the checkpoint.
            ValueError: the file is damaged, or holds objects that could run code.
            NonFiniteError: its weights are not finite.
        """
        if isinstance(checkpoint_path, str | Path) and Path(checkpoint_path).is_file():
            check_archive(Path(checkpoint_path))
        try:
            module: Self = without_code(super().load_from_checkpoint, checkpoint_path, *places, **arguments)
            return module
        except KeyError as error:
            raise ValueError(f"{checkpoint_path} lacks {error}: it is no whole Lightning checkpoint.") from error
        except TypeError as error:
            path = Path(checkpoint_path) if isinstance(checkpoint_path, str | Path) else None
            made_by = read_checkpoint(path).get("class_path") if path is not None and path.is_file() else None
            if made_by is None or is_path_of(made_by, cls):
                raise
            raise TypeError(
                f"{path} was made by {made_by}, not by {class_path(cls)}: load it with its own class."
            ) from error

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As torch has it; of weights that do not fit it says which, and which settings differ from the checkpoint's.

        Raises:
            ValueError: names or shapes are others.
        """
        try:
            return super().load_state_dict(state_dict, strict=strict, assign=assign)
        except RuntimeError as error:
            if (said := mismatch(self, state_dict, self.loaded_settings)) is None:
                raise
            raise ValueError(said) from error

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.loaded_settings = with_new_names(type(self), checkpoint.get("hyper_parameters", {}))
        made_by, own = checkpoint.get("class_path"), class_path(type(self))
        if made_by is not None and not is_path_of(made_by, type(self)):
            raise TypeError(f"this checkpoint was made by {made_by}, not by {own}: load it with its own class.")
        self.find_open_buffers()  # nothing of it is loaded yet
        source = getattr(self._trainer, "ckpt_path", None) or "this checkpoint"
        if "state_dict" in checkpoint:
            self.check_loaded(checkpoint["state_dict"], str(source))
        if self._trainer is not None and self._trainer.state.fn == TrainerFn.FITTING:
            before, now = checkpoint.get("processes"), self._trainer.world_size
            if before not in (None, now):
                rank_zero_warn(
                    f"this run was on {before} process(es) and goes on with {now}: weights and optimizers are as they "
                    "were, but the rows left of this epoch and all random draws depend on the number, so an unbroken "
                    "run would have gone on otherwise. batch_size is rows a process: for as many rows a step as "
                    f"before, take it times {before}/{now}."
                )
            if hasattr(data := getattr(self._trainer, "datamodule", None), "split_settings"):
                check_data(data, checkpoint)
            self._trainer.callbacks.insert(0, ResumedSettings(self, checkpoint))  # type: ignore[attr-defined]

    def prediction_writers(self) -> list[Callback]:
        """Callbacks that write what `lhy predict` promises for this module."""
        return []

    @classmethod
    def ensemble(cls, checkpoints: list[Path]) -> LightningModule:
        """One module that predicts what several checkpoints agree on.

        Raises:
            TypeError: this module's predictions cannot be averaged.
        """
        raise TypeError(f"predictions of several {cls.__name__} cannot be averaged: give one --ckpt_path.")
