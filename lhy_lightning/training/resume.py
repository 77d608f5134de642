"""Going on from a checkpoint as if the run had never stopped, at whatever moment of it the checkpoint was written.

Lightning 2.6 loads its loops' counters as they stood in the middle of a hook and guesses from them what is still to do.
It guesses wrong at an epoch's end where there are `max_steps` (the epoch goes on, is counted twice, and without
validation takes a batch of the next one), where `max_steps` cut an epoch short, at the end of a batch that is the
epoch's last or that a validation follows (which is left out), at an epoch's start, and while gradients accumulate (they
are lost). All that counts epochs or steps is wrong from there on: rows, `current_epoch`, when to validate, what loggers
write. So the counters are put right in one place, as they are loaded: between two epochs or behind a step, where what
follows leaves nothing to guess.
"""

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loops.fetchers import _DataFetcher
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.loop import _Loop
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop

from lhy_lightning.training.step_counting import StepsByGroup


def batches_of_open_group(loop: _FitLoop) -> int:
    """How many batches wait, their gradients accumulated, for others to make a step.

    No checkpoint holds these gradients: a run that goes on takes the batches again. That is exact but for running
    statistics, such as those of batch normalization, which have seen them before.
    """
    batch: Any = loop.epoch_loop.batch_progress
    return 0 if batch.is_last_batch else batch.current.processed % loop.trainer.accumulate_grad_batches


def position_in_run(loop: _FitLoop) -> tuple[int, int]:
    """The epoch, counted from 0, and how many of its batches have gone into steps, whatever hook asks.

    An epoch lasts until its `on_train_epoch_end`: after the last batch, and in the validation that follows, the place
    is behind all batches of it. One that was cut short, by `max_steps` or by a callback that stopped the run, is not
    over: the place stays in the midst of it.
    """
    epoch: Any = loop.epoch_progress.current
    batch: Any = loop.epoch_loop.batch_progress
    trained: int = batch.current.processed - batches_of_open_group(loop)
    if epoch.started > epoch.processed:
        return epoch.processed, trained
    if batch.is_last_batch or not batch.current.processed:
        return epoch.processed, 0
    return epoch.processed - 1, trained


def set_counts(counts: Any, done: int, *, begun: int | None = None) -> None:
    """Sets one of Lightning's counters to so many that are over, and to so many begun where that is not the same."""
    counts.ready = counts.started = done if begun is None else begun
    counts.processed = counts.completed = done


class ExactEpochLoop(_TrainingEpochLoop):
    """Lightning's loop over batches; on a restart it first makes up for what was to follow the last batch."""

    validated = False
    """Whether the checkpoint was written after the validation that follows its last batch, if one does."""

    def stand_behind_a_step(self, again: int) -> None:
        """Puts the counters, just loaded, behind the last batch that was trained on, or `again` batches before."""
        batches: Any = self.batch_progress
        validation: Any = self.val_loop.batch_progress
        hooks_over = batches.current.completed == batches.current.processed
        validation_over = validation.is_last_batch and validation.current.completed == validation.current.ready
        self.validated = again > 0 or (hooks_over and validation_over)
        for counts in (batches.current, batches.total):
            set_counts(counts, counts.processed - again)

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        super().on_run_start(data_fetcher)
        restarting: bool = super().restarting
        if not restarting:
            return
        self.restarting = False  # from here on all goes as in an unbroken run
        if not self.validated and self._should_check_val_fx(data_fetcher):
            self.trainer.validating = True
            self.val_loop.run()
            self.trainer.training = True
        # The step that loggers write is counted after the validation, so a checkpoint may be one behind.
        batches: Any = self.batch_progress
        grouped = isinstance(self.manual_optimization, StepsByGroup)
        by_steps = self.trainer.lightning_module.automatic_optimization or grouped
        self._batches_that_stepped = self.global_step if by_steps else batches.total.processed


class ExactFitLoop(_FitLoop):
    """Lightning's loop over epochs; it goes on from a checkpoint at the place that `position_in_run` tells."""

    epoch_loop: ExactEpochLoop
    epoch_end_to_come = False
    """Whether the checkpoint was written within an epoch, so that its `on_train_epoch_end` is still to come."""

    def load_state_dict(self, state_dict: dict[str, Any], prefix: str = "") -> None:
        super().load_state_dict(state_dict, prefix)
        loaded: Any = self.epoch_progress
        self.epoch_end_to_come = loaded.current.started > loaded.current.processed
        again, (epoch, trained) = batches_of_open_group(self), position_in_run(self)
        within = trained > 0
        for counts in (loaded.current, loaded.total):
            set_counts(counts, epoch, begun=epoch + within)
        self.epoch_loop.stand_behind_a_step(again)
        # To restart is to go on within an epoch. This class's own setter takes any run with `max_steps` for that.
        _Loop.restarting.__set__(self, within)  # type: ignore[attr-defined]

    @property
    def done(self) -> bool:
        # A run that was killed between its last step and the end of that epoch is not, though the steps are up.
        return not (self.restarting and self.epoch_end_to_come) and super().done


def resume_exactly(trainer: Trainer) -> None:
    """Gives a Trainer the loops of this file; in time if it has not loaded the loops of a checkpoint yet.

    Their classes are changed in place, as by now the Trainer's own hold data sources and the counts of earlier fits.
    The parents are private: pyproject.toml keeps lightning below the next minor release, and a test goes on from every
    moment of a run. Loops of someone's own class are left alone.
    """
    fit = trainer.fit_loop
    if type(fit) is _FitLoop and type(fit.epoch_loop) is _TrainingEpochLoop:
        fit.__class__, fit.epoch_loop.__class__ = ExactFitLoop, ExactEpochLoop
