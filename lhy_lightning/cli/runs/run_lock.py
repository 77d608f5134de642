"""`run.lock`: one process at a time trains in a run folder, and others can read which one.

The process that starts a training holds the lock, which Lightning's other processes, or the other ranks of torchrun
and SLURM, share. A lock whose process is gone, such as after `kill -9`, is taken over.
"""

import errno
import fcntl
import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TextIO

LOCK = "run.lock"
ATTEMPTS = 100


class RunInUseError(OSError):
    """Another process trains in this run folder."""


@dataclass(frozen=True)
class Holder:
    """A process that trains in a run folder.

    Attributes:
        pid, host: its number and machine.
        since: when it took the folder, local time.
        ticks: when the process began, in clock ticks since the machine did; None where the system does not tell. A
            later process of the same number has another.
        job, restart: the SLURM job and how often it has been queued again; None outside of SLURM.
    """

    pid: int
    host: str
    since: str
    ticks: int | None = None
    job: str | None = None
    restart: str | None = None

    @classmethod
    def this_process(cls) -> "Holder":
        job = os.environ.get("SLURM_JOB_ID")
        restart = os.environ.get("SLURM_RESTART_COUNT", "0") if job else None
        since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        return cls(os.getpid(), socket.gethostname(), since, _ticks(os.getpid()), job, restart)

    def same_process(self, other: "Holder") -> bool:
        return (self.pid, self.host, self.ticks) == (other.pid, other.host, other.ticks)

    def is_gone(self, here: "Holder") -> bool:
        """Whether the process has surely ended, as seen from the process `here`.

        Of another machine only an earlier start of the same SLURM job is known to have ended.
        """
        if self.host != here.host:
            return self.job is not None and self.job == here.job and self.restart != here.restart
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # another user's process
            pass
        ticks = _ticks(self.pid)
        return ticks == ENDED or (None not in (self.ticks, ticks) and self.ticks != ticks)


ENDED = -1


def _ticks(pid: int) -> int | None:
    """When a process began, `ENDED` for one that only waits to be collected, None where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return ENDED if fields[0] in "ZX" else int(fields[19])


def read_holder(file: TextIO) -> Holder | None:
    """The process that a lock names; None for a lock that is empty, or was cut off by a kill."""
    try:
        return Holder(**json.loads(file.read()))
    except (ValueError, TypeError):
        return None


def check_free(folder: Path) -> None:
    """Looks whether another process trains in `folder`, without taking it.

    Raises:
        RunInUseError: one does, or may do so.
    """
    here = Holder.this_process()
    try:
        with (folder / LOCK).open(encoding="utf8") as file:
            holder = read_holder(file)
    except OSError:
        return
    if holder is not None and not holder.same_process(here) and not holder.is_gone(here):
        raise RunInUseError(_in_use(folder, holder, here))


def take(folder: Path) -> None:
    """Makes this process the one that trains in `folder`, which is made if it is not there.

    Raises:
        RunInUseError: another process trains there, or may do so on a machine that cannot be seen from here.
        OSError: the folder cannot be made or written to.
    """
    here, path = Holder.this_process(), folder / LOCK
    made: list[Path] = []
    for attempt in range(ATTEMPTS):
        try:
            made += _make(folder)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError as error:
            if attempt == ATTEMPTS - 1:
                raise OSError(f"the run folder {folder} cannot be made: is a parent of it a broken link?") from error
            continue  # the folder was given up by its process in between
        except OSError as error:
            _remove(made)
            raise OSError(f"the run folder {folder} cannot be written to: {error.strerror}.") from error
        with os.fdopen(descriptor, "r+", encoding="utf8") as file:
            with suppress(OSError):  # a file system without it: only two that take over one lock at once may collide
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_file(file, path):
                continue  # given up in between
            holder = read_holder(file)
            if holder is not None and not holder.same_process(here):
                if not holder.is_gone(here):
                    raise RunInUseError(_in_use(folder, holder, here))
                print(f"{folder} was left by process {holder.pid} on {holder.host}, which has ended: taken over.")
            file.seek(0)
            file.truncate()
            json.dump(asdict(here), file)
        _held[folder] = made
        return
    raise RunInUseError(f"{folder} is taken and given up by others all the time: choose another --name.")


def release() -> None:
    """Gives up every folder that this process holds; one that is empty is removed, and its parents made with it."""
    here = Holder.this_process()
    for folder, made in _held.items():
        with suppress(OSError), (folder / LOCK).open(encoding="utf8") as file:
            holder = read_holder(file)
            if holder is not None and holder.same_process(here):
                (folder / LOCK).unlink()
        _remove(made)
    _held.clear()


_held: dict[Path, list[Path]] = {}
"""The folders that this process holds, each with the folders that were made for it."""


def _in_use(folder: Path, holder: Holder, here: Holder) -> str:
    if holder.host == here.host:
        return (
            f"{folder} is in use: process {holder.pid} has been training there since {holder.since}. Wait for it or "
            "stop it, or choose another --name."
        )
    return (
        f"{folder} is held by process {holder.pid} on {holder.host} since {holder.since}, which cannot be seen from "
        f"{here.host}: choose another --name, or, if that process has ended, take over by removing {folder / LOCK}."
    )


def _make(folder: Path) -> list[Path]:
    """Makes a folder. Returns it and those of its parents that were not there, outermost first."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()][::-1]
    made = []
    for place in missing:
        with suppress(FileExistsError):  # by another process, just now
            place.mkdir()
            made.append(place)
    if os.path.lexists(folder) and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "it is a file")
    return made


def _remove(folders: list[Path]) -> None:
    for folder in reversed(folders):
        with suppress(OSError):  # something lies in it
            folder.rmdir()


def _is_file(file: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
