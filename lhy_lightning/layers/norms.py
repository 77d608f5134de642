"""The normalization after a convolution, chosen by a plain name."""

from __future__ import annotations

from math import gcd

from torch import nn

NORMS = ("batch", "group", "none")


def norm_layer(norm: str, channels: int, *, groups: int = 8) -> nn.Module:
    """Batch normalization, group normalization or nothing, for a map of (N, channels, H, W).

    Args:
        norm: "batch" (Ioffe and Szegedy 2015), "group" (Wu and He 2018) or "none".
        channels: channels of the map.
        groups: groups wanted; the largest common divisor with `channels` is taken, so any width works.

    Raises:
        ValueError: `norm` is none of the three.
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "group":
        return nn.GroupNorm(gcd(groups, channels), channels)
    if norm == "none":
        return nn.Identity()
    raise ValueError(f"norm is one of {', '.join(NORMS)}, not {norm!r}")
