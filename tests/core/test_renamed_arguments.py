"""An argument that was renamed is taken by its old name in Python, flags, YAML, checkpoints and saved folders."""

import inspect
import json
import warnings
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import lhy_lightning
from lhy_lightning import GAN, AutoEncoder, PrincipalComponents, VectorQuantizer
from lhy_lightning.cli.command_line import prepare
from lhy_lightning.core.arguments.renamed import RENAMED, new_names, warn_of_old_name
from lhy_lightning.core.arguments.signatures import constructor_arguments
from lhy_lightning.training.checkpoints import class_path, load_modules, read_checkpoint
from tests.public_names import CLASSES, DATA_MODULES, MODULES
from tests.smallest_modules import SETTINGS

ROWS = [(name, old, new) for name, cls in MODULES.items() for old, new in new_names(cls).items()]
every_row = pytest.mark.parametrize(("name", "old", "new"), ROWS)
VALUES: dict[str, Any] = {
    "codebook_init": "random", "plot_every_n_steps": 3, "plot_every_n_validations": 3, "synthetic_anomalies": "noise",
    "max_answer_length": 4, "max_question_length": 4, "target_cluster_weight": 0.5, "penalty_every_n_steps": 2,
    "pseudo_label_weight": 0.5, "relabel_every_n_epochs": 2, "val_beam_size": 2, "source_smoothness_weight": 0.5,
}  # fmt: skip
"""Of arguments that the smallest modules leave out."""
DATA_ROWS = [(name, old, new) for name, cls in DATA_MODULES.items() for old, new in new_names(cls).items()]


@pytest.fixture(autouse=True)
def nothing_told_yet() -> None:
    warn_of_old_name.cache_clear()


def settings(name: str, new: str) -> dict[str, Any]:
    given = SETTINGS[name]()
    return {**given, new: given.get(new) or VALUES.get(new)}


def by_old_name(given: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return {old if name == new else name: value for name, value in given.items()}


def renamed(name: str, old: str, new: str) -> Any:
    """One warning that names both."""
    return pytest.warns(FutureWarning, match=f"^{name}: the argument {old} is called {new} now")


def test_every_name_of_the_table_is_one_of_a_public_class_and_the_old_one_no_longer() -> None:
    reached = {(old, new) for cls in CLASSES.values() for old, new in new_names(cls).items()}
    assert reached == {pair for names in RENAMED.values() for pair in names.items()}
    for cls in CLASSES.values():
        assert set(new_names(cls).values()) <= set(constructor_arguments(cls))


@every_row
def test_python_takes_the_old_name_and_warns_once(name: str, old: str, new: str) -> None:
    given = settings(name, new)
    with renamed(name, old, new) as told:
        module = MODULES[name](**by_old_name(given, old, new))
    assert len([one for one in told if one.category is FutureWarning]) == 1
    assert module.hparams == MODULES[name](**given).hparams
    with pytest.raises(TypeError, match=f"given {old} and {new}"):
        MODULES[name](**{**given, old: given[new]})


@every_row
def test_a_checkpoint_with_the_old_name_opens(name: str, old: str, new: str, tmp_path: Path) -> None:
    module = MODULES[name](**settings(name, new))
    content = {
        "state_dict": module.state_dict(), "hyper_parameters": by_old_name(dict(module.hparams), old, new),
        "class_path": class_path(MODULES[name]), "pytorch-lightning_version": "2.6.0",
    }  # fmt: skip
    torch.save(content, tmp_path / "old.ckpt")
    with renamed(name, old, new):
        opened = MODULES[name].load_from_checkpoint(tmp_path / "old.ckpt", map_location="cpu")
    assert opened.hparams == module.hparams == load_modules([tmp_path / "old.ckpt"])[0].hparams


@every_row
def test_a_saved_folder_with_the_old_name_opens(name: str, old: str, new: str, tmp_path: Path) -> None:
    module: Any = MODULES[name](**settings(name, new))
    module.save_pretrained(tmp_path)
    file = next(file for name in ("lhy_lightning.json", "config.json") if (file := tmp_path / name).is_file())
    file.write_text(json.dumps(by_old_name(json.loads(file.read_text("utf8")), old, new)), "utf8")
    with renamed(name, old, new):
        opened = MODULES[name].from_pretrained(tmp_path)  # type: ignore[attr-defined]
    assert opened.hparams == module.hparams


@every_row
def test_a_recipe_and_flags_with_the_old_name_are_those_with_the_new_one(
    name: str, old: str, new: str, tmp_path: Path
) -> None:
    data = {"class_path": "ImageDataModule", "init_args": {"source": "embedded:digits"}}
    model = {"class_path": name, "init_args": {old: 1, "width": 4}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"model": model, "data": data}))
    root = ["--trainer.default_root_dir", str(tmp_path / "runs")]
    with renamed(name, old, new):
        command = prepare(["fit", "--config", str(tmp_path / "mine.yaml"), f"--model.{old}", "2", *root])
    read = yaml.safe_load(Path(command.arguments[command.arguments.index("--config") + 1]).read_text())
    assert read["model"] == {"class_path": name, "init_args": {new: 1, "width": 4}}
    assert read["data"] == data
    assert f"--model.{new}" in command.arguments
    assert f"--model.{old}" not in command.arguments
    by_flags = prepare(["fit", "--model", name, f"--model.init_args.{old}=2", "--data=ImageDataModule", *root])
    assert f"--model.init_args.{new}=2" in by_flags.arguments


@pytest.mark.parametrize(("name", "old", "new"), DATA_ROWS)
def test_a_data_module_takes_the_old_name_in_python_checkpoints_yaml_and_flags(
    name: str, old: str, new: str, tmp_path: Path
) -> None:
    kind = DATA_MODULES[name]
    with renamed(name, old, new):
        data: Any = kind(**{old: VALUES[new]})
    assert data.hparams == kind(**{new: VALUES[new]}).hparams
    content = {
        "state_dict": {}, "datamodule_hyper_parameters": by_old_name(dict(data.hparams), old, new),
        "data_class_path": class_path(kind), "pytorch-lightning_version": "2.6.0",
    }  # fmt: skip
    torch.save(content, tmp_path / "old.ckpt")
    assert kind.load_from_checkpoint(tmp_path / "old.ckpt").hparams == data.hparams  # type: ignore[attr-defined]
    assert read_checkpoint(tmp_path / "old.ckpt")["datamodule_hyper_parameters"] == dict(data.hparams)
    settings = {"model": {"class_path": "GAN"}, "data": {"class_path": name, "init_args": {old: VALUES[new]}}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(settings))
    root = ["--trainer.default_root_dir", str(tmp_path / "runs")]
    command = prepare(["fit", "--config", str(tmp_path / "mine.yaml"), f"--data.{old}=7", *root])
    read = yaml.safe_load(Path(command.arguments[command.arguments.index("--config") + 1]).read_text())
    assert read["data"]["init_args"] == {new: VALUES[new]}
    assert f"--data.{new}=7" in command.arguments


def test_layers_take_old_names_too() -> None:
    with renamed("VectorQuantizer", "start", "codebook_init"):
        assert VectorQuantizer(4, 2, start="random").codebook_init == "random"  # type: ignore[call-arg]
    with renamed("PrincipalComponents", "latent", "latent_dim"):
        assert PrincipalComponents(latent=2, image_size=4, channels=1).latent_dim == 2  # type: ignore[call-arg]


def test_a_class_of_ones_own_keeps_an_argument_that_is_called_like_an_old_one() -> None:
    class Mine(GAN):
        def __init__(self, latent: int = 3, **arguments: Any) -> None:
            super().__init__(latent_dim=2 * latent, **arguments)
            self.save_hyperparameters()

    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        assert Mine(latent=2, width=4).hparams["latent_dim"] == 4


def test_signatures_are_those_of_the_constructors_and_abstract_classes_can_be_mixed_in() -> None:
    for name, cls in {**MODULES, "VectorQuantizer": VectorQuantizer}.items():
        own = [one for one in inspect.signature(cls.__init__).parameters.values() if one.name != "self"]
        assert [*inspect.signature(cls).parameters.values()] == own, name

    class Priced(ABC):
        @abstractmethod
        def price(self) -> float: ...

    class Mine(Priced, AutoEncoder):
        def price(self) -> float:
            return 1.0

    assert Mine(image_size=8, channels=1).price() == 1.0
    assert lhy_lightning.AutoEncoder is AutoEncoder
