"""Libraries that remark on what they do, told not to for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Remarks(Protocol):
    """The module by which a library of Hugging Face logs and draws progress bars."""

    def get_verbosity(self) -> int: ...

    def set_verbosity(self, verbosity: int) -> None: ...

    def is_progress_bar_enabled(self) -> bool: ...

    def enable_progress_bar(self) -> None: ...

    def disable_progress_bar(self) -> None: ...


@contextmanager
def quiet(remarks: Remarks, level: int) -> Iterator[None]:
    """No progress bars in here, and no remarks below `level` of `logging`."""
    before, bars = remarks.get_verbosity(), remarks.is_progress_bar_enabled()
    remarks.set_verbosity(level)
    remarks.disable_progress_bar()
    try:
        yield
    finally:
        remarks.set_verbosity(before)
        if bars:
            remarks.enable_progress_bar()
