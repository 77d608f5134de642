"""What a step is under manual optimization: one batch or one accumulated group, however many optimizers step in it."""

from collections.abc import Callable, Sequence

from lightning.pytorch import Trainer
from lightning.pytorch.loops.optimization.manual import _OUTPUTS_TYPE, _ManualOptimization


class StepsByGroup(_ManualOptimization):
    """Lightning's loop of manual optimization, but it counts groups of batches and not calls of optimizers.

    Lightning's own counts every `optimizer.step()`: with two optimizers `max_steps=100` ends after 50 batches, with
    five discriminator steps per generator step after 84 (https://github.com/Lightning-AI/pytorch-lightning/issues/17958).
    Silencing all optimizers but one does not do: none of them need step on every batch. The count keeps its place in
    checkpoints, so `trainer.global_step`, `max_steps`, checkpoints and resume follow it. The class that this one
    replaces is private: pyproject.toml keeps lightning below the next minor release, and a test counts.

    Args:
        trainer: the trainer whose loop this becomes, by `install`.
        after_step: called whenever a group is complete and counted, before any hook sees the batch's end.
    """

    def __init__(self, trainer: Trainer, after_step: Callable[[], None]) -> None:
        super().__init__(trainer)
        self.after_step = after_step

    @classmethod
    def install(cls, trainer: Trainer, after_step: Callable[[], None], accumulate: int = 1) -> None:
        """Makes `trainer` count groups of `accumulate` batches (an epoch's last group may be smaller).

        The Trainer refuses its own `accumulate_grad_batches` under manual optimization when it verifies its
        configuration, but everything that counts steps reads it: the number of steps that schedules are told, the
        steps of loggers, what is and is not in the middle of a group. It is set after that, in a module's `setup`.
        """
        trainer.accumulate_grad_batches = accumulate
        epoch = trainer.fit_loop.epoch_loop
        if isinstance(epoch.manual_optimization, cls):  # the trainer fits again and goes on counting
            epoch.manual_optimization.after_step = after_step
        else:
            epoch.manual_optimization = cls(trainer, after_step)

    @classmethod
    def uninstall(cls, trainer: Trainer) -> None:
        """Gives the Trainer its own argument back. The count stays: `trainer.global_step` is read after a fit."""
        if isinstance(trainer.fit_loop.epoch_loop.manual_optimization, cls):
            trainer.accumulate_grad_batches = 1

    def on_run_end(self) -> _OUTPUTS_TYPE:
        if not self.trainer.fit_loop.epoch_loop._should_accumulate():
            self.optim_step_progress.increment_ready()
            self.optim_step_progress.increment_completed()
            self.after_step()
        return super().on_run_end()

    def _on_before_step(self) -> None:
        self.trainer.profiler.start("optimizer_step")  # type: ignore[attr-defined]

    def _on_after_step(self) -> None:
        self.trainer.profiler.stop("optimizer_step")  # type: ignore[attr-defined]


def check_trainer(trainer: Trainer, clip_arguments: Sequence[str] = ()) -> None:
    """Refuses the Trainer's arguments that do not reach a module's own optimizer steps, naming the module's.

    Lightning refuses them too, but only to say that automatic optimization has them.

    Raises:
        ValueError: the Trainer clips or accumulates.
    """
    StepsByGroup.uninstall(trainer)  # a fit that an error ended had no teardown
    clip, accumulate = trainer.gradient_clip_val, trainer.accumulate_grad_batches
    if clip:
        own = " or ".join(f"{name}={clip}" for name in clip_arguments) or "arguments that clip each network"
        raise ValueError(
            f"Trainer(gradient_clip_val={clip}) does not reach a model with several optimizers: leave it out and give "
            f"the model {own}."
        )
    if accumulate != 1:
        raise ValueError(
            f"Trainer(accumulate_grad_batches={accumulate}) does not reach a model with several optimizers: leave it "
            f"out and give the model accumulate={accumulate}."
        )
