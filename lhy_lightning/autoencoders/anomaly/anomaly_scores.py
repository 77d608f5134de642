"""How strange a picture is: one function per score, higher = stranger. Plain torch, and a row at a time in effect:
no score depends on what else is in the batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lhy_lightning.metrics.generation.feature_statistics import FeatureStatistics

SCORES = ("pixel", "patch", "feature", "latent", "classifier")


def error_map(images: Tensor, results: Tensor) -> Tensor:
    """Squared error of each pixel, mean over channels: (N, C, H, W) twice to (N, H, W) float32."""
    return (images.float() - results.float()).square().mean(1)


def pixel_score(errors: Tensor) -> Tensor:
    """Mean of an error map (N, H, W): (N,), the homework's own score."""
    return errors.flatten(1).mean(1)


def smoothed(errors: Tensor, side: int) -> Tensor:
    """Mean of an error map (N, H, W) over the square of `side` (odd) pixels round each pixel; fewer at the edges."""
    return F.avg_pool2d(errors[:, None], side, stride=1, padding=side // 2, count_include_pad=False)[:, 0]


def patch_score(errors: Tensor, side: int) -> Tensor:
    """The strangest square of `side` x `side` pixels of an error map (N, H, W): (N,), for small defects."""
    return smoothed(errors, side).flatten(1).amax(1)


def activations(encoder: nn.Module, images: Tensor) -> list[Tensor]:
    """What the ReLUs of an encoder give for pictures, in order: (N, D, ...) each."""
    found: list[Tensor] = []
    handles = [
        module.register_forward_hook(lambda _module, _inputs, output: found.append(output))
        for module in encoder.modules()
        if isinstance(module, nn.ReLU)
    ]
    try:
        encoder(images)
    finally:
        for handle in handles:
            handle.remove()
    return found


def feature_score(first: list[Tensor], second: list[Tensor]) -> Tensor:
    """Distance of activations of two pictures, each place's vector of unit length (as in LPIPS, Zhang et al. 2018).

    Args:
        first, second: (N, D, ...) a layer, of the picture and of what came back of it.

    Returns:
        (N,), the mean over places, added over layers.
    """
    distances = [
        (F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)).square().sum(1)
        for a, b in zip(first, second, strict=True)
    ]
    return torch.stack([places.reshape(len(places), -1).mean(1) for places in distances]).sum(0)


def latent_statistics(latents: Tensor, *, shrinkage: float = 1e-3) -> tuple[Tensor, Tensor]:
    """Mean and inverse covariance of normal latents.

    Args:
        latents: (N, Z).
        shrinkage: share of the mean variance that is added to each one, for fewer latents than numbers, or dead ones.

    Returns:
        (Z,) and (Z, Z) float32.
    """
    statistics = FeatureStatistics.of(latents)
    covariance = statistics.covariance
    variance = covariance.diagonal().mean().clamp(min=1e-12)
    covariance.diagonal().add_(shrinkage * variance)
    return statistics.mean.float(), torch.cholesky_inverse(torch.linalg.cholesky(covariance)).float()


def latent_score(latents: Tensor, mean: Tensor, precision: Tensor) -> Tensor:
    """Squared Mahalanobis distance a number (Lee et al. 2018): (N, Z), (Z,), (Z, Z) to (N,)."""
    centred = latents.float() - mean
    return ((centred @ precision) * centred).mean(1)


def classifier_score(logits: Tensor, kind: int) -> Tensor:
    """-log p(kind | picture) of a classifier of made changes: (N, K) logits to (N,).

    With kind 0, how little it thinks that nothing was changed. For moved pictures take it of every move, and add.
    """
    return F.cross_entropy(logits.float(), torch.full((len(logits),), kind, device=logits.device), reduction="none")
