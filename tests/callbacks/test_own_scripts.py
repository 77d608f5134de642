"""Modules in scripts of one's own: no files where no folder was given, no remarks at each later stage."""

import logging
from pathlib import Path

import pytest
from lightning.pytorch import Trainer

from lhy_lightning import ImageClassifier, ImageDataModule
from lhy_lightning.callbacks.progress_bar import RunProgressBar


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ImageClassifier, ImageDataModule]:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    module = ImageClassifier(network="resnet", depth=8, width=4)
    return module, ImageDataModule(batch_size=64, cache_dir=str(tmp_path / "cache"))


def test_a_script_without_a_logger_leaves_no_file_and_no_stage_overrides_callbacks(
    quick: tuple[ImageClassifier, ImageDataModule], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module, data = quick
    trainer = Trainer(
        accelerator="cpu", max_steps=1, limit_val_batches=1, limit_test_batches=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    with caplog.at_level(logging.INFO, logger="lightning.pytorch"):
        trainer.fit(module, datamodule=data)
        trainer.validate(module, datamodule=data, verbose=False)
        trainer.test(module, datamodule=data, verbose=False)
        after = list(trainer.callbacks)
        trainer.test(module, datamodule=data, verbose=False)
    assert "will override" not in caplog.text
    names = sorted(type(callback).__name__ for callback in after)
    assert "ClassificationPictures" in names  # whoever looks for it after a stage finds it, once
    assert names == sorted({*names})
    assert not list(Path.cwd().iterdir())
    kept = Trainer(
        accelerator="cpu", limit_test_batches=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path / "kept",
    )  # fmt: skip
    kept.test(module, datamodule=data, verbose=False)
    assert (tmp_path / "kept/per_class.csv").is_file()


@pytest.mark.parametrize(("epochs", "described"), [(-1, "Epoch 24"), (30, "Epoch 24/29")])
def test_the_bar_names_no_last_epoch_where_there_is_none(epochs: int, described: str) -> None:
    bar = RunProgressBar()
    bar._trainer = Trainer(max_epochs=epochs, max_steps=5, accelerator="cpu", logger=False, enable_checkpointing=False)
    assert bar._get_train_description(24).strip() == described
