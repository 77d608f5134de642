"""Folders in compressed archives whose bytes depend on the files alone: no times, owners or paths of a machine."""

import io
import lzma
import tarfile
from pathlib import Path

FIXTURES = Path(__file__).parent / "fixtures"
LEFT_OUT = ("run.lock", "curves.png", "best.ckpt")
"""Files of a run folder that nothing is told by; `best.ckpt` is as large as `last.ckpt`."""


def pack(folder: Path, archive: Path, names: list[str]) -> None:
    """Writes what lies under some paths of a folder into an archive (.tar.xz)."""
    paths = sorted(path for name in names for path in (folder / name, *(folder / name).rglob("*")) if path.is_file())
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in paths:
            if path.name in LEFT_OUT or "samples" in path.parts:
                continue
            entry, data = tarfile.TarInfo(path.relative_to(folder).as_posix()), path.read_bytes()
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(lzma.compress(content.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def unpack(archive: Path, folder: Path) -> Path:
    """Puts the files of an archive into a folder, which is returned."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder
