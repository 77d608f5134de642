"""The normalization of a generator's or discriminator's maps, by name."""

from __future__ import annotations

from torch import nn

NORMS = ("batch", "instance", "layer", "none")


def map_norm(norm: str, channels: int) -> nn.Module:
    """The normalization of a map (N, channels, H, W).

    Args:
        norm: "batch" (Ioffe and Szegedy 2015); "instance", without weights (Ulyanov et al. 2016); "layer" over channels
            and pixels together with a gain and bias a channel, as in WGAN-GP; or "none".
        channels: channels of the map.

    Raises:
        ValueError: `norm` is none of the four.
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "instance":
        return nn.InstanceNorm2d(channels)
    if norm == "layer":
        return nn.GroupNorm(1, channels)
    if norm == "none":
        return nn.Identity()
    raise ValueError(f"norm is one of {', '.join(NORMS)}, not {norm!r}")


def has_batch_norm(network: nn.Module) -> bool:
    """Whether samples of a batch share statistics in this network: unfit for gradient penalties and fused batches.

    Instance normalization is none, although torch derives both from one class.
    """
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    return any(isinstance(module, kinds) for module in network.modules())
