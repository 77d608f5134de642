import errno
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from lhy_lightning.training.checkpoints import WholeFileCheckpointIO, load_modules, read_checkpoint


def test_a_disk_that_fills_half_way_leaves_the_old_checkpoint_and_no_partial_file(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    writer = WholeFileCheckpointIO()
    writer.save_checkpoint({"state_dict": {"w": torch.ones(3)}, "global_step": 1}, path)

    def fails_half_way(checkpoint: Any, file: Any) -> None:
        file.write(b"half of a checkpoint")
        raise OSError(errno.ENOSPC, "No space left on device")

    with patch("torch.save", fails_half_way), pytest.raises(OSError, match=r"untouched.*No space left"):
        writer.save_checkpoint({"state_dict": {}, "global_step": 2}, path)
    assert read_checkpoint(path)["global_step"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_file_that_is_no_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "none.ckpt")
    for name, content in (("cut.ckpt", b"PK\x03\x04 cut off"), ("hw7_test.json", b"{}"), ("empty.ckpt", b"")):
        (tmp_path / name).write_bytes(content)
        said = rf"{name} \({len(content)} bytes\) cannot be read as a checkpoint: it is another file, or is cut off"
        with pytest.raises(ValueError, match=said):
            read_checkpoint(tmp_path / name)
    torch.save({"weights": torch.ones(1)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="holds no state_dict"):
        read_checkpoint(tmp_path / "other.pt")


def test_a_class_that_is_not_here_is_named(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "class_path": "nowhere.Model"}, tmp_path / "other.ckpt")
    with pytest.raises(ImportError, match=r"other\.ckpt names nowhere\.Model, which .*--import nowhere"):
        load_modules([tmp_path / "other.ckpt"])
