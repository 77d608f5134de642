"""Parameter groups for fine-tuning: decay kept off norms and biases, lower rates for lower layers."""

from __future__ import annotations

from typing import Any

from torch import nn

from lhy_lightning.bert.layer_depth import parameter_depths


def layer_groups(network: nn.Module, lr: float, weight_decay: float, layer_decay: float = 1.0) -> list[dict[str, Any]]:
    """Groups of the trainable parameters; the rate of a layer is `layer_decay` times that of the layer above it.

    With L layers the head learns at `lr`, layer k at lr · layer_decay^(L + 1 − k), the embeddings at
    lr · layer_decay^(L + 1) (Howard and Ruder 2018, https://arxiv.org/abs/1801.06146, section 3.2). What has one axis
    (norms, biases) does not decay.

    Raises:
        ValueError: a decay outside (0, 1], or nothing is left to train.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay={layer_decay}: above 0, at most 1, which gives all layers one rate.")
    depths: dict[str, int] = {}
    top = 0
    if layer_decay != 1:  # a network of one's own needs no layers that can be told apart
        depths, layers = parameter_depths(network)
        top = layers + 1
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        depth, decays = depths.get(name, top), parameter.ndim >= 2
        group = groups.setdefault(
            (depth, decays),
            {"params": [], "lr": lr * layer_decay ** (top - depth), "weight_decay": weight_decay if decays else 0.0},
        )
        group["params"].append(parameter)
    if not groups:
        raise ValueError("nothing is left to train: every parameter is frozen.")
    return [groups[key] for key in sorted(groups)]
