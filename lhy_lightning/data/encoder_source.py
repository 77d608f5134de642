"""Opens what a published encoder consists of, by hub id or local folder, with an error that says what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lhy_lightning.data.folders import nearest_existing


def loaded(load: Callable[..., Any], name: str, what: str, **arguments: Any) -> Any:
    """Calls a `from_pretrained` of `transformers`.

    Args:
        load: takes the name.
        name: hub id or local folder.
        what: "tokenizer", "configuration" or "weights", for the message.
        arguments: handed on.

    Raises:
        FileNotFoundError: it is no folder here and could not be loaded from the hub.
        ValueError: the folder is there, but cannot be read.
    """
    path = Path(name).expanduser()
    try:
        return load(str(path) if path.exists() else name, **arguments)
    except Exception as error:  # offline, unknown, gated, no such file …: an exception for each
        why = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
        if path.is_dir():
            raise ValueError(
                f"the folder {path} holds no {what} that transformers can read ({type(error).__name__}: {why})."
            ) from error
        raise FileNotFoundError(
            f"encoder {name!r} is no folder here ({nearest_existing(path)}) and its {what} could not be loaded from "
            f"the Hugging Face hub ({type(error).__name__}: {why}). Without a network point --model.encoder to a local "
            "folder with config.json, model.safetensors and tokenizer.json, as `save_pretrained` writes them."
        ) from error
