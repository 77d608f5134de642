"""Values in messages."""


def short(value: object, most: int = 60) -> str:
    """A value as Python writes it, which may be a whole paragraph, cut behind `most` characters."""
    written = repr(value)
    return written if len(written) <= most else f"{written[:most]} …"
