"""What a command line says of settings and classes that are not there."""

import re
import sys

import pytest

from lhy_lightning.cli.errors import explain

UNION = (
    'Parser key "{key}":\n  Does not validate against any of the Union subtypes\n  Errors:\n{errors}\n'
    "Given value: {value}"
)
NO_CLASS = "    - Not a valid subclass of LightningModule\n    - Expected a <class 'NoneType'>"
NO_SETTINGS = (
    "    - Problem with given class_path 'lhy_lightning.ImageClassifier':\n        'int' object has no attribute "
    "'keys'\n    - Expected a <class 'NoneType'>"
)


@pytest.mark.parametrize(
    ("arguments", "name", "said"),
    [
        (
            ["--config", "gan/quickstart", "--model.lr", "3"],
            "lr",
            r"GAN has no setting 'lr' \(--model.lr\).*generator_lr",
        ),
        (["--config=quickstart", "--data.batchsize=3"], "batchsize", r"ImageDataModule has no setting.*batch_size"),
        (["--model", "ImageClassifier", "--model.widht", "3"], "widht", r"ImageClassifier has no .*Did you mean width"),
        (["--config", "not/there", "--model.lr", "3"], "lr", "there is no setting 'lr'"),
    ],
)  # fmt: skip
def test_a_setting_that_a_class_has_not_is_told_with_flag_and_class(
    arguments: list[str], name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["lhy", "fit", *arguments])
    assert re.match(said, explain(f"Option '{name}' is not accepted", []))


@pytest.mark.parametrize(
    ("key", "errors", "value", "said"),
    [
        ("model", NO_CLASS, "5", "model is a model, by its name or as class_path and init_args, not '5'."),
        ("model", NO_CLASS, "ImageDataModule",
         "model is a model, and ImageDataModule is a data module: give it by --data."),
        ("data", NO_CLASS, "lhy_lightning.GAN", "data is a data module, and GAN is a model: give it by --model."),
        (
            "model", NO_SETTINGS, "{'class_path': 'ImageClassifier', 'init_args': 7}",
            "model: init_args of ImageClassifier are settings by name (`name: value`), not of type int.",
        ),
    ],
)  # fmt: skip
def test_a_value_that_is_no_class_of_its_kind(key: str, errors: str, value: str, said: str) -> None:
    assert explain(UNION.format(key=key, errors=errors, value=value), []) == said


def test_a_misspelt_package_of_a_class_path_is_told_as_such() -> None:
    errors = "    - Problem with given class_path 'lhy_lightningg.GAN':\n        No module named 'lhy_lightningg'"
    said = explain(UNION.format(key="model", errors=errors, value="{'class_path': 'lhy_lightningg.GAN'}"), [])
    assert said == "model names 'lhy_lightningg.GAN', and there is no such class."
