"""Errors that a library raises: one line with its place while input is read, a traceback once training has begun."""

import inspect
from pathlib import Path
from typing import Any

import pytest

from lhy_lightning import ImageClassifier, ImageDataModule
from lhy_lightning.cli.__main__ import main
from lhy_lightning.training.module import CourseModule

FIT = [
    "fit", "--config", "quickstart", "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false",
    "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1", "--trainer.limit_val_batches", "1",
]  # fmt: skip


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def line(capsys: pytest.CaptureFixture[str], *more: str) -> str:
    with pytest.raises(SystemExit) as left:
        main([*FIT, *more])
    assert left.value.code == 2
    [_, said] = capsys.readouterr().err.split("lhy: error: ")
    assert said.count("\n") == 1
    return said.strip()


def raising(error: Exception) -> Any:
    def hook(*arguments: Any, **named: Any) -> None:
        raise error

    return hook


PLACES: list[tuple[type, str, str]] = [
    (ImageDataModule, "prepare_data", "--data.source embedded:digits"),
    (ImageDataModule, "setup", "--data.source embedded:digits"),
    (ImageDataModule, "train_dataloader", "--data.source embedded:digits"),
    (ImageDataModule, "on_before_batch_transfer", "--data.source embedded:digits"),
    (ImageClassifier, "__init__", "--model.lr 0.5"),
    (ImageClassifier, "build", "--model.lr 0.5"),
    (ImageClassifier, "configure_optimizers", "--model.lr 0.5"),
]


@pytest.mark.parametrize(("cls", "hook", "place"), PLACES, ids=lambda value: str(value))
def test_before_the_first_batch_any_error_is_a_line_with_its_place(
    cls: type, hook: str, place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = getattr(cls, hook)

    def broken(self: Any, *arguments: Any, **named: Any) -> Any:
        if hook == "__init__":
            original(self, *arguments, **named)
        raise KeyError("label")

    broken.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    monkeypatch.setattr(cls, hook, broken)
    said = line(capsys, "--model.lr", "0.5")
    assert said == f"{place}: there is no 'label' (KeyError; --traceback shows the rest)"


@pytest.mark.parametrize("hook", ["training_step", "validation_step", "test_step"])
def test_a_bug_in_a_step_keeps_its_traceback(hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageClassifier, hook, raising(KeyError("label")))
    with pytest.raises(KeyError):
        main([*FIT, "--trainer.num_sanity_val_steps", "0"])


def test_an_error_of_ours_is_a_line_in_training_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ImageClassifier, "loss", lambda *_: CourseModule.ensemble([]))
    assert "cannot be averaged" in line(capsys)


@pytest.mark.parametrize("how", ["--traceback", "LHY_TRACEBACK"])
def test_the_traceback_is_there_for_who_asks(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "LHY_TRACEBACK":
        monkeypatch.setenv(how, "1")
    monkeypatch.setattr(ImageClassifier, "configure_optimizers", raising(KeyError("label")))
    with pytest.raises(KeyError):
        main([*FIT, *([how] if how.startswith("--") else [])])


def test_a_full_disk_in_training_is_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(ImageClassifier, "loss", raising(OSError(28, "No space left on device", "some/file")))
    assert line(capsys) == "some/file: No space left on device."


def test_the_flag_is_in_the_help_and_in_no_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    assert "--traceback" in capsys.readouterr().out
    main([*FIT, "--evaluate", "false", "--traceback"])
    assert "traceback" not in (tmp_path / "runs/quickstart/config.yaml").read_text()
