"""How deep in the encoder a weight lies, whatever the family: what freezing and layer-wise learning rates go by."""

from __future__ import annotations

from typing import Any

from torch import nn

_ON_TOP = ("pooler", "final_norm")


def encoder_layers(network: Any) -> list[nn.Module]:
    """The layers of a `transformers` encoder, from the first to the last; ALBERT has one, which it runs often.

    Args:
        network: a `PreTrainedModel`, with or without a head, or its PEFT wrapper.

    Raises:
        ValueError: there is no list of layers as long as the configuration says.
    """
    base, config = network.base_model, network.config
    if hasattr(base, "model") and not hasattr(base, "base_model_prefix"):  # PEFT's base_model is its tuner
        base = base.model.base_model
    lists = [part for part in base.modules() if isinstance(part, nn.ModuleList) and len(part)]
    wanted = int(config.num_hidden_layers)
    exact = [part for part in lists if len(part) == wanted] or lists[:1]
    if not exact:
        raise ValueError(f"no list of {wanted} layers in a {config.model_type} encoder: freeze and decay nothing.")
    return list(exact[0])


def parameter_depths(network: Any) -> tuple[dict[str, int], int]:
    """The depth of every parameter: 0 for embeddings, k for the k-th layer, L + 1 for what comes after the L layers.

    Returns:
        Depth by name, and L.
    """
    layers = encoder_layers(network)
    of_layer = {id(p): depth for depth, layer in enumerate(layers, 1) for p in layer.parameters()}
    encoder = network.base_model.model.base_model if _wrapped(network) else network.base_model
    below = {
        id(p)
        for name, child in encoder.named_children()
        if not name.startswith(_ON_TOP)
        for p in child.parameters()
        if id(p) not in of_layer
    }
    depths = {}
    for name, parameter in network.named_parameters():
        key = id(parameter)
        depths[name] = of_layer.get(key, 0 if key in below else len(layers) + 1)
    return depths, len(layers)


def freeze(network: Any, layers: int) -> None:
    """The embeddings and the first so many layers stay as they are.

    Raises:
        ValueError: there are not so many layers.
    """
    depths, there = parameter_depths(network)
    if not 0 <= layers <= there:
        raise ValueError(f"freeze_layers={layers}: the encoder has {there} layers (0 freezes the embeddings alone).")
    for name, parameter in network.named_parameters():
        if depths[name] <= layers:
            parameter.requires_grad_(False)


def _wrapped(network: Any) -> bool:
    return hasattr(network, "peft_config") and hasattr(network.base_model, "model")
