"""Checksums of the files that runs write: a byte that a disk or a copy has changed is told, and not computed with."""

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

import torch
from torch import Tensor

from lhy_lightning.core.atomic_files import atomic_write

_checked: set[tuple[str, int, int]] = set()  # path, size and time of archives that were whole


def made_anew(path: Path) -> str:
    """What is said of a cached file that is not used."""
    return f"{path} is damaged, so it is made anew: its content is not what was written."


def check_archive(path: Path) -> None:
    """Reads a zip file, as checkpoints are, against the checksums it holds; once per process while it is unchanged.

    Raises:
        ValueError: it is no zip file, is cut off, or some of it is not what was written.
    """
    stat = os.stat(path)
    state = (str(path.resolve()), stat.st_size, stat.st_mtime_ns)
    if state in _checked:
        return
    if not is_zipfile(path):  # what torch says of it is about its own old formats
        raise ValueError(
            f"{path} ({stat.st_size:,} bytes) cannot be read as a checkpoint: it is another file, or is cut off."
        )
    try:
        with ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # each broken field of the format has its own
        raise ValueError(f"{path} cannot be read as a checkpoint: it is damaged ({error}).") from error
    if damaged is not None:
        raise ValueError(
            f"{path} is damaged: {damaged} in it is not what was written (its checksum differs). Take another "
            "checkpoint or another copy of this one."
        )
    _checked.add(state)


def tensor_checksums(state: Mapping[str, Any]) -> dict[str, str]:
    """CRC-32 of each tensor's bytes, in hexadecimal, as one entry of a safetensors file's metadata."""
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    return {"crc32": json.dumps({name: f"{_crc32(tensor):08x}" for name, tensor in tensors.items()})}


def add_checksums(path: Path) -> None:
    """Writes a safetensors file of another library's anew, with checksums beside the metadata it has."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save

    with safe_open(path, framework="pt") as file:
        metadata: dict[str, str] = file.metadata() or {}
    tensors = load_file(path)
    atomic_write(path, save(tensors, {**metadata, **tensor_checksums(tensors)}))


def check_tensors(path: Path) -> None:
    """Compares the tensors of a safetensors file that is there with the checksums in its metadata, if it has any.

    Raises:
        ValueError: it is no such file, is cut off, or a tensor is not what was written.
    """
    from safetensors import safe_open

    if not path.is_file():
        return
    try:
        with safe_open(path, framework="pt") as file:
            written: dict[str, Any] = json.loads((file.metadata() or {}).get("crc32", "{}"))
            names = [name for name in file.keys() if name in written]  # noqa: SIM118  # it is no mapping
            damaged = next((name for name in names if f"{_crc32(file.get_tensor(name)):08x}" != written[name]), None)
    except Exception as error:  # SafetensorError is an Exception and no more
        raise ValueError(
            f"{path} ({path.stat().st_size:,} bytes) cannot be read as safetensors: it is cut off, or another file."
        ) from error
    if damaged is not None:
        raise ValueError(f"{path} is damaged: {damaged} in it is not what was written (its checksum differs).")


def _crc32(tensor: Tensor) -> int:
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    return zlib.crc32(plain.view(torch.uint8).numpy().data) if plain.numel() else 0
