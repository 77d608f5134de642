"""Settings given to a run that goes on: each is refused, told of, or acts."""

import inspect
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

import lhy_lightning
from lhy_lightning import GAN, ImageClassifier, ImageDataModule
from lhy_lightning.cli.runs.asked_settings import LEARNT
from lhy_lightning.data.base import CourseDataModule
from lhy_lightning.data.images.base import ImageDataModuleBase
from lhy_lightning.training.checks.resumed_settings import INITIAL, check_data, same_value, settings_that_act

DATA_MODULES = [getattr(lhy_lightning, name) for name in lhy_lightning.__all__ if name.endswith("DataModule")]
ACT = {
    "brightness", "contrast", "crop", "crop_scale", "cutmix", "erasing", "fill", "horizontal_flip", "hue", "mixup",
    "rotation", "saturation", "scale", "shear", "strong_magnitude", "translation", "vertical_flip", "canny",
    "source_transform", "target_transform", "target_crop", "target_fill", "target_horizontal_flip", "target_rotation",
    "target_scale", "target_translation", "target_vertical_flip", "input_transform", "value_range", "image_size",
    "channels", "input_channels", "target_channels", "resize", "load_size", "num_workers", "cache_dir",
    "cache_limit_gb", "eval_batch_size", "eval_max_tokens", "predict_source", "monolingual", "metric", "copying",
    "tag_back_translated", "target_labelled",
}  # fmt: skip
"""Arguments that change neither rows nor splits nor their order, and are looked at in a run that goes on."""


def arguments_of(cls: type) -> set[str]:
    """Names of the constructor arguments, those of parents that it passes on included."""
    names = set()
    for parent in cls.__mro__:
        if issubclass(parent, CourseDataModule) and "__init__" in vars(parent):
            parameters = inspect.signature(parent).parameters
            names |= set(parameters)
            if "arguments" not in parameters:
                break
    return names - {"arguments"}


@pytest.mark.parametrize("cls", DATA_MODULES)
def test_every_argument_of_a_data_module_is_of_one_kind(cls: type[CourseDataModule]) -> None:
    kinds = (set(cls.split_settings), set(cls.order_settings), set(cls.kept_settings), ACT & arguments_of(cls))
    assert set().union(*kinds) == arguments_of(cls), "say whether a run that goes on may change a new argument"
    assert sum(map(len, kinds)) == len(arguments_of(cls)), "an argument is of two kinds"
    assert {"source", "val_fraction", "split_seed"} <= set(cls.split_settings)


@pytest.mark.parametrize("cls", [cls for cls in DATA_MODULES if issubclass(cls, ImageDataModuleBase)])
def test_what_a_data_module_learns_from_its_data_is_known_as_such(cls: type[CourseDataModule]) -> None:
    data = cls()
    before = dict(data.hparams)
    data.setup("fit")
    assert {name for name, value in data.hparams.items() if not same_value(before[name], value)} <= set(LEARNT)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ((1, 2), [1, 2], True), (16, (16, 16), True), ([16, 8], 16, False), (None, [None], False), ([], 1, False),
        ("a/", "a", True), (["a/"], ["a"], True), ("a", "b", False), (1, 1.0, True), (None, "None", False),
    ],
)  # fmt: skip
def test_values_that_mean_the_same(one: Any, other: Any, same: bool) -> None:
    assert same_value(one, other) is same
    assert same_value(other, one) is same


def test_settings_are_written_as_they_act() -> None:
    given = {"lr": 0.1, "size": 16, "classes": None, "other": "a", "betas": [0.5, 0.9]}
    acting = settings_that_act(given, {"lr": 0.01, "size": (16, 16), "classes": ("a",), "betas": (0.5, 0.99)})
    assert acting == {"lr": 0.01, "size": 16, "classes": None, "other": "a", "betas": [0.5, 0.99]}


def checkpoint_of(data: CourseDataModule, *, batches: int = 0, **changed: Any) -> dict[str, Any]:
    place = {"place": {"epoch": 1, "batches": batches}}
    return {"datamodule_hyper_parameters": {**data.hparams, **changed}, type(data).__qualname__: place}


@pytest.mark.parametrize("cls", DATA_MODULES)
def test_another_split_is_refused_by_name(cls: type[CourseDataModule]) -> None:
    data = cls()
    check_data(data, checkpoint_of(data))
    for name in cls.split_settings:
        with pytest.raises(ValueError, match=rf"{name}=.* \('another' so far\): leave --data\.{name} as it was"):
            check_data(data, checkpoint_of(data, **{name: "another"}))
    check_data(data, {})  # a checkpoint of another program


@pytest.mark.parametrize("cls", DATA_MODULES)
def test_another_order_is_told_of_within_an_epoch_alone(cls: type[CourseDataModule]) -> None:
    data = cls()
    for name in cls.order_settings:
        with pytest.warns(UserWarning, match=rf"{name}=.*7 batches into an epoch.*some rows come twice"):
            check_data(data, checkpoint_of(data, batches=7, **{name: "another"}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_data(data, checkpoint_of(data, **dict.fromkeys(cls.order_settings, "another")))
        check_data(data, checkpoint_of(data, batches=7))


def test_a_source_that_is_written_otherwise_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").symlink_to(tmp_path)
    for source in ("pictures", "pictures/", str(tmp_path / "pictures"), "there/pictures"):
        data = ImageDataModule(source)
        check_data(data, checkpoint_of(data, source="pictures"))


def trainer(folder: Path, steps: int, *callbacks: Any) -> Trainer:
    return Trainer(
        max_steps=steps, accelerator="cpu", logger=False, default_root_dir=folder, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=1, num_sanity_val_steps=0, callbacks=list(callbacks),
        enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in callbacks),
    )  # fmt: skip


def stopping(patience: int) -> EarlyStopping:
    return EarlyStopping("val/loss", patience=patience, strict=False)


def classifier(**changed: Any) -> ImageClassifier:
    return ImageClassifier(**{"network": "vgg", "depth": 3, "width": 4, "lr": 0.01, **changed})


def gan(**changed: Any) -> GAN:
    few = {"latent_dim": 4, "width": 4, "plot_every_n_steps": None, "samples": 4, "allow_few_samples": True}
    return GAN(**{**few, "image_size": (8, 8), **changed})


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[Any, str]:
    """A few steps of a module with one optimizer, and of one with several."""
    found = {}
    for build in (classifier, gan):
        folder = tmp_path_factory.mktemp(build.__name__)
        first = trainer(
            folder, 2, *([EarlyStopping("val/loss", patience=4, strict=False)] if build is classifier else [])
        )
        first.fit(build(), datamodule=ImageDataModule())
        first.save_checkpoint(folder / "last.ckpt")
        found[build] = str(folder / "last.ckpt")
    return found


def said(folder: Path, checkpoint: str, module: Any, *callbacks: Any) -> str:
    """What a run that goes on warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer(folder, 3, *callbacks).fit(
            module, datamodule=ImageDataModule(), ckpt_path=checkpoint, weights_only=True
        )
    return "\n".join(line for w in caught if re.search("so far|refused", line := str(w.message)))


def test_what_the_optimizers_state_replaces_is_named_whatever_it_is_called(
    checkpoints: dict[Any, str], tmp_path: Path
) -> None:
    assert said(tmp_path, checkpoints[classifier], classifier()) == ""
    changed = classifier(lr=0.1, momentum=0.5, dropout=0.2, label_smoothing=0.1)
    heard = said(tmp_path, checkpoints[classifier], changed)
    assert "lr=0.1 (0.01 so far), momentum=0.5 (0.9 so far): these do not act: the optimizer goes on" in heard
    assert "dropout" not in heard
    assert changed.trainer.optimizers[0].param_groups[0]["momentum"] == 0.9
    noted = {name: changed.hparams[name] for name in ("lr", "momentum", "dropout")}
    assert noted == {"lr": 0.01, "momentum": 0.9, "dropout": 0.2}  # what acts, in checkpoints too
    heard = said(tmp_path, checkpoints[gan], gan(generator_lr=0.3, n_critic=2))
    assert re.search(r"^generator_lr=0\.3 \(.* so far\): this does not act", heard)


def test_a_schedule_acts(checkpoints: dict[Any, str], tmp_path: Path) -> None:
    module = classifier(schedule="constant")
    assert said(tmp_path, checkpoints[classifier], module) == ""
    assert module.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.01)


def test_the_state_of_another_optimizer_is_refused(checkpoints: dict[Any, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'adamw' \('nesterov' so far\): the optimizer's state .* does not fit"):
        said(tmp_path, checkpoints[classifier], classifier(optimizer="adamw"))


def test_settings_that_only_begin_a_run_and_those_of_callbacks_are_named(
    checkpoints: dict[Any, str], tmp_path: Path
) -> None:
    heard = said(
        tmp_path,
        checkpoints[classifier],
        classifier(pretrained=False),
        EarlyStopping("val/loss", patience=9, strict=False),
    )
    assert "patience=9 (4 so far): this does not act: EarlyStopping goes on as it was" in heard
    assert "pretrained=False (True so far): this does not act: the checkpoint has the weights" in heard
    classes = [cls for name in lhy_lightning.__all__ if isinstance(cls := getattr(lhy_lightning, name), type)]
    known = {name for cls in classes for parent in cls.__mro__ for name in inspect.signature(parent).parameters}
    assert set(INITIAL) <= known
