"""Opens what a published encoder or backbone consists of, by hub id or local folder, without running code from there.

Every `from_pretrained` of `transformers` goes through `loaded`.
"""

from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from lhy_lightning.data.sources.folders import nearest_existing

CODE = ("auto_map", "trust_remote_code", "attn_implementation", "_attn_implementation", "experts_implementation")
"""Keys of a configuration by which it names code: classes of its own, and kernels of the hub."""


FILES = {
    "encoder": "config.json, model.safetensors and tokenizer.json",
    "backbone": "config.json and model.safetensors",
}
PLACE = ("cache_dir", "force_download", "local_files_only", "revision", "token")


def without_code(values: Any) -> Any:
    """A configuration without what names code, at any depth: an encoder may consist of others."""
    if isinstance(values, dict):
        return {name: without_code(value) for name, value in values.items() if name not in CODE}
    return [without_code(value) for value in values] if isinstance(values, list) else values


def loaded(load: Callable[..., Any], name: str, what: str, *, role: str = "encoder", **arguments: Any) -> Any:
    """Calls a `from_pretrained` of `transformers` such that it runs nothing that lies beside the weights.

    Args:
        load: takes the name.
        name: hub id or local folder.
        what: "tokenizer", "configuration" or "weights", for the message.
        role: the setting that has the name, "encoder" or "backbone", for the message.
        arguments: handed on.

    Raises:
        FileNotFoundError: it is no folder here and could not be loaded from the hub.
        ValueError: the folder is there, but cannot be read, or it needs code of its own.
    """
    path = Path(name).expanduser()
    source = str(path) if path.exists() else name
    try:
        if what == "weights":
            _refuse_adapter(source, **{name: arguments[name] for name in PLACE if name in arguments})
        return load(source, trust_remote_code=False, **arguments)
    except Exception as error:  # offline, unknown, gated, no such file …: an exception for each
        if isinstance(error, _Refused):
            raise ValueError(str(error)) from None
        if "trust_remote_code" in str(error):
            raise ValueError(
                f"{name} needs code of its own for its {what} (auto_map), which is never run: choose an encoder or "
                "backbone that transformers has itself."
            ) from None
        if isinstance(error, UnpicklingError) or "weights_only" in str(error):
            raise ValueError(
                f"the {what} of {name} hold Python objects, which can run code; only tensors are read. Save them as "
                "model.safetensors where they are trusted."
            ) from None
        why = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
        if path.is_dir():
            raise ValueError(
                f"the folder {path} holds no {what} that transformers can read ({type(error).__name__}: {why})."
            ) from error
        raise FileNotFoundError(
            f"{role} {name!r} is no folder here ({nearest_existing(path)}) and its {what} could not be loaded from "
            f"the Hugging Face hub ({type(error).__name__}: {why}). Without a network point --model.{role} to a local "
            f"folder with {FILES[role]}, as `save_pretrained` writes them."
        ) from error


class _Refused(Exception):
    """Weights are there, and are not taken."""


def _refuse_adapter(source: str, **place: Any) -> None:
    """Refuses low-rank updates in place of weights: older `peft` imports a module that their configuration names."""
    from transformers.utils.peft_utils import find_adapter_config_file

    if find_adapter_config_file(source, **place) is not None:
        raise _Refused(
            f"{source} has an adapter_config.json: updates of an encoder (LoRA), which are not taken in place of its "
            "weights. Merge them first, as save_pretrained of this package does, or delete that file."
        )
