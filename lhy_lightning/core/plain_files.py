"""What torch has saved, read as long as it is numbers, texts and tensors: a file that runs no code."""

import pickle
import re
from pathlib import Path
from typing import Any

import torch


def load_plain(path: str | Path, what: str, *, mmap: bool = False) -> Any:
    """Reads on the CPU what torch has saved in a file, as long as it is numbers, texts and tensors.

    Args:
        path: the file.
        what: "a checkpoint", for the message.
        mmap: leave tensors in the file until they are used.

    Raises:
        ValueError: it holds other objects, which could run code when they are made, or cannot be read.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} cannot be read as {what}: {why_not_read(error)}") from None
    except Exception as error:
        raise ValueError(f"{path} cannot be read as {what}: {why_not_read(error)}") from error


def why_not_read(error: BaseException) -> str:
    """What torch says of a file that it does not read, without its advice to run what the file holds."""
    text = str(error)
    if not isinstance(error, pickle.UnpicklingError) and "weights_only" not in text:
        return text
    found = re.search(r"GLOBAL (\S+)|(?:class|instantiate) `?([\w.]+)", text)
    named = f" ({next(filter(None, found.groups()))})" if found else ""
    return f"it holds Python objects{named}, which can run code; only numbers, texts and tensors are read."
