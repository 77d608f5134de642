"""Every argument of Lightning's Trainer works with a topic of images and one of text, or is answered in a line."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from lhy_lightning import BertTagger, ImageClassifier, ImageDataModule, TaggingDataModule
from lhy_lightning.cli.__main__ import main
from lhy_lightning.cli.errors import message_for_user
from lhy_lightning.cli.library_errors import in_library_words
from tests.going_on import plain
from tests.smallest_data import module_and_data

WORKS, LINE = "works", "line"
CASES: dict[str, list[tuple[Any, str]]] = {
    "accelerator": [("cpu", WORKS), ("gpu", LINE), ("nothing", LINE)],
    "strategy": [("auto", WORKS), ("nothing", LINE)],
    "devices": [(1, WORKS), (0, LINE)],
    "num_nodes": [(1, WORKS), (0, LINE)],
    "precision": [("bf16-mixed", WORKS), ("bf16-true", WORKS), ("64-true", WORKS), ("16-true", LINE)],
    "logger": [(False, WORKS)],
    "callbacks": [([], WORKS)],
    "fast_dev_run": [(True, WORKS), (2, WORKS)],
    "max_epochs": [(2, WORKS)],
    "min_epochs": [(2, WORKS)],
    "max_steps": [(1, WORKS)],
    "min_steps": [(3, WORKS)],
    "max_time": [("00:00:01:00", WORKS)],
    "limit_train_batches": [(1, WORKS), (0.1, WORKS), (-1, LINE)],
    "limit_val_batches": [(0, WORKS), (-1, LINE)],
    "limit_test_batches": [(0, WORKS), (-1, LINE)],
    "limit_predict_batches": [(0, WORKS), (-1, LINE)],
    "overfit_batches": [(1, WORKS), (0.2, WORKS), (-1, LINE)],
    "val_check_interval": [(1, WORKS), (0.5, WORKS), (0, LINE)],
    "check_val_every_n_epoch": [(2, WORKS), (None, WORKS), (0, LINE)],
    "num_sanity_val_steps": [(0, WORKS), (-1, WORKS)],
    "log_every_n_steps": [(0, WORKS), (1, WORKS), (-1, LINE)],
    "enable_checkpointing": [(False, WORKS)],
    "enable_progress_bar": [(True, WORKS)],
    "enable_model_summary": [(True, WORKS)],
    "accumulate_grad_batches": [(2, WORKS), (0, LINE), (-1, LINE)],
    "gradient_clip_val": [(0.5, WORKS), (-1.0, LINE)],
    "gradient_clip_algorithm": [("value", WORKS), ("nothing", LINE)],
    "deterministic": [(True, WORKS), ("warn", WORKS)],
    "benchmark": [(True, WORKS)],
    "inference_mode": [(False, WORKS)],
    "use_distributed_sampler": [(False, WORKS)],
    "profiler": [("simple", WORKS), ("nothing", LINE)],
    "detect_anomaly": [(True, WORKS)],
    "barebones": [(True, WORKS)],
    "plugins": [([], WORKS)],
    "sync_batchnorm": [(True, WORKS)],
    "reload_dataloaders_every_n_epochs": [(1, WORKS), (-1, LINE)],
    "default_root_dir": [("elsewhere", WORKS)],
    "enable_autolog_hparams": [(False, WORKS)],
    "model_registry": [("nothing", WORKS)],
}
QUICK: dict[str, Any] = {
    "max_steps": 2, "limit_val_batches": 1, "accelerator": "cpu", "logger": False, "enable_checkpointing": False,
    "enable_progress_bar": False, "enable_model_summary": False,
}  # fmt: skip


def test_no_argument_of_the_trainer_is_left_out() -> None:
    assert set(CASES) == set(inspect.signature(Trainer).parameters)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few tagged sentences."""
    path = tmp_path_factory.mktemp("text") / "tags.conll"
    path.write_text("".join(f"we O\nsaw O\nOslo{n % 7} B-PLACE\n. O\n\n" for n in range(80)))
    return path


def topics(text: Path) -> list[tuple[LightningModule, Any]]:
    tagger = BertTagger(layers=1, width=8, heads=2, feedforward=8)
    tags = TaggingDataModule(
        str(text), batch_size=4, vocab_size=60, max_length=16, eval_batch_size=2, val_fraction=0.2, test_fraction=0.2
    )
    images = ImageDataModule(batch_size=64, eval_batch_size=16)
    return [(ImageClassifier(network="vgg", depth=3, width=4), images), (tagger, tags)]


def fit(text: Path, topic: int, **settings: Any) -> Trainer:
    given = {**QUICK, **settings}
    if given.get("barebones"):
        for name in ("limit_val_batches", "logger", "enable_checkpointing", "enable_progress_bar"):
            given.pop(name)
    trainer = Trainer(**given)
    module, data = topics(text)[topic]
    trainer.fit(module, datamodule=data)
    return trainer


@pytest.mark.parametrize(
    ("name", "value", "ends"),
    [
        pytest.param(
            name, value, ends, id=f"{name}={value}", marks=[] if place == 0 or ends == LINE else pytest.mark.slow
        )
        for name, cases in CASES.items()
        for place, (value, ends) in enumerate(cases)
    ],
)
@pytest.mark.parametrize("topic", [0, pytest.param(1, marks=pytest.mark.slow)], ids=["images", "text"])
def test_an_argument_of_the_trainer_works_or_is_answered_in_a_line(
    name: str, value: Any, ends: str, topic: int, text: Path
) -> None:
    if ends == WORKS:
        trainer = fit(text, topic, **{name: value})
        assert trainer.global_step > 0
        return
    with pytest.raises(Exception) as raised:
        fit(text, topic, **{name: value})
    said = message_for_user(raised.value) or in_library_words(raised.value, [])
    assert str(value) in said or name in said or "gpu" in said, said
    assert "\n" not in said


# --- overfit_batches --------------------------------------------------------------------------------------------------


class Batches(Callback):
    """The batches that a run was trained on, epoch by epoch, before they were augmented."""

    def __init__(self) -> None:
        self.epochs: list[list[Any]] = []

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.epochs.append([])

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.epochs[-1].append(plain(batch))


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a logger pictures go to the current folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("batches", [1, 0.2])
@pytest.mark.parametrize("topic", [0, 1], ids=["images", "text"])
def test_overfitting_trains_on_the_same_batches_in_every_epoch(topic: int, batches: float, text: Path) -> None:
    seen = Batches()
    trainer = fit(text, topic, overfit_batches=batches, callbacks=[seen], max_epochs=3, max_steps=-1)
    assert len(seen.epochs) == 3
    assert 1 <= len(seen.epochs[0]) == trainer.num_training_batches
    assert seen.epochs[0] == seen.epochs[1] == seen.epochs[2]
    other = Batches()
    fit(text, topic, callbacks=[other], max_epochs=2, max_steps=-1, limit_train_batches=len(seen.epochs[0]))
    assert other.epochs[0] == seen.epochs[0]
    assert other.epochs[1] != seen.epochs[1]  # without it every epoch has its own order


@pytest.mark.slow
@pytest.mark.parametrize("name", ["DANN", "CycleGAN", "Pix2Pix", "Translator", "BertQuestionAnswering", "GAN"])
def test_other_loaders_overfit_as_well(name: str) -> None:
    module, data = module_and_data(name)
    seen = Batches()
    trainer = Trainer(**{**QUICK, "max_steps": -1, "max_epochs": 2}, overfit_batches=1, callbacks=[seen])
    trainer.fit(module, datamodule=data)
    assert seen.epochs[0] == seen.epochs[1]


def test_a_run_without_test_batches_ends_with_its_validation(tmp_path: Path) -> None:
    command = [
        "fit",
        "--model",
        "ImageClassifier",
        "--model.network",
        "vgg",
        "--model.depth",
        "3",
        "--model.width",
        "4",
    ]
    quick = {"accelerator": "cpu", "enable_progress_bar": "false", "max_epochs": "1", "limit_train_batches": "1"}
    quick |= {"limit_val_batches": "1", "limit_test_batches": "0", "default_root_dir": str(tmp_path)}
    flags = [part for name, value in quick.items() for part in (f"--trainer.{name}", value)]
    assert main([*command, "--data", "ImageDataModule", "--name", "run", *flags]) == 0
    assert "val/accuracy" in (tmp_path / "run/results.json").read_text()
