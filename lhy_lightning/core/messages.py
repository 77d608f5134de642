"""Values in messages."""

from collections.abc import Iterable, Sequence


def short(value: object, most: int = 60) -> str:
    """A value as Python writes it, which may be a whole paragraph, cut behind `most` characters."""
    written = repr(value)
    return written if len(written) <= most else f"{written[:most]} …"


def listed(parts: Iterable[str]) -> str:
    """`a, b and c`; nothing of nothing."""
    *first, last = [*parts] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def first_of(names: Sequence[str], most: int) -> str:
    """`a, b, c`, and of more than `most` the first of them with ` …` behind."""
    return ", ".join(names[:most]) + (" …" if len(names) > most else "")
