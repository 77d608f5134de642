"""The networks of this topic by name. Plain torch: pictures (N, C, H, W) in [-1, 1] to logits (N, K)."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from torch import nn

from lhy_lightning.cnn.homework import HomeworkNet
from lhy_lightning.cnn.resnet import ResNet
from lhy_lightning.cnn.vgg import VGG

__all__ = ["NETWORKS", "VGG", "HomeworkNet", "ResNet", "network_by_name"]

# name: class, and its numbers where none are given
NETWORKS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "homework": (HomeworkNet, {}),
    "vgg": (VGG, {"depth": 9, "width": 64}),
    "resnet": (ResNet, {"stem": "small", "depth": 20, "width": 16}),
    "resnet_large": (ResNet, {"stem": "large", "depth": 18, "width": 64}),
}


def network_by_name(
    name: str,
    num_classes: int,
    *,
    channels: int,
    image_size: tuple[int, int],
    depth: int | None = None,
    width: int | None = None,
    norm: str = "batch",
    dropout: float = 0.0,
) -> nn.Module:
    """Builds "homework", "vgg", "resnet" (small pictures) or "resnet_large".

    Args:
        name: one of the four.
        num_classes: classes K.
        channels: channels of a picture.
        image_size: height and width of a picture.
        depth: layers with weights; None for the network's own.
        width: channels of the first stage; None for the network's own.
        norm: "batch", "group" or "none".
        dropout: share of features set to zero before the last linear layer.

    Raises:
        ValueError: no network of this name, a number that it does not take, or pictures that are too small for it.
    """
    if name not in NETWORKS:
        near = get_close_matches(name, NETWORKS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f": one of {', '.join(NETWORKS)}"
        raise ValueError(f"no network is called {name!r}{hint}")
    kind, numbers = NETWORKS[name]
    given = {key: value for key, value in (("depth", depth), ("width", width)) if value is not None}
    if name == "homework" and given:
        raise ValueError(f"the homework's network has a fixed shape: leave out {' and '.join(given)}, or take vgg")
    return kind(
        num_classes, channels=channels, image_size=image_size, norm=norm, dropout=dropout, **{**numbers, **given}
    )
