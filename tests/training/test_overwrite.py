"""A run that replaces another through the command line: when the old files go, and that none passes for a new one."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from lhy_lightning.cli.__main__ import main
from lhy_lightning.cli.command_line import prepare
from lhy_lightning.cli.runs.run_lock import release
from tests import command_runs
from tests.processes import run_forked

SETTINGS: dict[str, Any] = {
    "--model": "ImageClassifier", "--model.network": "vgg", "--model.depth": 3, "--model.width": 8,
    "--data": "ImageDataModule", "--trainer.max_epochs": 1, "--trainer.limit_train_batches": 4,
    "--trainer.limit_val_batches": 1, "--trainer.limit_test_batches": 1,
}  # fmt: skip


def fit(root: Path, *more: str, die_at: int | None = None, **changed: Any) -> None:
    command_runs.fit(root, "mine", SETTINGS, *more, die_at=die_at, **changed)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    root = tmp_path_factory.mktemp("finished")
    fit(root, evaluate="true", drawn=True)
    return root / "mine"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A finished run, with a file of the user's own in it."""
    shutil.copytree(finished, tmp_path / "mine")
    (tmp_path / "mine/notes.md").write_text("mine")
    return tmp_path / "mine"


def test_a_start_that_fails_before_training_leaves_the_old_run_whole(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(run.parent)
    with pytest.raises(SystemExit):
        fit(run.parent, "--overwrite", data__val_fraction=0.9, data__test_fraction=0.9)
    assert content(run.parent) == before
    fit(run.parent, "--overwrite", trainer__fast_dev_run="true")
    assert content(run.parent) == before


def test_nothing_of_the_old_run_is_left_once_the_new_one_trains_and_both_ways_begin_again(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_forked(lambda: fit(run.parent, "--overwrite", die_at=3, model__lr=0.5)) == [-9]
    left = set(content(run))
    assert left == {"config.yaml", "metrics.csv", "notes.md", "run.lock"}
    assert yaml.safe_load((run / "config.yaml").read_text())["model"]["init_args"]["lr"] == 0.5
    with pytest.raises(SystemExit):
        main(["test", "--ckpt_path", str(run)])
    assert "best.ckpt is missing (checkpoints there: none)" in capfd.readouterr().err

    (run / "metrics.csv").write_text("epoch,step,val/old\n0,1,7\n")  # of a start before
    command = ["fit", "--config", "quickstart", "--name", "mine", "--trainer.default_root_dir", str(run.parent)]
    for how in ([], ["--ckpt_path", "last"]):
        prepared = prepare(command + how)
        release()
        assert (prepared.folder, prepared.clears, prepared.checkpoints) == (run, True, [])
        assert "never came to a checkpoint: it begins again" in capfd.readouterr().out
    fit(run.parent, "--ckpt_path", "last", model__lr=0.5)
    assert json.loads((run / "results.json").read_text())["step"] == 4
    assert "val/old" not in (run / "metrics.csv").read_text()
    assert (run / "notes.md").is_file()
    assert not (run / "run.lock").exists()


def test_a_run_goes_on_under_another_name_only_where_there_is_none(run: Path) -> None:
    resume = ["--trainer.default_root_dir", str(run.parent), "--ckpt_path", str(run / "checkpoints/last.ckpt")]
    fresh = prepare(["fit", *resume, "--name", "other"])
    assert (fresh.folder, fresh.clears) == (run.parent / "other", False)
    shutil.copytree(run, run.parent / "another")
    with pytest.raises(FileExistsError, match="another already holds a run"):
        prepare(["fit", *resume, "--name", "another"])
    assert prepare(["fit", *resume, "--name", "another", "--overwrite"]).clears
    assert not prepare(["fit", *resume, "--overwrite"]).clears  # its own run goes on
    release()
