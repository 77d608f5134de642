"""Files that a disk or a copy has changed are told in one line; caches among them are made anew."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import torch
from lightning.pytorch import Trainer

from lhy_lightning import AnomalyDetector, AutoEncoder, BertClassifier
from lhy_lightning.cli.errors import message_for_user
from lhy_lightning.training.checkpoints import WholeFileCheckpointIO, load_modules, read_checkpoint
from lhy_lightning.training.finite_losses import NonFiniteError
from lhy_lightning.training.module import CourseModule
from tests.smallest_modules import public_modules, smallest


def checkpoint_of(module: CourseModule, path: Path) -> Path:
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.strategy._lightning_module = module
    module.trainer = trainer
    trainer.save_checkpoint(path)
    return path


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)


def place_of_weights(path: Path) -> int:
    """Where the largest entry of an archive stands in the file."""
    with ZipFile(path) as archive:
        entry = max(archive.infolist(), key=lambda found: found.file_size)
        with archive.open(entry) as file:
            return path.read_bytes().index(file.read(64)) + 16


def flipped(path: Path) -> None:
    flip(path, place_of_weights(path))


def zeros(path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = place_of_weights(path)
    content[place : place + 32] = bytes(32)
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def header(path: Path) -> None:
    with ZipFile(path) as archive:
        flip(path, archive.infolist()[1].header_offset + 1)


LOADERS: dict[str, Callable[[Path], Any]] = {
    "read_checkpoint": read_checkpoint,
    "load_modules": lambda path: load_modules([path]),
    "load_from_checkpoint": lambda path: AutoEncoder.load_from_checkpoint(path),
    "Trainer": WholeFileCheckpointIO().load_checkpoint,
}


@pytest.mark.parametrize("damage", [flipped, zeros, cut, header])
@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_a_damaged_checkpoint_is_one_line(tmp_path: Path, load: Callable[[Path], Any], damage: Any) -> None:
    path = checkpoint_of(smallest("AutoEncoder"), tmp_path / "a.ckpt")
    load(path)
    damage(path)
    with pytest.raises(ValueError, match=r"a\.ckpt.*(damaged|cut off)") as raised:
        load(path)
    said = message_for_user(raised.value)
    assert said is not None
    assert "\n" not in said
    assert "weights_only" not in said


@pytest.mark.parametrize("name", public_modules())
def test_weights_that_are_not_finite_are_not_loaded(name: str) -> None:
    module = smallest(name)
    bad = list(dict(module.named_parameters()))[-1]
    state = {key: value.clone() for key, value in module.state_dict().items()}
    module.on_load_checkpoint({"state_dict": state})
    state[bad].view(-1)[-1] = float("nan")
    said = f"^{bad} is not finite: this checkpoint is of a run that diverged. Take a checkpoint from before"
    with pytest.raises(NonFiniteError, match=said):
        module.on_load_checkpoint({"state_dict": state})


@pytest.mark.parametrize("load", ["load_modules", "load_from_checkpoint"])
def test_a_checkpoint_of_weights_that_are_not_finite_is_one_line(load: str, tmp_path: Path) -> None:
    path = checkpoint_of(smallest("AutoEncoder"), tmp_path / "a.ckpt")
    content = torch.load(path, weights_only=True)
    bad = next(iter(content["state_dict"]))
    content["state_dict"][bad].view(-1)[0] = float("nan")
    torch.save(content, path)
    with pytest.raises(NonFiniteError, match=f"^{bad} is not finite: ") as raised:
        LOADERS[load](path)
    assert message_for_user(raised.value) == str(raised.value)


def test_what_is_not_finite_in_a_new_module_may_be_in_a_checkpoint(tmp_path: Path) -> None:
    module = smallest("AnomalyDetector")
    assert not torch.as_tensor(module.threshold).isfinite()
    [again] = load_modules([checkpoint_of(module, tmp_path / "a.ckpt")])
    assert isinstance(again, AnomalyDetector)


@pytest.mark.parametrize("name", [name for name in public_modules() if name != "CodePrior"])
def test_a_folder_that_was_saved_tells_damage(name: str, tmp_path: Path) -> None:
    module = smallest(name)
    module.save_pretrained(tmp_path / "saved")
    file = tmp_path / "saved/model.safetensors"
    flip(file, file.stat().st_size - 3)
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged: .* in it is not what was written"):
        type(module).from_pretrained(tmp_path / "saved")
    if name not in ("AutoEncoder", "BertTagger"):
        return
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"model\.safetensors .*cannot be read as safetensors"):
        type(module).from_pretrained(tmp_path / "saved")


@pytest.mark.parametrize("name", ["AutoEncoder", "BertClassifier"])
def test_a_folder_of_weights_that_are_not_finite_is_not_loaded(name: str, tmp_path: Path) -> None:
    module = smallest(name)
    with torch.no_grad():
        next(module.parameters()).view(-1)[0] = float("nan")
    module.save_pretrained(tmp_path)
    with pytest.raises(NonFiniteError, match=r"is not finite: .*Take a checkpoint from before"):
        type(module).from_pretrained(tmp_path)


def test_a_folder_of_another_library_has_no_checksums_and_is_loaded(tmp_path: Path) -> None:
    module = smallest("BertClassifier")
    module.save_pretrained(tmp_path)
    module.network.save_pretrained(tmp_path)  # type: ignore[union-attr,operator]
    again = BertClassifier.from_pretrained(tmp_path)
    for name, weight in module.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
