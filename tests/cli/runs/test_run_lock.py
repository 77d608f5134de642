"""One process at a time has a run folder: who came first, who is gone, who cannot be seen."""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lhy_lightning.cli.runs import run_lock
from lhy_lightning.cli.runs.run_folder import new_run_folder
from lhy_lightning.cli.runs.run_lock import LOCK, Holder, RunInUseError, release, take

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def nothing_held(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT", "SLURM_NTASKS", "SLURM_PROCID", "RANK", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    yield
    release()


def in_another_process(work: Callable[[], Any], folder: Path) -> multiprocessing.process.BaseProcess:
    """Calls `work` in a forked process that stays alive; returns when it is done."""
    done = FORK.Event()

    def run() -> None:
        work()
        done.set()
        time.sleep(60)

    process = FORK.Process(target=run, daemon=True)
    process.start()
    assert done.wait(30)
    return process


def test_a_folder_in_use_is_refused_and_one_whose_process_was_killed_is_taken_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "hw03" / "mine"
    other = in_another_process(lambda: take(folder), folder)
    with pytest.raises(RunInUseError, match=rf"mine is in use: process {other.pid} has been training there since 20"):
        take(folder)
    assert new_run_folder(tmp_path, None, "hw03/mine") == tmp_path / "hw03/mine-2"
    assert other.pid
    os.kill(other.pid, signal.SIGKILL)
    time.sleep(0.2)  # not collected: a zombie is gone too
    take(folder)
    assert f"left by process {other.pid}" in capsys.readouterr().out
    other.join()
    assert json.loads((folder / LOCK).read_text())["pid"] == os.getpid()


def test_of_processes_that_start_at_once_each_has_a_folder_of_its_own_or_one_has_the_name(tmp_path: Path) -> None:
    start, found = FORK.Barrier(8), FORK.Queue()

    def race(name: str | None) -> None:
        start.wait()
        try:
            found.put(new_run_folder(tmp_path, name, "quickstart").name)
        except RunInUseError:
            found.put("in use")
        start.wait()

    for name in (None, "mine"):
        processes = [FORK.Process(target=race, args=(name,)) for _ in range(8)]
        for process in processes:
            process.start()
        names = sorted(found.get(timeout=30) for _ in processes)
        for process in processes:
            process.join()
        if name is None:
            assert names == sorted(["quickstart", *(f"quickstart-{number}" for number in range(2, 9))])
        else:
            assert names == ["in use"] * 7 + ["mine"]


def test_what_was_made_for_a_run_that_never_was_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    take(tmp_path / "runs/hw03/mine")
    assert (tmp_path / "runs/hw03/mine" / LOCK).is_file()
    (tmp_path / "runs/there").mkdir()
    take(tmp_path / "runs/there")
    release()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["runs", "there"]


def write_lock(folder: Path, **changed: Any) -> None:
    folder.mkdir(exist_ok=True)
    here = {"pid": os.getpid(), "host": "node7", "since": "2026-01-01 00:00:00+00:00", "ticks": 1}
    (folder / LOCK).write_text(json.dumps({**here, **changed}))


def test_a_process_on_another_machine_is_named_and_how_to_take_over_is_told(tmp_path: Path) -> None:
    write_lock(tmp_path / "mine")
    with pytest.raises(RunInUseError, match=r"on node7 since 2026.*cannot be seen.*removing .*mine/run\.lock"):
        take(tmp_path / "mine")
    (tmp_path / "mine" / LOCK).unlink()
    take(tmp_path / "mine")


def test_a_slurm_job_that_is_queued_again_takes_over_from_its_earlier_start_wherever_that_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lock(tmp_path / "mine", job="42", restart="0")
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    with pytest.raises(RunInUseError):  # another step of the same start may be alive
        take(tmp_path / "mine")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    take(tmp_path / "mine")


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="the system does not tell when a process began")
def test_a_later_process_of_the_same_number_is_another(tmp_path: Path) -> None:
    write_lock(tmp_path / "mine", host=Holder.this_process().host, ticks=1, pid=os.getppid())
    take(tmp_path / "mine")


@pytest.mark.parametrize("content", ["", '{"pid": 1', "[]", '{"number": 1}'])
def test_a_lock_that_a_kill_cut_off_holds_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / LOCK).write_text(content)
    take(tmp_path)


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere/at/all")
    for name in ("file", "file/mine"):
        with pytest.raises(OSError, match=rf"the run folder .*{name} cannot be written to: (it is a f|Not a d)"):
            take(tmp_path / name)
    with pytest.raises(OSError, match="broken"):
        take(tmp_path / "broken" / "mine")
    assert not run_lock._held
