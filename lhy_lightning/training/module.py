"""What every Lightning module of the course shares: checkpoints that rebuild it, the Hub, seeded batches."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from huggingface_hub import ModelHubMixin
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import GradClipAlgorithmType
from lightning.pytorch.utilities.model_helpers import _restricted_classmethod
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from safetensors.torch import save_model
from torch import Tensor
from torch.amp import GradScaler
from torch.optim import Optimizer

from lhy_lightning.core.argument_ranges import Names, Range, check_arguments, ranges
from lhy_lightning.core.checksums import check_archive, check_tensors, tensor_checksums
from lhy_lightning.core.seeding import reseed_for_batch, run_seed
from lhy_lightning.layers.batch_norm import refuse_single_values
from lhy_lightning.optim import build_schedule
from lhy_lightning.optim.optimizers import NAMES
from lhy_lightning.training.checkpoints import (
    WholeFileCheckpointIO,
    class_path,
    is_path_of,
    read_checkpoint,
    without_code,
)
from lhy_lightning.training.checks.checkpoint_fit import json_settings, load_safetensors, mismatch
from lhy_lightning.training.checks.data_fit import check_batch, check_data_module
from lhy_lightning.training.checks.precision import check_precision, take_true_precision
from lhy_lightning.training.checks.resumed_settings import ResumedSettings, check_data
from lhy_lightning.training.checks.trainer_numbers import check_numbers
from lhy_lightning.training.finite_losses import FiniteLosses, check_weights, non_finite, stop_at_non_finite_losses
from lhy_lightning.training.hub import as_tuple, plain, saved_file, saved_settings, tuples
from lhy_lightning.training.resume import resume_exactly


class CourseModule(LightningModule, ModelHubMixin):
    """Base of the course's Lightning modules.

    A subclass takes plain data as constructor arguments, calls `self.save_hyperparameters()`, and keeps
    `self.hparams` such that `type(self)(**self.hparams)` rebuilds network and preprocessing without any data: what
    `setup` learns from the data module is written back into `self.hparams`.
    """

    headline_metric: tuple[str, Literal["max", "min"]] = ("val/loss", "min")
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

    data_modules: tuple[str, ...] = ()
    """Names of the package's data modules whose batches this module takes; of other packages' nothing is asked."""

    def __new__(cls, *positional: Any, **arguments: Any) -> Self:
        """Checks the arguments, before a constructor builds or reads anything."""
        check_arguments(cls, positional, arguments)
        return super().__new__(cls, *positional, **arguments)

    def __init__(self) -> None:
        super().__init__()
        self.finite_losses = FiniteLosses()
        self._brought: list[Callback] = []
        self.open_buffers: set[str] | None = None
        """Buffers that are not finite before training, once known: masks of -inf, or numbers still to be found."""

    loaded_settings: Mapping[str, Any] = {}
    """Those of the checkpoint that is being loaded."""

    def setup(self, stage: str) -> None:
        check_data_module(self, stage)
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

    def note(self, name: str, value: Any) -> None:
        """Sets an argument that was left out, in the module and in what its checkpoints rebuild it from."""
        setattr(self, name, value)
        self.hparams[name] = value

    def learn_from_data(self, names: Sequence[str], *, equal: Sequence[str]) -> None:
        """Notes what the data module tells of the arguments `names` that were left out, lists as tuples.

        Raises:
            ValueError: one of `equal` was given, and the data module tells another value.
        """
        data = getattr(self.trainer, "datamodule", None)
        for name in names:
            here, there = as_tuple(getattr(self, name)), as_tuple(getattr(data, name, None))
            if here is None and there is not None:
                self.note(name, there)
            elif there is not None and name in equal and here != there:
                raise ValueError(f"the network was built for {name} {here}, the data has {there}: give both the same")

    def logs_now(self, batch_idx: int) -> bool:
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
        if batch_idx == 0:
            check_batch(self, batch)
        # Dropout and noise draw from here on; augmentation has drawn from the data module's own seed.
        reseed_for_batch(self.trainer, stream=1)

    def scheduled(self, optimizer: Optimizer, **schedule: Any) -> dict[str, Any]:
        """What `configure_optimizers` returns: an optimizer and its schedule over all steps of this run.

        Args:
            optimizer: the only one of the module.
            schedule: arguments of `build_schedule`, without the number of steps.
        """
        scheduler = build_schedule(optimizer, total_steps=self.trainer.estimated_stepping_batches, **schedule)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """As Lightning has it, and also under mixed precision, where it refuses to clip before a fused step.

        A fused step can unscale the gradients itself, so Lightning leaves them scaled; it takes unscaled ones as well.
        """
        precision = self.trainer.precision_plugin
        fused = getattr(optimizer, "_step_supports_amp_scaling", False)
        if not gradient_clip_val or not fused or not isinstance(precision, MixedPrecision):
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        if precision.scaler is not None:
            precision.scaler.unscale_(optimizer)
        algorithm = GradClipAlgorithmType(gradient_clip_algorithm or GradClipAlgorithmType.NORM)
        Precision.clip_gradients(precision, optimizer, gradient_clip_val, algorithm)

    # --- losses and weights that are no numbers ----------------------------------------------------------------------

    @property
    def gradient_scaler(self) -> GradScaler | None:
        """That of precision 16-mixed."""
        return getattr(self.trainer.precision_plugin, "scaler", None)

    def cures(self, name: str) -> str:
        """What may help where the loss of network `name`, "" for all of the module, is not finite."""
        lr = self.hparams.get("lr")
        slower = "lower the learning rate" + ("" if lr is None else f" (--model.lr, now {lr})")
        clip = self.trainer.gradient_clip_val
        return slower + ", clip gradients (--trainer.gradient_clip_val" + (f", now {clip})" if clip else " 1)")

    def check_losses(self) -> None:
        """Waits for the device and stops all ranks where the loss of a step so far was not finite.

        Raises:
            NonFiniteError: names the first such step.
        """
        self.finite_losses.check(self.trainer.world_size, self.cures)

    def find_open_buffers(self) -> None:
        """Notes which buffers are not finite in a module that has not been trained or loaded yet."""
        names, bad = non_finite(dict(self.named_buffers()))
        self.open_buffers = (self.open_buffers or set()) | {n for n, found in zip(names, bad, strict=True) if found}

    def checked(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What of a state dict has to be finite: all but `open_buffers`."""
        if self.open_buffers is None:
            self.find_open_buffers()
        return {name: value for name, value in state.items() if name not in (self.open_buffers or ())}

    def check_weights(self, state: Mapping[str, Tensor], then: str | None = None) -> None:
        """Waits for the device and stops all ranks where weights of a state dict are not finite.

        Args:
            state: (part of) a state dict; `open_buffers` are left out.
            then: what follows from it; if not given, what it means in training.

        Raises:
            NonFiniteError: names the first such tensor.
        """
        check_weights(
            self.checked(state),
            self.trainer.world_size,
            device=self.trainer.strategy.root_device,
            then=then or f"{self.cures('')}. No checkpoint is written of it",
        )

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
            return without_code(super().load_from_checkpoint, checkpoint_path, *places, **arguments)
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

    def check_loaded(self, state: Mapping[str, Tensor], source: str) -> None:
        """Refuses weights that are not finite, on each rank alike, as all read them from one file.

        Raises:
            NonFiniteError: names the first such tensor.
        """
        then = f"{source} is of a run that diverged. Take a checkpoint from before"
        check_weights(self.checked(state), then=then)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.loaded_settings = checkpoint.get("hyper_parameters", {})
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

    # --- Hugging Face Hub ------------------------------------------------------------------------------------------

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> str | None:
        """Writes `config.json` (class and arguments) and `model.safetensors`; `push_to_hub=True` uploads them."""
        config = {"class_path": class_path(type(self)), **plain(dict(self.hparams))}
        return super().save_pretrained(save_directory, config=config, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **arguments: Any) -> Self:
        """As the hub's mixin has it, which reads the settings of a folder before `_from_pretrained` does.

        Raises:
            ValueError: they are no JSON, or no settings.
        """
        config = Path(pretrained_model_name_or_path) / "config.json"
        if config.is_file():
            json_settings(config)
        return super().from_pretrained(pretrained_model_name_or_path, **arguments)

    def _save_pretrained(self, save_directory: Path) -> None:
        save_model(self, str(save_directory / "model.safetensors"), tensor_checksums(self.state_dict()))

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        config: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> Self:
        place: dict[str, Any] = {
            "revision": revision, "cache_dir": cache_dir, "token": token, "force_download": force_download,
            "local_files_only": local_files_only,
        }  # fmt: skip
        files = [saved_file(model_id, name, **place) for name in ("config.json", "model.safetensors")]
        settings = saved_settings(files[0], cls)
        given = {name: value for name, value in arguments.items() if name in settings and value is not None}
        module = cls(**{name: tuples(value) for name, value in {**settings, **given}.items()})
        check_tensors(files[1])
        module.find_open_buffers()
        load_safetensors(module, files[1])
        module.check_loaded(module.state_dict(), str(files[1]))
        return module.eval()
