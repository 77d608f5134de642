"""LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685) through `peft`: W + (alpha / r) B A, with W frozen."""

from __future__ import annotations

import warnings
from copy import deepcopy
from typing import Any

from torch import nn

from lhy_lightning.bert.layer_depth import encoder_layers
from lhy_lightning.core.extras import need


def add_lora(network: Any, *, rank: int, alpha: float, dropout: float) -> Any:
    """Freezes an encoder and gives every linear map of its layers a low-rank update; the head is trained as ever.

    Args:
        network: a `PreTrainedModel` with a head; it is changed in place.
        rank: r, the rank of the updates.
        alpha: updates are scaled by alpha / rank.
        dropout: of the input of the updates.

    Returns:
        PEFT's wrapper round the network.

    Raises:
        ImportError: `peft` is not installed.
        ValueError: there is no such rank.
    """
    if rank < 1:
        raise ValueError(f"lora_rank={rank}: at least 1, or 0 to train everything.")
    need("peft", f"lora_rank={rank}")
    from peft import LoraConfig, get_peft_model

    inside = {id(part) for layer in encoder_layers(network) for part in layer.modules()}
    targets = [name for name, part in network.named_modules() if id(part) in inside and isinstance(part, nn.Linear)]
    base = network.base_model_prefix
    head = [name for name, part in network.named_children() if name != base and any(True for _ in part.parameters())]
    if getattr(network.base_model, "pooler", None) is not None:
        head.append(f"{base}.pooler")
    numbers: dict[str, Any] = {"r": rank, "lora_alpha": alpha, "lora_dropout": dropout}
    with warnings.catch_warnings():  # peft asks transformers by a name that has a new one
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(network, LoraConfig(target_modules=targets, modules_to_save=head, **numbers))


def without_lora(network: Any) -> Any:
    """The network with its updates added into its weights, a `PreTrainedModel`; a network without LoRA as it is."""
    if not hasattr(network, "merge_and_unload"):
        return network
    return deepcopy(network).merge_and_unload()
