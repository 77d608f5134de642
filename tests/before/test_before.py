"""Checkpoints, saved folders and killed runs that an earlier commit has left open, predict, score and go on as then."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule

import lhy_lightning
from lhy_lightning.training.checkpoints import load_modules
from tests.before import runs
from tests.before.archives import FIXTURES, unpack
from tests.before.compare import apart_in_tests, outputs_apart, unequal, without_addresses
from tests.public_names import DATA_MODULES
from tests.smallest_modules import public_modules

pytestmark = pytest.mark.usefixtures("undrawn_figures")

NAMES = public_modules()
ONE_A_TOPIC = ("ImageClassifier", "WGAN", "VQVAE", "BertTagger", "Translator", "DANN")
KILLED = [name if name in ONE_A_TOPIC else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
Folder = Callable[[str], Path]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """What an earlier commit left of a public module, by its name."""
    opened: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in opened:
            opened[name] = unpack(FIXTURES / f"{name}.tar.xz", tmp_path_factory.mktemp(name))
        return opened[name]

    return folder


@pytest.fixture(scope="module")
def data_of(before: Folder) -> Callable[[str], LightningDataModule]:
    """The data module that a checkpoint tells of; modules with the same one share it, as reading takes time."""
    made: dict[str, LightningDataModule] = {}

    def data(name: str) -> LightningDataModule:
        cls = runs.data_class(name)
        found = cls.load_from_checkpoint(before(name) / runs.LAST)
        return made.setdefault(f"{cls.__name__} {json.dumps(dict(found.hparams), sort_keys=True)}", found)

    return data


def public(name: str) -> Any:
    return getattr(lhy_lightning, name)


def test_every_public_class_has_left_something() -> None:
    assert {path.name.partition(".")[0] for path in FIXTURES.glob("*.tar.xz")} >= set(NAMES)
    assert {runs.data_class(name).__name__ for name in NAMES} == set(DATA_MODULES)


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_opens_by_its_class_and_without_naming_it(name: str, before: Folder) -> None:
    path = before(name) / runs.LAST
    module, [found] = public(name).load_from_checkpoint(path), load_modules([path])
    assert type(module) is type(found) is public(name)
    weights = torch.load(path, weights_only=True)["state_dict"]
    for state in (module.state_dict(), found.state_dict()):
        assert state.keys() == weights.keys()
        assert all(torch.equal(value, weights[key]) for key, value in state.items())


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_folder_opens_with_the_weights_and_settings_of_the_checkpoint(name: str, before: Folder) -> None:
    saved = public(name).from_pretrained(before(name) / "saved")
    module = public(name).load_from_checkpoint(before(name) / runs.LAST)
    assert dict(saved.hparams) == dict(module.hparams)
    assert saved.state_dict().keys() == module.state_dict().keys()
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in saved.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_predictions_and_scores_are_as_they_were(
    name: str, before: Folder, data_of: Callable[[str], LightningDataModule], tmp_path: Path
) -> None:
    module = public(name).load_from_checkpoint(before(name) / runs.LAST)
    expected = json.loads((before(name) / "outputs.json").read_text())
    assert expected["scores"]
    assert outputs_apart(expected, runs.outputs(module, data_of(name), tmp_path)) == []


@pytest.mark.parametrize("name", KILLED)
def test_a_killed_run_goes_on_to_the_rows_of_the_unbroken_one(
    name: str, before: Folder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = unpack(FIXTURES / f"{name}.tar.xz", tmp_path_factory.mktemp(name))  # its own, as the run writes into it
    cut_off = (folder / "runs/killed/metrics.csv").read_bytes()
    killed, whole = (rows(content) for content in runs.go_on(folder))
    assert len(rows(cut_off)) < len(whole)
    assert list(unequal(whole, killed, relative=1e-4, absolute=1e-6)) == []


def rows(content: bytes) -> list[Any]:
    """Rows of a metrics.csv as numbers."""
    found = csv.DictReader(io.StringIO(content.decode()))
    return [{key: float(value) if value else None for key, value in row.items()} for row in found]


def test_a_moved_class_is_no_difference_and_a_changed_default_is_one() -> None:
    old = {"class_path": "lhy_lightning.gan.gan.GAN", "of": '{"class_path": "lhy_lightning.a.VQVAE"}', "lr": 0.1}
    new = {"class_path": "lhy_lightning.GAN", "of": '{"class_path": "lhy_lightning.VQVAE"}', "lr": 0.1}
    assert without_addresses(old) == without_addresses(new)
    assert list(unequal(old, {**old, "lr": 0.2})) == ["lr was 0.1, is 0.2"]
    assert list(unequal(old, {"class_path": old["class_path"], "of": old["of"], "size": 1})) == [
        "lr is gone", "size is new",
    ]  # fmt: skip


def test_numbers_and_pixels_may_differ_by_rounding_alone() -> None:
    old = {"scores": {"test/loss": 1.0}, "pixels": {"a.png": [0, 255]}}
    assert outputs_apart(old, {"scores": {"test/loss": 1.000005}, "pixels": {"a.png": [1, 254]}}) == []
    told = outputs_apart(old, {"scores": {"test/loss": 1.00005}, "pixels": {"a.png": [2, 255], "b.png": [1]}})
    assert told == ["pixels of b.png differ", "pixels of a.png differ", "scores.test/loss was 1.0, is 1.00005"]


def test_a_moved_test_is_no_difference_and_one_that_is_gone_or_skipped_is() -> None:
    old = {"names": ["tests/a.py::test_x", "tests/b.py::test_y"], "outcomes": [["tests.a", "test_x", "passed"]]}
    moved = {"names": ["tests/c/a.py::test_x", "tests/b.py::test_y"], "outcomes": [["tests.c.a", "test_x", "passed"]]}
    assert apart_in_tests(old, moved) == []
    less = {"names": ["tests/c/a.py::test_x"], "outcomes": [["tests.c.a", "test_x", "skipped"]]}
    assert apart_in_tests(old, less) == ["test_y is gone (1)", "test_x passed, and does not (1)"]
