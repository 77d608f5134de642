"""No topic lacks what the others have; a new one is made whole, trains and is saved, and what it lacks is named."""

import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

import lhy_lightning
from lhy_lightning import ImageDataModule
from tests.house.new_topic import ROOT, main
from tests.house.topics import Topic, lacks, topics

LISTS = (
    "README.md", "CHANGELOG.md", "TERMS.md", "lhy_lightning/README.md", "lhy_lightning/__init__.pyi",
    "tests/house/plan.py", "tests/smallest_modules.py", "tests/smallest_data.py",
)  # fmt: skip
AFTER_RUNS = [
    "no fixture of MadeUp: python -m tests.before.record --only MadeUp --fixtures tests/before/fixtures",
    "recipes/made_up/quickstart.yaml was not measured: train it and write its figure behind `expected`",
    "notebooks/01_made_up.ipynb has cells that were not run",
    "lhy_lightning/made_up/README.md: figure.png is not there, or has more than 100,000 bytes",
]
"""What a skeleton lacks before anything of it was run."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of the lists alone, with the skeleton of a topic."""
    root = tmp_path_factory.mktemp("repository")
    for place in LISTS:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / place, root / place)
    (root / "notebooks").mkdir()
    (root / "recipes").mkdir()
    assert main(["made_up", "--files_only", "--root", str(root)]) == 0
    return root


@pytest.fixture
def made_up(made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Any]]:
    """The skeleton's class, imported as part of the package."""
    monkeypatch.setattr(lhy_lightning, "__path__", [*lhy_lightning.__path__, str(made / "lhy_lightning")])
    address = "lhy_lightning.made_up.module"
    monkeypatch.setitem(lhy_lightning._PUBLIC, "MadeUp", address)
    yield import_module(address).MadeUp
    for name in [name for name in sys.modules if name.startswith("lhy_lightning.made_up")]:
        del sys.modules[name]
    vars(lhy_lightning).pop("MadeUp", None)
    vars(lhy_lightning).pop("made_up", None)


@pytest.mark.parametrize("name", topics())
def test_a_topic_of_today_lacks_nothing(name: str) -> None:
    assert lacks(Topic(ROOT, name)) == []


def test_a_skeleton_lacks_only_what_has_to_be_run(made: Path) -> None:
    assert lacks(Topic(made, "made_up")) == AFTER_RUNS


def test_the_name_of_a_new_topic_stands_on_the_topics_floor_once(made: Path) -> None:
    found: dict[str, Any] = {}
    text = (made / "tests/house/plan.py").read_text("utf8")
    exec(text[text.index("TOPICS = (") : text.index("FLOORS")], found)
    assert found["TOPICS"] == tuple(sorted({*topics(), *found["TOPICS"], "made_up"}))


def test_the_skeletons_notebook_is_one(made: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.read(made / "notebooks/01_made_up.ipynb", as_version=4))


def test_a_skeleton_trains_two_batches_and_is_saved(made_up: type[Any], tmp_path: Path) -> None:
    module, data = made_up(width=4), ImageDataModule("embedded:digits", batch_size=8)
    trainer = Trainer(
        max_epochs=1, limit_train_batches=2, limit_val_batches=1, accelerator="cpu", default_root_dir=tmp_path,
        logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(module, data)
    assert trainer.global_step == 2
    assert 0 <= trainer.callback_metrics["val/accuracy"] <= 1
    module.save_pretrained(tmp_path / "saved")
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(made_up.from_pretrained(tmp_path / "saved")(images), module.eval()(images))


MISSED = {
    "lhy_lightning/made_up/README.md": "no lhy_lightning/made_up/README.md",
    "lhy_lightning/made_up/RESULTS.md": "no lhy_lightning/made_up/RESULTS.md",
    "lhy_lightning/made_up/module.py": "MadeUp is not defined where lhy_lightning/__init__.pyi says",
    "lhy_lightning/__init__.pyi": "no public name: a line in lhy_lightning/__init__.pyi",
    "recipes/made_up/quickstart.yaml": "no recipe recipes/made_up/quickstart.yaml that trains a public class of it",
    "tests/made_up/test_module.py": "no tests in tests/made_up/",
    "tests/smallest_modules.py": "MadeUp is not in tests/smallest_modules.py, which has its smallest arguments",
    "tests/smallest_data.py": "MadeUp is not in tests/smallest_data.py, which has a few rows",
    "notebooks/01_made_up.ipynb": "no notebook in notebooks/ that imports a public name of it",
    "README.md": "no row in the table of topics of README.md",
    "lhy_lightning/README.md": "not among the topics of lhy_lightning/README.md",
    "TERMS.md": "no term of TERMS.md leads to a public name of it",
    "CHANGELOG.md": "no line in CHANGELOG.md names MadeUp",
}


@pytest.mark.parametrize("place", MISSED)
def test_what_is_taken_away_is_missed(place: str, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "less")
    (tmp_path / "less" / place).unlink()
    assert MISSED[place] in lacks(Topic(tmp_path / "less", "made_up"))


CUT = {
    ("module.py", ">>> "): "no >>> example in the docstring of MadeUp",
    ("README.md", ": `lhy fit"): "lhy_lightning/made_up/README.md has no command under its figure",
    ("README.md", "```python"): "lhy_lightning/made_up/README.md has no example of use in a ```python block",
    ("README.md", "## Equations"): "lhy_lightning/made_up/README.md has no table of equations",
    ("README.md", "## Results"): "lhy_lightning/made_up/README.md has no section Results with a table",
    ("README.md", "![training"): "lhy_lightning/made_up/README.md has no figure",
    ("README.md", "](RESULTS.md)"): "lhy_lightning/made_up/README.md has no link to RESULTS.md",
    ("README.md", ".py`"): "lhy_lightning/made_up/README.md has no map that names at least 5 files",
}


@pytest.mark.parametrize(("file", "text"), CUT)
def test_what_is_cut_out_of_a_file_is_missed(file: str, text: str, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "less")
    path = tmp_path / "less/lhy_lightning/made_up" / file
    whole = path.read_text("utf8")
    assert text in whole
    path.write_text(whole.replace(text, ""), "utf8")
    assert CUT[file, text] in lacks(Topic(tmp_path / "less", "made_up"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["New-Topic"], "'New-Topic' is no name of a folder of Python"),
        (["class"], "'class' is no name of a folder of Python"),
        (["cnn"], "lhy_lightning/cnn is there already"),
        (["new", "--class_name", "GAN"], "GAN is a public name already"),
        (["new", "--class_name", "a b"], "'a b' is no name of a class"),
    ],
)
def test_a_name_that_cannot_be_or_is_taken_is_refused_before_anything_is_written(
    arguments: list[str], said: str, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (made / "lhy_lightning/cnn").mkdir(exist_ok=True)
    before = sorted(made.rglob("*"))
    with pytest.raises(SystemExit):
        main([*arguments, "--files_only", "--root", str(made)])
    assert said in capsys.readouterr().err
    assert sorted(made.rglob("*")) == before
