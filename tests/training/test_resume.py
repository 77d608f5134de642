"""Wherever in a run a checkpoint is written, going on from it equals the unbroken run: rows, draws, epochs, figures."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lhy_lightning import ImageDataModule, PseudoLabelClassifier, TranslationDataModule, Translator
from lhy_lightning.callbacks.last_checkpoint import LastCheckpoint
from lhy_lightning.training.checkpoints import read_checkpoint
from lhy_lightning.training.csv_logger import RunLogger
from lhy_lightning.training.module import CourseModule
from lhy_lightning.training.resume import ExactFitLoop
from tests.going_on import Diary, Unbroken
from tests.seq2seq.conftest import write_corpus
from tests.two_networks import Data, Rows, TwoNetworks, trainer

pytestmark = pytest.mark.usefixtures("undrawn_figures")

BATCHES = 4  # an epoch


class Validated(Data):
    """`batches` batches an epoch; one row is left out, another one every epoch."""

    def __init__(self, batches: int = BATCHES) -> None:
        super().__init__(rows=2 * batches + 1)

    def val_dataloader(self) -> DataLoader:
        return self.eval_loader(Rows(4), 2)


class OneNetwork(CourseModule):
    """Automatic optimization, a draw a batch and a learning rate that follows the epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.save_hyperparameters()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.network = nn.Linear(3, 1)

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        loss = (self.network(batch["real"]) - torch.randn(())).square().mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        self.log("val/loss", self.network(batch["real"]).mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}


class Adversaries(TwoNetworks):
    """Manual optimization of two networks, of which one steps every second time, with a draw a batch."""

    def __init__(self, accumulate: int = 1) -> None:
        super().__init__(accumulate=accumulate, n_critic=2, optimizer="adam", lr=0.01)

    def factor(self, name: str, batch: Mapping[str, Tensor]) -> float:
        return 1 + float(torch.rand(()))

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        self.log("val/loss", self.discriminator(batch["real"]).mean())


class NotOfTheCourse(LightningModule):
    """Manual optimization with two steps a batch, which Lightning counts both."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.network = nn.Linear(3, 1)

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        for _ in range(2):
            loss = (self.network(batch["real"]) - torch.randn(())).square().mean()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        self.log("train/loss", loss)

    validation_step = OneNetwork.validation_step

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.01)


def fit(
    logger: RunLogger | None,
    *callbacks: Callback,
    optimization: str = "automatic",
    where: Mapping[str, Any] | None = None,
    **settings: Any,
) -> tuple[Trainer, LightningModule]:
    """`BATCHES` steps an epoch, one more batch a step with accumulation, of which the last step has fewer."""
    accumulate = 3 if "accumulated" in optimization else 1
    module = Adversaries(accumulate) if "manual" in optimization else OneNetwork()
    if accumulate > 1 and "manual" not in optimization:
        settings["accumulate_grad_batches"] = accumulate
    saving = any(isinstance(callback, Checkpoint) for callback in callbacks)
    run = trainer(*callbacks, log_every_n_steps=1, logger=logger or False, enable_checkpointing=saving, **settings)
    run.fit(module, Validated(BATCHES * accumulate - (accumulate > 1)), **(where or {}))
    return run, module


EPOCHS, STEPS, BOTH = {"max_epochs": 3}, {"max_steps": 10}, {"max_epochs": 3, "max_steps": 100}
NEVER: dict[str, Any] = {"limit_val_batches": 0}
EVERY_EPOCH: dict[str, Any] = {}
EVERY_SECOND_EPOCH = {"check_val_every_n_epoch": 2}
WITHIN_AN_EPOCH: dict[str, Any] = {"val_check_interval": 0.55}  # after batch 2 and 4 of 4, or 6 of 11
EVERY_THIRD_BATCH: dict[str, Any] = {"val_check_interval": 3, "check_val_every_n_epoch": None}


@pytest.mark.parametrize(
    ("limits", "validation", "optimization"),
    [
        (EPOCHS, EVERY_EPOCH, "automatic"),
        (EPOCHS, WITHIN_AN_EPOCH, "manual, accumulated"),
        (STEPS, EVERY_EPOCH, "manual"),
        (STEPS, EVERY_SECOND_EPOCH, "automatic"),
        (STEPS, EVERY_THIRD_BATCH, "automatic"),
        (STEPS, WITHIN_AN_EPOCH, "automatic, accumulated"),
        (STEPS, NEVER, "automatic"),
        (STEPS, NEVER, "manual, accumulated"),
        (BOTH, WITHIN_AN_EPOCH, "manual"),
        (BOTH, NEVER, "automatic"),
    ],
    ids=str,
)
def test_going_on_from_any_moment_equals_the_unbroken_run(
    limits: dict[str, Any], validation: dict[str, Any], optimization: str, tmp_path: Path
) -> None:
    settings = {**limits, **validation, "optimization": optimization}
    run = Unbroken(tmp_path, lambda logger, *callbacks, **where: fit(logger, *callbacks, where=where, **settings))
    moments = {moment.split(" in ")[0] for moment, _, _ in run.checkpoints}
    assert {"epoch's start", "batch's end", "epoch's end"} <= moments
    assert ("validation's end" in moments) == (validation != NEVER)
    assert run.all_differences() == {}


def test_a_model_that_is_not_of_the_course_goes_on_too_where_the_data_is(tmp_path: Path) -> None:
    def fit_other(logger: RunLogger, *callbacks: Callback, **where: Any) -> tuple[Trainer, LightningModule]:
        module = NotOfTheCourse()
        run = trainer(*callbacks, max_steps=20, val_check_interval=0.5, log_every_n_steps=1, logger=logger)
        with torch.random.fork_rng():
            run.fit(module, Validated(), **where)
        return run, module

    assert Unbroken(tmp_path, fit_other, optimizer_steps=2).all_differences() == {}


@pytest.mark.parametrize("workers", [0, 1])
def test_pseudo_labels_made_in_a_validation_serve_from_the_next_epoch_on(workers: int, tmp_path: Path) -> None:
    def fit_pictures(logger: RunLogger, *callbacks: Callback, **where: Any) -> tuple[Trainer, LightningModule]:
        torch.manual_seed(0)
        module = PseudoLabelClassifier(
            network="vgg", depth=2, width=4, dropout=0.2, relabel_every_n_epochs=1, start_accuracy=0.0, threshold=0.105
        )
        data = ImageDataModule(
            labelled_per_class=8, val_fraction=0.02, batch_size=16, steps_per_epoch=3, unlabelled_per_batch=4,
            unlabelled="pseudo", crop=1, num_workers=workers,
        )  # fmt: skip
        run = trainer(*callbacks, max_steps=8, log_every_n_steps=1, logger=logger)
        run.fit(module, datamodule=data, **where)
        return run, module

    run = Unbroken(tmp_path, fit_pictures)
    added = [len(line[-1].get("pseudo_label", ())) for line in run.diary.lines if line[0] == "batch starts"]
    assert added == [0, 0, 0, 4, 4, 4, 4, 4]
    if workers:
        run.checkpoints = run.checkpoints[5:8]
    assert run.all_differences() == {}


def test_batches_by_tokens_go_on_too(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", train=60, val=8)

    def fit_text(logger: RunLogger, *callbacks: Callback, **where: Any) -> tuple[Trainer, LightningModule]:
        torch.manual_seed(0)
        module = Translator(layers=1, width=16, heads=2, feedforward=32, warmup_steps=3, dropout=0.2, val_beam_size=1)
        data = TranslationDataModule(
            str(corpus), source_lang="en", target_lang="de", tokenizer="word", vocab_size=60, max_tokens=384,
            drop_leaks=False, cache_dir=str(tmp_path / "cache"),
        )  # fmt: skip
        run = trainer(*callbacks, max_steps=5, log_every_n_steps=1, logger=logger)
        run.fit(module, datamodule=data, **where)
        return run, module

    run = Unbroken(tmp_path, fit_text)
    assert 1 < run.trainer.current_epoch < 4
    assert run.all_differences() == {}


# --- runs that are longer than they were to be ------------------------------------------------------------------------


class StopAt(Callback):
    """Stops a run after `step` steps: of itself, as early stopping does, or as a machine does that is taken away."""

    def __init__(self, step: int, how: str) -> None:
        self.step, self.how = step, how

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.step:
            if self.how == "should_stop":
                trainer.should_stop = True
            elif self.how == "sigterm":
                trainer._signal_connector.received_sigterm = True


@pytest.mark.parametrize(
    ("how", "step", "then", "validation", "optimization"),
    [
        ("max_steps", 6, {"max_steps": 11}, WITHIN_AN_EPOCH, "automatic"),
        ("max_steps", 5, {"max_epochs": 3}, EVERY_EPOCH, "manual, accumulated"),
        ("max_steps", 8, {"max_steps": 11}, EVERY_EPOCH, "manual"),
        ("max_epochs", 8, {"max_steps": 11}, EVERY_SECOND_EPOCH, "automatic"),
        ("max_epochs", 8, {"max_epochs": 3}, WITHIN_AN_EPOCH, "manual"),
        ("sigterm", 5, {"max_steps": 11}, EVERY_EPOCH, "automatic, accumulated"),
        ("sigterm", 6, {"max_steps": 11}, WITHIN_AN_EPOCH, "manual"),
        ("sigterm", 8, {"max_steps": 11}, NEVER, "automatic"),
        ("sigterm", 8, {"max_epochs": 3}, EVERY_EPOCH, "manual, accumulated"),
        ("should_stop", 6, {"max_steps": 11}, EVERY_EPOCH, "manual, accumulated"),
        ("should_stop", 6, {"max_epochs": 3}, WITHIN_AN_EPOCH, "automatic"),
        ("should_stop", 8, {"max_steps": 11}, EVERY_EPOCH, "automatic"),
    ],
    ids=str,
)
def test_a_run_that_was_ended_goes_on_in_the_midst_of_its_epoch_when_its_limits_are_raised(
    how: str, step: int, then: dict[str, Any], validation: dict[str, Any], optimization: str, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {**validation, "optimization": optimization}
    whole, broken, resumed = Diary(), Diary(), Diary()
    _, expected = fit(None, whole, **settings, **then)
    limits = {"max_steps": {"max_steps": step}, "max_epochs": {"max_epochs": step // BATCHES}}.get(how, then)
    stopped = pytest.raises(SIGTERMException) if how == "sigterm" else nullcontext()
    with stopped:
        fit(None, broken, LastCheckpoint(folder=str(tmp_path)), StopAt(step, how), **settings, **limits)
    assert read_checkpoint(tmp_path / "last.ckpt")["global_step"] == step
    last = {"ckpt_path": str(tmp_path / "last.ckpt"), "weights_only": True}
    run, module = fit(None, resumed, **settings, **then, where=last)
    assert isinstance(run.fit_loop, ExactFitLoop)
    behind = [line[:3:2] for line in whole.lines].index(("batch ends", step)) + 1
    to_come, done = whole.lines[behind:], broken.lines[behind:]
    if how == "sigterm" and done and done[-1][0] == "validation starts":
        done.pop()  # it was broken off
    while to_come[0] in done:
        to_come.pop(0)
    assert resumed.lines == to_come
    for name, value in expected.state_dict().items():
        assert torch.equal(value, module.state_dict()[name]), name
