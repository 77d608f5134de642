"""Code that a file from elsewhere may not run: it leaves a mark where it does."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

MODULE = """
from pathlib import Path

def run(*arguments, **named):
    with open({mark!r}, "a") as file:
        file.write("ran")

class Thing:
    def __init__(self, *arguments, **named):
        run()

run()
"""


@dataclass
class Planted:
    """A module `planted` that can be imported, and leaves `mark` when it is imported or called."""

    mark: Path

    @property
    def command(self) -> str:
        """A shell command that leaves the mark."""
        return f"echo ran > '{self.mark}'"

    def ran(self) -> bool:
        return self.mark.exists()

    def pickled(self) -> Any:
        """An object whose pickle runs the command."""
        return _Runs(self.command)


class _Runs:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (self.command,)


@pytest.fixture
def planted(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Planted]:
    folder = tmp_path_factory.mktemp("planted")
    found = Planted(folder / "mark")
    (folder / "planted.py").write_text(MODULE.format(mark=str(found.mark)))
    monkeypatch.syspath_prepend(str(folder))
    yield found
    sys.modules.pop("planted", None)


def checkpoint(path: Path, **content: Any) -> Path:
    """A file with the keys of a Lightning checkpoint, and what else is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    always = {"state_dict": {}, "global_step": 0, "hyper_parameters": {}, "pytorch-lightning_version": "2.6.4"}
    torch.save({**always, **content}, path)
    return path
