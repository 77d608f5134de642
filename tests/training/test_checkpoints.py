import errno
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from lhy_lightning import AutoEncoder, FixMatchClassifier
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


def checkpoint_of(module: Any, path: Path, **further: Any) -> Path:
    settings = {**module.hparams, **further}
    torch.save(
        {"state_dict": module.state_dict(), "hyper_parameters": settings, "pytorch-lightning_version": "2.6"}, path
    )
    return path


@pytest.mark.parametrize("cls", [AutoEncoder, FixMatchClassifier])
def test_a_setting_of_another_version_is_left_out_whether_or_not_a_class_hands_arguments_on(
    cls: type[Any], tmp_path: Path
) -> None:
    sizes: dict[str, Any] = {"image_size": (8, 8), "channels": 1}
    module = cls(**sizes, width=4, lr=0.5, **({"num_classes": 2, "depth": 8} if cls is FixMatchClassifier else {}))
    loaded = cls.load_from_checkpoint(checkpoint_of(module, tmp_path / "a.ckpt", of_another_version=3))
    assert dict(loaded.hparams) == dict(module.hparams)
    with pytest.raises(TypeError, match="of_another_version"):
        cls(**sizes, of_another_version=3)


class TakesAnything(AutoEncoder):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**{name: value for name, value in arguments.items() if name != "own"})
        self.own = arguments.get("own", 1)


def test_a_class_that_takes_any_argument_is_given_all_that_its_checkpoint_has(tmp_path: Path) -> None:
    path = checkpoint_of(TakesAnything(own=5, image_size=(8, 8), channels=1, width=4), tmp_path / "a.ckpt")
    assert TakesAnything.load_from_checkpoint(path).own == 5
