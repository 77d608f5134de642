"""Settings as files hold them, and back to the form that constructor arguments take."""

from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """A setting as JSON would have it: tuples are lists, in dictionaries too."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def tuples(value: Any) -> Any:
    """Lists back to tuples, the form that constructor arguments take in Python."""
    return tuple(tuples(item) for item in value) if isinstance(value, list | tuple) else value


def as_tuple(value: Any) -> Any:
    """A list as a tuple, anything else as it is."""
    return tuple(value) if isinstance(value, list) else value
