"""Files name a public class by `lhy_lightning.Name`; any path of ours that ends in a public name means this class."""

import ast
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import Callback

import lhy_lightning
from lhy_lightning import GAN, VQVAE, CodePrior, ImageClassifier
from lhy_lightning.cli.__main__ import main
from lhy_lightning.core.trusted_classes import class_from_file, find_class, public_address, with_names_of_today
from lhy_lightning.training.checkpoints import class_path, load_modules, read_checkpoint
from tests.public_names import CLASSES, MODULES
from tests.smallest_modules import smallest

PACKAGE = Path(lhy_lightning.__file__).parent
GONE = "lhy_lightning.old.place"
"""A module that is not there."""


class OwnClassifier(ImageClassifier):
    """A class of someone's own."""


def old_paths(name: str) -> list[str]:
    """The module in which a class lies now, as in files of older versions, and one that is not there."""
    return [f"{CLASSES[name].__module__}.{name}", f"{GONE}.{name}", f"lhy_lightning.{name}"]


@pytest.mark.parametrize("name", CLASSES)
def test_files_name_a_public_class_by_its_public_address_and_find_it_by_that_and_any_old_path(name: str) -> None:
    assert class_path(CLASSES[name]) == f"lhy_lightning.{name}"
    for path in old_paths(name):
        assert public_address(path) == f"lhy_lightning.{name}"
        assert find_class(path) is CLASSES[name]
    assert not [module for module in sys.modules if module.startswith(GONE.rpartition(".")[0])]


def test_a_public_name_means_one_thing_in_the_whole_package() -> None:
    public = set(lhy_lightning.__all__)
    for file in PACKAGE.rglob("*.py"):
        module = ".".join(("lhy_lightning", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for node in ast.parse(file.read_text("utf8")).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name in public:
                assert getattr(lhy_lightning, node.name) is getattr(import_module(module), node.name), module


def test_classes_outside_the_package_and_those_that_are_not_public_keep_their_path() -> None:
    assert class_path(OwnClassifier) == f"{__name__}.OwnClassifier"
    assert class_path(type("GAN", (GAN,), {"__module__": "theirs"})) == "theirs.GAN"
    assert class_path(type("GAN", (), {"__module__": "lhy_lightning.gan.gan"})) == "lhy_lightning.gan.gan.GAN"
    named = import_module("lhy_lightning.training.module").CourseModule
    assert class_path(named) == f"{named.__module__}.CourseModule"
    for path in ("GAN", "theirs.GAN", "lhy_lightning_too.GAN", "lhy_lightning.gan.gan.Old", "lhy_lightning", ""):
        assert public_address(path) == path


def test_settings_are_rewritten_wherever_a_class_is_named() -> None:
    settings = {"model": f"{GONE}.GAN", "n": 3, "callbacks": [{"class_path": f"{GONE}.Homework3Csv", "init_args": {}}]}
    assert with_names_of_today(settings) == {
        "model": "lhy_lightning.GAN",
        "n": 3,
        "callbacks": [{"class_path": "lhy_lightning.Homework3Csv", "init_args": {}}],
    }


@pytest.mark.parametrize(
    ("path", "kind", "error", "says"),
    [
        (f"{GONE}.Old", LightningModule, ImportError, "is not there in the versions installed here"),
        (f"{GONE}.Homework3Csv", LightningModule, TypeError, "which is no LightningModule"),
        (f"{GONE}.GAN", Callback, TypeError, "which is no Callback"),
        (f"{GONE}.gradient_penalty", LightningModule, TypeError, "which is no LightningModule"),
        ("gradient_penalty", LightningModule, TypeError, "which is no LightningModule"),
    ],
)
def test_what_is_not_public_or_of_another_kind_is_refused(path: str, kind: type, error: Any, says: str) -> None:
    with pytest.raises(error, match=says) as raised:
        class_from_file(path, kind, "a.ckpt")
    assert path in str(raised.value)


@pytest.mark.parametrize("name", MODULES)
def test_a_saved_folder_of_an_old_path_opens_and_is_written_with_the_public_one(name: str, tmp_path: Path) -> None:
    smallest(name).save_pretrained(tmp_path)
    file = tmp_path / ("lhy_lightning.json" if name.startswith("Bert") else "config.json")
    config = json.loads(file.read_text())
    assert config["class_path"] == f"lhy_lightning.{name}"
    for path in old_paths(name):
        file.write_text(json.dumps({**config, "class_path": path}))
        assert type(MODULES[name].from_pretrained(tmp_path)) is MODULES[name]
    file.write_text(json.dumps({**config, "class_path": f"{GONE}.Other"}))
    with pytest.raises(TypeError, match=f"was saved by {GONE}.Other, not by lhy_lightning.{name}"):
        MODULES[name].from_pretrained(tmp_path)


def test_a_prior_takes_the_old_path_of_its_vqvae() -> None:
    config = json.loads(smallest("CodePrior").hparams["vqvae_config"])
    assert config["class_path"] == "lhy_lightning.VQVAE"
    prior = CodePrior(vqvae_config=json.dumps({**config, "class_path": f"{GONE}.VQVAE"}), num_classes=2)
    assert type(prior.vqvae) is VQVAE


FLAGS = ("--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu")


@pytest.fixture(scope="module")
def old_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run by a recipe that names all classes by paths of modules that are not there."""
    folder = tmp_path_factory.mktemp("old")
    recipe = {
        "trainer": {
            "max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1, "limit_test_batches": 1,
            "callbacks": [{"class_path": f"{GONE}.AverageCheckpoints", "init_args": {"last": 1}}],
        },
        "model": {"class_path": f"{GONE}.ImageClassifier", "init_args": {"network": "vgg", "depth": 5, "width": 4}},
        "data": {"class_path": f"{GONE}.ImageDataModule", "init_args": {"source": "embedded:digits"}},
    }  # fmt: skip
    (folder / "old.yaml").write_text(yaml.safe_dump(recipe))
    root = ("--trainer.default_root_dir", str(folder))
    assert main(["fit", "--config", str(folder / "old.yaml"), *root, "--name", "run", *FLAGS]) == 0
    return folder / "run"


def test_a_run_by_an_old_recipe_writes_public_addresses(old_run: Path) -> None:
    settings = yaml.safe_load((old_run / "config.yaml").read_text())
    assert settings["model"]["class_path"] == "lhy_lightning.ImageClassifier"
    assert settings["data"]["class_path"] == "lhy_lightning.ImageDataModule"
    assert settings["trainer"]["callbacks"][0]["class_path"] == "lhy_lightning.AverageCheckpoints"
    checkpoint = read_checkpoint(old_run / "checkpoints" / "last.ckpt")
    assert checkpoint["class_path"] == "lhy_lightning.ImageClassifier"
    assert checkpoint["data_class_path"] == "lhy_lightning.ImageDataModule"
    assert GONE not in (old_run / "config.yaml").read_text()


@pytest.mark.parametrize("command", ["test", "predict", "fit"])
def test_an_old_run_folder_goes_on_and_is_evaluated(command: str, old_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    settings = (old_run / "config.yaml").read_text().replace("class_path: lhy_lightning", f"class_path: {GONE}")
    assert settings.count(GONE) == 3
    (run / "config.yaml").write_text(settings)
    checkpoint = dict(read_checkpoint(old_run / "checkpoints" / "last.ckpt"))
    checkpoint |= {key: checkpoint[key].replace("lhy_lightning", GONE) for key in ("class_path", "data_class_path")}
    torch.save(checkpoint, run / "checkpoints" / "last.ckpt")
    assert type(load_modules([run / "checkpoints" / "last.ckpt"])[0]) is ImageClassifier
    ImageClassifier.load_from_checkpoint(run / "checkpoints" / "last.ckpt")
    more = ["--trainer.max_epochs", "2"] if command == "fit" else []
    root = ("--trainer.default_root_dir", str(tmp_path))
    assert main([command, "--ckpt_path", str(run / "checkpoints" / "last.ckpt"), *root, *FLAGS, *more]) == 0
    if command == "fit":
        assert GONE not in (run / "config.yaml").read_text()
        assert read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] == 2


def test_flags_of_the_command_line_take_old_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lhy_lightning.cli.training import settings_of_fit

    monkeypatch.chdir(tmp_path)
    flags = ["--model", f"{GONE}.ImageClassifier", f"--data={GONE}.ImageDataModule", "--data.source"]
    average = f'[{{"class_path": "{GONE}.AverageCheckpoints", "init_args": {{"last": 3}}}}]'
    settings = settings_of_fit(["fit", *flags, f"a/{GONE}.GAN", "--trainer.callbacks", average])
    assert settings["model"]["class_path"] == "lhy_lightning.ImageClassifier"
    assert settings["data"]["class_path"] == "lhy_lightning.ImageDataModule"
    assert settings["data"]["init_args"]["source"] == f"a/{GONE}.GAN", "part of a file's name is none"
    assert settings["trainer"]["callbacks"][0]["class_path"] == "lhy_lightning.AverageCheckpoints"
    assert settings["trainer"]["callbacks"][0]["init_args"]["last"] == 3


def test_each_line_of_the_stub_names_one_thing_as_itself_and_none_stands_twice() -> None:
    lines = [line for line in (PACKAGE / "__init__.pyi").read_text("ascii").splitlines() if "import" in line]
    names = []
    for line in lines[1:] if lines[0].startswith('"""') else lines:
        *_, module, _, name, _, alias = line.split()
        assert line == f"from {module} import {name} as {name}"
        assert module.startswith(".")
        names.append(alias)
    assert sorted(names) == lhy_lightning.__all__
