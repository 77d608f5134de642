import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lhy_lightning.cli.runs import run_folder, run_lock
from lhy_lightning.cli.runs.run_folder import find_checkpoint, new_run_folder, start_again, take_resumed


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (run_folder.ENVIRONMENT_KEY, "LOCAL_RANK", "TORCHELASTIC_RUN_ID", "RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(run_folder.ENVIRONMENT_KEY, "")  # restored after the test, whatever it sets
    yield
    run_lock.release()


def make_run(folder: Path, *checkpoints: str) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    for name in checkpoints:
        (folder / "checkpoints" / f"{name}.ckpt").write_bytes(b"weights")
    return folder


def test_a_run_without_a_name_takes_the_recipes_and_never_touches_an_older_one(tmp_path: Path) -> None:
    assert new_run_folder(tmp_path, None, "hw03/simple") == tmp_path / "hw03/simple"
    make_run(tmp_path / "hw03/simple", "last")
    assert new_run_folder(tmp_path, None, "hw03/simple") == tmp_path / "hw03/simple-2"


def test_a_name_given_by_hand_is_not_reused_unless_asked(tmp_path: Path) -> None:
    make_run(tmp_path / "mine", "last")
    with pytest.raises(FileExistsError, match=r"--ckpt_path last.*--overwrite"):
        new_run_folder(tmp_path, "mine", "quickstart")
    assert new_run_folder(tmp_path, "mine", "quickstart", overwrite=True) == tmp_path / "mine"


def test_processes_started_by_lightning_share_the_folder_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = new_run_folder(tmp_path, None, "quickstart")
    make_run(chosen, "last")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert new_run_folder(tmp_path, None, "quickstart") == chosen
    assert find_checkpoint("last", tmp_path, None, None) == chosen / "checkpoints/last.ckpt"


def test_processes_started_by_torchrun_share_no_folder_that_another_run_left_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(run_folder.ENVIRONMENT_KEY, str(make_run(tmp_path / "other", "last")))
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "7")
    mine = make_run(tmp_path / "mine", "last")
    assert find_checkpoint("last", tmp_path, "mine", None) == mine / "checkpoints/last.ckpt"


def test_other_ranks_share_the_folder_that_the_first_holds_also_where_it_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.yaml").write_text("")  # of a start that was killed before its first checkpoint
    holder = {"pid": os.getppid(), "host": socket.gethostname(), "since": "2026-01-01"}
    (folder / run_lock.LOCK).write_text(json.dumps(holder))  # the first rank's
    for name, value in (("SLURM_NTASKS", "2"), ("SLURM_PROCID", "1")):
        monkeypatch.setenv(name, value)
    assert start_again("last", tmp_path, "mine", None) == folder
    assert new_run_folder(tmp_path, "mine", "quickstart") == folder
    assert take_resumed(folder, folder, overwrite=False) is False
    monkeypatch.setenv("SLURM_PROCID", "0")
    with pytest.raises(run_lock.RunInUseError):
        new_run_folder(tmp_path, "mine", "quickstart")
    for name in ("SLURM_NTASKS", "SLURM_PROCID"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("LOCAL_RANK", "1")  # as Lightning starts it
    monkeypatch.setenv(run_folder.ENVIRONMENT_KEY, str(folder))
    assert start_again("last", tmp_path, None, "quickstart") == folder
    assert new_run_folder(tmp_path, None, "quickstart") == folder
    assert take_resumed(folder, folder, overwrite=False) is False


def test_the_newest_start_is_meant_by_last_although_an_older_run_has_a_checkpoint(tmp_path: Path) -> None:
    make_run(tmp_path / "quickstart", "last")
    os.utime(tmp_path / "quickstart/checkpoints/last.ckpt", (1, 1))
    os.utime(tmp_path / "quickstart", (1, 1))
    assert start_again("last", tmp_path, None, "quickstart") is None
    (tmp_path / "quickstart-2").mkdir()
    (tmp_path / "quickstart-2/config.yaml").write_text("")
    assert start_again("last", tmp_path, None, "quickstart") == tmp_path / "quickstart-2"
    assert start_again("best", tmp_path, None, "quickstart") is None
    assert find_checkpoint("last", tmp_path, None, "quickstart").parent.parent == tmp_path / "quickstart"
    with pytest.raises(FileNotFoundError, match=r"checkpoints there: best\.ckpt\)\. `--ckpt_path best` goes on"):
        find_checkpoint("last", tmp_path, make_run(tmp_path / "third", "best").name, None)


def test_last_and_best_are_found_by_name_by_recipe_or_as_the_newest(tmp_path: Path) -> None:
    first = make_run(tmp_path / "quickstart", "last", "best")
    second = make_run(tmp_path / "quickstart-2", "last")
    other = make_run(tmp_path / "hw03/simple", "last")
    for age, run in enumerate((first, second, other)):
        for path in (run, *run.glob("checkpoints/*")):
            os.utime(path, (1000 + age, 1000 + age))
    assert find_checkpoint("best", tmp_path, "quickstart", None) == first / "checkpoints/best.ckpt"
    assert find_checkpoint("last", tmp_path, None, "quickstart") == second / "checkpoints/last.ckpt"
    assert find_checkpoint("last", tmp_path, None, None) == other / "checkpoints/last.ckpt"
    assert find_checkpoint(str(first), tmp_path, None, None) == first / "checkpoints/best.ckpt"


def test_a_missing_checkpoint_is_an_error_that_says_what_is_there(tmp_path: Path) -> None:
    make_run(tmp_path / "quickstart", "last")
    with pytest.raises(FileNotFoundError, match=r"best\.ckpt is missing \(checkpoints there: last\.ckpt\)"):
        find_checkpoint("best", tmp_path, "quickstart", None)
    with pytest.raises(FileNotFoundError, match=r"there is no run .*quickstrat; there is quickstart"):
        find_checkpoint("best", tmp_path, "quickstrat", None)
    with pytest.raises(FileNotFoundError, match="no such file"):
        find_checkpoint("lst", tmp_path, None, None)
    with pytest.raises(FileNotFoundError, match="no run of hw03/strong"):
        find_checkpoint("last", tmp_path, None, "hw03/strong")


def test_a_folder_of_several_runs_names_them(tmp_path: Path) -> None:
    for number in (0, 1):
        make_run(tmp_path / f"mine/fold-{number}", "best", "last")
    with pytest.raises(FileNotFoundError, match=r"mine is a folder without .*; runs in it: .*/fold-0, .*/fold-1\."):
        find_checkpoint(str(tmp_path / "mine"), tmp_path, None, None)


def test_a_run_without_its_best_epoch_names_the_last_step(tmp_path: Path) -> None:
    run = make_run(tmp_path / "short", "last")
    with pytest.raises(
        FileNotFoundError, match=r"best.ckpt is missing .*`--ckpt_path .*/last.ckpt` takes the last step"
    ):
        find_checkpoint(str(run), tmp_path, None, None)


@pytest.mark.parametrize("name", ["..", "../mine", "a/../../mine", "/mine", ".", "two\nlines"])
def test_a_name_that_leads_away_from_all_runs_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"--name .*: a run is a folder of its own under runs"):
        run_folder.check_name(Path("runs"), name)
    run_folder.check_name(Path("runs"), "hw03/mine..2 b")


def test_an_empty_path_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_run(tmp_path / "here", "best", "last"))
    with pytest.raises(FileNotFoundError, match="--ckpt_path is empty; give a file"):
        find_checkpoint("", tmp_path, None, None)
