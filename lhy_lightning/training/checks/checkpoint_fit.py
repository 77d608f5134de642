"""Whether a checkpoint fits the module that is to take it: what lacks, what differs, and the settings it comes from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import nn

from lhy_lightning.training.checks.resumed_settings import changed_settings, told

TO_GO_ON = ("global_step", "epoch", "loops", "optimizer_states", "lr_schedulers", "pytorch-lightning_version")
"""What Lightning needs of a checkpoint besides weights, for training to go on."""

MOST_SETTINGS = 4


def check_resumable(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Looks whether training can go on from a checkpoint.

    Raises:
        ValueError: it holds weights alone, or is not whole.
    """
    if lacking := [name for name in TO_GO_ON if name not in checkpoint]:
        raise ValueError(
            f"{path} lacks {', '.join(lacking)}, so no training goes on from it: take the run's last.ckpt. "
            "`lhy test` and `lhy predict` need its weights alone."
        )


def mismatch(module: nn.Module, state: Mapping[str, Any], settings: Mapping[str, Any]) -> str | None:
    """Why weights do not fit a module, in one sentence; None where names and shapes are the same.

    Args:
        module: about to take them.
        state: the weights by name.
        settings: of the module that they were saved of, as far as they are known.
    """
    own = module.state_dict()
    shape: dict[str, Any] = {name: getattr(value, "shape", None) for name, value in state.items()}
    other = next((name for name, value in own.items() if name in state and shape[name] != value.shape), None)
    lacking, more = [name for name in own if name not in state], [name for name in state if name not in own]
    if other is not None:
        there = "no tensor" if shape[other] is None else f"of shape {tuple(shape[other])}"
        found = f"{other} is {there} in the checkpoint and of shape {tuple(own[other].shape)} here"
    elif lacking or more:
        found = " and ".join(
            f"{who} {names[0]}" + (f" and {len(names) - 1:,} more" if len(names) > 1 else "")
            for who, names in (("the checkpoint lacks", lacking), ("this module has no", more))
            if names
        )
    else:
        return None
    changes = changed_settings(settings, getattr(module, "hparams", {}))
    if not changes:
        return f"{found}: the checkpoint is damaged, or was made by another version of {type(module).__name__}."
    few = dict(list(changes.items())[:MOST_SETTINGS])
    more_settings = f" and {len(changes) - len(few)} more" if len(changes) > len(few) else ""
    return f"{told(few)}{more_settings}: {found}. Leave what was so far as it was, or start a new run."


def json_settings(path: Path) -> dict[str, Any]:
    """Reads the settings of a saved module.

    Raises:
        ValueError: the file is cut off, or holds something else.
    """
    try:
        settings = json.loads(path.read_text("utf8"))
    except ValueError as error:  # not UTF-8 either
        raise ValueError(
            f"{path} ({path.stat().st_size:,} bytes) is no JSON: it is cut off, or another file."
        ) from error
    if not isinstance(settings, dict):
        kind = "a list" if isinstance(settings, list) else repr(settings)[:40]
        raise ValueError(f"{path} holds {kind} and no settings by name.")
    return settings


def load_safetensors(module: nn.Module, path: Path) -> None:
    """Loads the weights of a module that was saved by `save_pretrained`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is cut off or another file, or its weights are not the module's.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} has no {path.name}: `save_pretrained` writes it.")
    try:
        load_model(module, str(path), strict=True)
    except SafetensorError as error:
        raise ValueError(
            f"{path} ({path.stat().st_size:,} bytes) cannot be read as safetensors: it is cut off, or another file."
        ) from error
    except RuntimeError as error:  # names that lack; other shapes are told of by the module itself
        raise ValueError(f"{path} does not fit config.json: {' '.join(str(error).split())[:300]}.") from error
