import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
import torch

from lhy_lightning.cli.errors import message_for_user
from lhy_lightning.core.atomic_files import PARTIAL, atomic_open, atomic_write, csv_text, remove_partials
from lhy_lightning.data.images.image_store import cache_file
from lhy_lightning.data.sequences.ragged import write_table
from lhy_lightning.training.checkpoints import WholeFileCheckpointIO, read_checkpoint
from lhy_lightning.training.csv_logger import MetricsFile
from tests.processes import run_forked


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "results.json"
    atomic_write(path, "old")
    with patch("os.replace", side_effect=OSError("No space left on device")), pytest.raises(OSError, match="No space"):
        atomic_write(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]


def test_commas_are_quoted_and_lines_end_alike_everywhere() -> None:
    assert csv_text([["path", "class"], ["a,b.jpg", 3]]) == 'path,class\n"a,b.jpg",3\n'


# --- a full disk ------------------------------------------------------------------------------------------------------


def zipped(path: Path) -> None:
    with atomic_open(path) as file:
        np.savez(file, values=np.zeros(50_000))


def cached(path: Path) -> None:
    with cache_file(path) as file:
        np.save(file, np.zeros(50_000))


WRITERS: dict[str, Callable[[Path], object]] = {
    "checkpoint": lambda path: WholeFileCheckpointIO().save_checkpoint({"state_dict": {"w": torch.ones(50_000)}}, path),
    "text": lambda path: atomic_write(path, "x" * 400_000),
    "arrays": zipped,
    "pictures' cache": cached,
    "texts' cache": lambda path: write_table(pa.table({"number": pa.array(range(50_000))}), path, "key"),
}


@pytest.mark.parametrize("what", WRITERS)
def test_a_full_disk_is_called_so_with_the_bytes_that_lack_and_the_old_file_stays(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    atomic_write(path, "y" * 300_000)
    full, usual = os.open("/dev/full", os.O_WRONLY), os.open
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", lambda *given, **named: full if given[1] & os.O_EXCL else usual(*given, **named))
        patched.setattr("shutil.disk_usage", lambda folder: Usage(1_000))
        with pytest.raises(OSError, match=r"No space left on device") as raised:
            WRITERS[what](path)
    said = message_for_user(raised.value)
    assert said is not None
    assert "inline_container" not in said
    needed = {"checkpoint": "200,000", "text": "400,000"}.get(what, "300,000")  # else as much as the old one has
    assert f"{tmp_path} has 1,000 bytes free, file needs {needed}, so" in said
    assert "are lacking" in said
    assert path.read_text() == "y" * 300_000
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


class Usage:
    def __init__(self, free: int) -> None:
        self.free = free


def test_a_row_of_metrics_that_does_not_fit_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = MetricsFile(tmp_path / "metrics.csv")
    file.add(0, {"loss": 1.0})
    usual = Path.open
    monkeypatch.setattr(Path, "open", lambda path, *mode: usual(Path("/dev/full"), "wb", 0))
    with pytest.raises(OSError, match=r"No space left on device: .* bytes free, metrics.csv needs"):
        file.add(1, {"loss": 1.0})


def test_a_limit_of_file_sizes_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    WholeFileCheckpointIO().save_checkpoint({"state_dict": {}}, path)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        with pytest.raises(OSError, match=r"File too large: .*last.ckpt needs 200,000.*ulimit -f"):
            WRITERS["checkpoint"](path)

    assert run_forked(limited) == [0]
    assert read_checkpoint(path)["state_dict"] == {}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


# --- killed writers ---------------------------------------------------------------------------------------------------


def killed_while_it_writes(path: Path) -> str:
    """Leaves half a file. Returns its name."""

    def write() -> None:
        with atomic_open(path) as file:
            file.write(b"half")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    assert run_forked(write) == [-signal.SIGKILL]
    [left] = [file.name for file in path.parent.iterdir() if PARTIAL.fullmatch(file.name)]
    return left


def test_what_a_killed_writer_left_is_removed_and_what_a_live_one_writes_is_not(tmp_path: Path) -> None:
    foreign = [tmp_path / name for name in (".other.partial", "last.ckpt.0123456789abcdef0123456789abcdef.partial")]
    for path in foreign:
        path.touch()
    killed_while_it_writes(tmp_path / "last.ckpt")
    with atomic_open(tmp_path / "best.ckpt") as file:
        file.write(b"whole")
        assert run_forked(remove_partials, tmp_path) == [0]
    assert {path.name for path in tmp_path.iterdir()} == {"best.ckpt", *(path.name for path in foreign)}
    assert (tmp_path / "best.ckpt").read_bytes() == b"whole"


def test_the_first_file_written_into_a_folder_removes_what_killed_writers_left(tmp_path: Path) -> None:
    killed_while_it_writes(tmp_path / "a.npy")
    atomic_write(tmp_path / "b.npy", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["b.npy"]
