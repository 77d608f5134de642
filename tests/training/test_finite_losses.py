"""No module trains on after a loss that is not finite, and none of its checkpoints takes a good one's place."""

import csv
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lhy_lightning.callbacks.best_checkpoint import BestCheckpoint
from lhy_lightning.callbacks.last_checkpoint import LastCheckpoint
from lhy_lightning.cli.errors import message_for_user
from lhy_lightning.training.checkpoints import read_checkpoint
from lhy_lightning.training.checks.first_batches import FirstBatches
from lhy_lightning.training.csv_logger import RunLogger
from lhy_lightning.training.finite_losses import (
    HELD_LOSSES,
    SKIPPED_STEPS,
    FiniteLosses,
    NonFiniteError,
    StopAtNonFiniteLoss,
)
from lhy_lightning.training.module import CourseModule
from lhy_lightning.training.multi_optimizer import MultiOptimizerModule
from tests.processes import run_forked, torchrun_environments
from tests.smallest_modules import public_modules, smallest
from tests.two_networks import float16, trainer

NAN, INF = float("nan"), float("inf")
Factor = Callable[[int], float]


def never(batch: int) -> float:
    return 1.0


def at(batch: int, value: float = NAN) -> Factor:
    return lambda number: value if number == batch else 1.0


class Line(CourseModule):
    """A line through points; `factor` multiplies the loss of a batch, counted from 1, of training or validation."""

    def __init__(
        self, *, lr: float = 0.0, factor: Factor = never, val_factor: Factor = never, as_dict: bool = False
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["factor", "val_factor"])
        self.factor, self.val_factor, self.as_dict = factor, val_factor, as_dict
        self.line, self.seen, self.validated = nn.Linear(1, 1), 0, 0
        self.register_buffer("mask", torch.tensor([0.0, -INF]))
        self.register_buffer("statistic", torch.zeros(1))

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        self.seen += 1
        loss = self.line(batch).square().mean().float() * self.factor(self.seen)
        self.log("train/loss", loss.detach())
        return {"loss": loss} if self.as_dict else loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.validated += 1
        self.log("val/loss", self.line(batch).square().mean() * self.val_factor(self.validated))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.hparams["lr"])


class Deaf(Line):
    """Someone's own module, whose hooks call none of the base's."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None: ...

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None: ...

    def on_validation_start(self) -> None: ...

    def on_train_epoch_end(self) -> None: ...

    def on_before_optimizer_step(self, optimizer: Any) -> None: ...


def fit(
    module: CourseModule, *callbacks: Callback, batches: int = 10, validation: bool = False, **settings: Any
) -> Trainer:
    fitting = trainer(*callbacks, num_sanity_val_steps=0, **{"log_every_n_steps": 5, **settings})
    rows = DataLoader(torch.linspace(1, 2, batches)[:, None], batch_size=1)
    fitting.fit(module, rows, DataLoader(torch.ones(1, 1)) if validation else None)
    return fitting


# --- every module ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", public_modules())
def test_every_public_module_stops_at_the_first_loss_that_is_not_finite(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, steps = smallest(name), []

    def loss_of(parameters: Any) -> Tensor:
        total = sum(weight.float().sum() for weight in parameters) * 0
        return total + (NAN if len(steps) > 1 else 1.0)

    def training_step(batch: Any, batch_idx: int) -> Tensor | None:
        steps.append(batch_idx)
        if not isinstance(module, MultiOptimizerModule):
            return loss_of(module.parameters())
        for network in module.networks():
            with module.toggled(network):
                module.backward_and_step(network, loss_of(module._parameters_of(network)))
        return None

    if name == "DIRTT":
        module.started = torch.tensor(True)  # goes on from weights of another run
    for hook in ("on_fit_start", "configure_callbacks"):  # would ask for data
        monkeypatch.setattr(module, hook, list)
    monkeypatch.setattr(FirstBatches, "take", lambda self, module, batch, dataloader_idx: batch)  # no contract's
    if hasattr(module, "normalization"):
        monkeypatch.setattr(module.normalization, "divide_gradients", lambda module: None)
    module.training_step = training_step  # type: ignore[method-assign]
    last = LastCheckpoint(every_n_steps=1, folder=str(tmp_path))
    fitting = trainer(last, log_every_n_steps=10, limit_val_batches=0)
    with pytest.raises(NonFiniteError, match=r"loss was not finite at step 2: lower .*learning rate.* clip"):
        fitting.fit(module, DataLoader(torch.zeros(9, 1)))
    assert len(steps) == 2  # the second step's checkpoint is the first wait that is due
    assert read_checkpoint(tmp_path / "last.ckpt")["global_step"] == 1


# --- when ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"as_dict": True}], ids=["loss", "dict"])
@pytest.mark.parametrize("kind", [Line, Deaf])
def test_training_ends_at_the_next_logging_step_and_says_what_to_do(kind: type[Line], settings: Any) -> None:
    module = kind(factor=at(7), lr=0.25, **settings)
    with pytest.raises(NonFiniteError) as raised:
        fit(module, gradient_clip_val=3.0)
    said = message_for_user(raised.value)
    assert said is not None
    assert said.startswith(
        "the loss was not finite at step 7: lower the learning rate (--model.lr, now 0.25), clip gradients "
        "(--trainer.gradient_clip_val, now 3.0)"
    )
    assert "\n" not in said
    assert module.seen == 10


@pytest.mark.parametrize("settings", [{"max_steps": 9}, {"max_epochs": 3}], ids=["max_steps", "an epoch's end"])
def test_without_logging_it_ends_with_the_epoch(settings: Any) -> None:
    module = Line(factor=at(7))
    with pytest.raises(NonFiniteError, match="step 7"):
        fit(module, log_every_n_steps=0, **settings)
    assert module.seen == settings.get("max_steps", 10)


def test_it_ends_before_a_validation_whose_figures_would_be_wrong() -> None:
    module = Line(factor=at(3))
    with pytest.raises(NonFiniteError, match="step 3"):
        fit(module, validation=True, val_check_interval=4, log_every_n_steps=0)
    assert module.validated == 0
    # the fourth loss is finite, what its step makes of the weights is not
    module = Line(factor=lambda batch: 1e30 if batch == 4 else 0.0, lr=1e30)
    with pytest.raises(NonFiniteError, match=r"line\.\w+ is not finite: lower the learning rate"):
        fit(module, validation=True, val_check_interval=4, log_every_n_steps=0)
    assert module.validated == 0


def test_steps_are_counted_in_groups_of_batches_and_from_where_a_run_goes_on(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match="at step 4:"):
        fit(Line(factor=at(7)), accumulate_grad_batches=2)
    fit(Line(), max_steps=6).save_checkpoint(tmp_path / "six.ckpt")
    module = Line(factor=at(3))
    fitting = trainer(max_steps=20, log_every_n_steps=5)
    with pytest.raises(NonFiniteError, match="at step 9:"):
        fitting.fit(module, DataLoader(torch.ones(10, 1)), ckpt_path=tmp_path / "six.ckpt", weights_only=True)


def test_many_losses_are_looked_at_together_and_the_first_bad_one_is_named() -> None:
    losses = FiniteLosses()
    for step in range(1, 3 * HELD_LOSSES):
        losses.see_loss("", torch.tensor(INF if step >= HELD_LOSSES + 3 else 1.0), step)
        assert sum(map(len, losses._held.values())) < HELD_LOSSES
    with pytest.raises(NonFiniteError, match=f"the loss was not finite at step {HELD_LOSSES + 3}:"):
        losses.check()


def test_a_trainer_watches_the_module_it_fits_once() -> None:
    fitting = trainer(log_every_n_steps=5)
    rows = DataLoader(torch.ones(4, 1))
    for _ in range(2):
        fitting.fit_loop.max_epochs = fitting.current_epoch + 1
        fitting.fit(Line(), rows)
    assert sum(isinstance(callback, StopAtNonFiniteLoss) for callback in fitting.callbacks) == 1  # type: ignore[attr-defined]
    fitting.fit_loop.max_epochs = fitting.current_epoch + 1
    with pytest.raises(NonFiniteError, match="at step 10:"):
        fitting.fit(Line(factor=at(2)), rows)


# --- gradient scalers ------------------------------------------------------------------------------------------------


def test_a_gradient_scaler_may_skip_steps_but_not_twenty_in_a_row() -> None:
    fit(Line(factor=lambda batch: NAN if batch < SKIPPED_STEPS else 1.0), batches=42, plugins=float16())
    with pytest.raises(NonFiniteError, match="the gradients were not finite in 20 steps in a row, up to step 25"):
        fit(Line(factor=lambda batch: INF if batch > 5 else 1.0), batches=60, plugins=float16())
    every_second = lambda batch: INF if batch > 10 or batch % 2 else 1.0  # noqa: E731  # a group is bad as a whole
    with pytest.raises(NonFiniteError, match="up to step 20"):
        fit(Line(factor=every_second), batches=60, plugins=float16(), accumulate_grad_batches=2)


# --- checkpoints -----------------------------------------------------------------------------------------------------


def test_no_checkpoint_is_written_of_weights_that_are_not_finite(tmp_path: Path) -> None:
    module = Line()
    fitting = fit(module)
    fitting.save_checkpoint(tmp_path / "good.ckpt")  # with a mask of -inf
    with torch.no_grad():
        module.line.weight[0, 0] = -INF
    for weights_only in (False, True):
        with pytest.raises(NonFiniteError, match=r"^line\.weight is not finite: lower the learning rate"):
            fitting.save_checkpoint(tmp_path / "bad.ckpt", weights_only=weights_only)
    with torch.no_grad():
        module.line.weight.zero_()
        module.statistic[0] = NAN  # type: ignore[index,operator]
    with pytest.raises(NonFiniteError, match=r"^statistic is not finite"):
        fitting.save_checkpoint(tmp_path / "bad.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["good.ckpt"]


def test_training_does_not_begin_from_weights_that_are_not_finite() -> None:
    module = Line()
    with torch.no_grad():
        module.line.bias[0] = NAN
    with pytest.raises(NonFiniteError, match=r"^line\.bias is not finite: .* Start from another checkpoint"):
        fit(module)
    assert module.seen == 0


# --- figures of validations ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [(1, NAN), (1, -INF), (3, NAN), (3, INF)])
def test_an_epoch_whose_loss_is_no_number_is_in_the_csv_and_never_the_best(
    bad: tuple[int, float], tmp_path: Path
) -> None:
    best = BestCheckpoint(folder=str(tmp_path / "c"))
    module = Line(val_factor=lambda number: bad[1] if number == bad[0] else 4.0 - number)
    with pytest.warns(UserWarning, match="val/loss is -?(nan|inf) at step .*: not taken for the best epoch"):
        fit(module, best, validation=True, max_epochs=3, logger=RunLogger(tmp_path))
    assert read_checkpoint(tmp_path / "c/best.ckpt")["epoch"] == (2 if bad[0] == 1 else 1)
    with (tmp_path / "metrics.csv").open() as file:
        written = [row["val/loss"] for row in csv.DictReader(file) if row["val/loss"]]
    assert written[bad[0] - 1] == str(bad[1])


def test_accuracy_chooses_no_epoch_whose_loss_is_no_number(tmp_path: Path) -> None:
    class Sure(Line):
        def validation_step(self, batch: Tensor, batch_idx: int) -> None:
            super().validation_step(batch, batch_idx)
            self.log("val/accuracy", 1.0 / self.validated)

    best = BestCheckpoint("val/accuracy", "max", folder=str(tmp_path))
    with pytest.warns(UserWarning, match="val/loss is nan"):
        fit(Sure(val_factor=at(1)), best, validation=True, max_epochs=3)
    assert read_checkpoint(tmp_path / "best.ckpt")["epoch"] == 1


# --- two processes ---------------------------------------------------------------------------------------------------


def fail_on_one_rank(folder: Path) -> None:
    module = Line(factor=lambda batch: NAN if batch == 3 and torch.distributed.get_rank() == 1 else 1.0)
    try:
        fit(module, devices=2, strategy="ddp", use_distributed_sampler=False)
    except NonFiniteError as error:
        rank = torch.distributed.get_rank()
        (folder / f"{rank}.txt").write_text(f"{module.seen} {error}")


def test_a_loss_of_one_rank_stops_both(tmp_path: Path) -> None:
    assert run_forked(fail_on_one_rank, tmp_path, environments=torchrun_environments(2)) == [0, 0]
    said = [(tmp_path / f"{rank}.txt").read_text() for rank in (0, 1)]
    assert said[0] == said[1]
    assert said[0].startswith("5 the loss was not finite at step 3: ")


# --- cost ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_benchmark_of_its_cost_still_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    import_module("benchmarks.training.finiteness").main(quick=True)
    printed = capsys.readouterr().out
    for row in ("| ResNet-20 |", "| small BERT", "| checkpoint with optimizer", "| saved folder", "| cache of images"):
        assert row in printed
