"""What a conditional domain discriminator looks at: features together with class probabilities (CDAN).

Long et al. 2018 (https://arxiv.org/abs/1705.10667). The functions let gradients through the probabilities; the
authors' code detaches them, which is the caller's choice.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.special import entr

from lhy_lightning.layers.precision import widened

LARGEST_PRODUCT = 4096
"""Features times classes up to which the paper takes the whole outer product."""


def multilinear_map(features: Tensor, probabilities: Tensor) -> Tensor:
    """Outer product of a row's features and class probabilities: (N, D) and (N, K) to (N, D * K) float32.

    T(f, g) = f ⊗ g, section 3 of the paper: a class's features lie apart from another's. Feature-major: number
    d * K + k is f_d g_k.

    Raises:
        ValueError: not (N, D) and (N, K) of the same N.
    """
    _check(features, probabilities)
    return (widened(features)[:, :, None] * widened(probabilities)[:, None, :]).flatten(1)


class MultilinearMap(nn.Module):
    """`multilinear_map` as a module that knows its `output_size`."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.output_size = features * classes

    def forward(self, features: Tensor, probabilities: Tensor) -> Tensor:
        """(N, D) and (N, K) to (N, D * K) float32."""
        return multilinear_map(features, probabilities)


class RandomizedMap(nn.Module):
    """A short stand-in for the outer product, with its inner products on average.

    T(f, g) = (R_f f) ⊙ (R_g g) / sqrt(d), section 3 of the paper: R_f and R_g standard normal, drawn once from
    torch's generator, and fixed (buffers: they are in the checkpoint and the same on every rank).

    Args:
        features, classes: D and K.
        output_size: d; more is nearer to the outer product.

    Raises:
        ValueError: a size below one.
    """

    feature_projection: Tensor
    class_projection: Tensor

    def __init__(self, features: int, classes: int, *, output_size: int = 1024) -> None:
        super().__init__()
        if min(features, classes, output_size) < 1:
            raise ValueError(f"sizes are at least one, not {features}, {classes} and {output_size}")
        self.output_size = output_size
        self.register_buffer("feature_projection", torch.randn(features, output_size))
        self.register_buffer("class_projection", torch.randn(classes, output_size))

    def forward(self, features: Tensor, probabilities: Tensor) -> Tensor:
        """(N, D) and (N, K) to (N, `output_size`) float32.

        Raises:
            ValueError: not (N, D) and (N, K) of the same N.
        """
        _check(features, probabilities)
        features, probabilities = widened(features), widened(probabilities)
        with torch.autocast(features.device.type, enabled=False):
            projected = features @ self.feature_projection.to(features)  # (N, d)
            classes = probabilities @ self.class_projection.to(probabilities)  # (N, d)
        return projected * classes / math.sqrt(self.output_size)


def conditional_map(features: int, classes: int, *, randomized_size: int = 1024) -> MultilinearMap | RandomizedMap:
    """The map that the paper takes for these sizes: the outer product up to 4,096 numbers, else the randomized one.

    Args:
        features, classes: D and K.
        randomized_size: numbers that the randomized map gives.

    Returns:
        A module whose `output_size` is the discriminator's input size.
    """
    if features * classes <= LARGEST_PRODUCT:
        return MultilinearMap(features, classes)
    return RandomizedMap(features, classes, output_size=randomized_size)


def entropy_weights(probabilities: Tensor) -> Tensor:
    """Weights of one domain's rows in the discriminator's loss (CDAN+E): sure predictions are easy to transfer.

    w = 1 + exp(-H(g)), section 3 of the paper, divided by its mean over the rows given, as in the authors' code: call
    it once for each domain.

    Args:
        probabilities: (N, K).

    Returns:
        (N,) float32 without gradient; their sum is N.

    Raises:
        ValueError: not (N, K).
    """
    if probabilities.dim() != 2:
        raise ValueError(f"probabilities are (N, K), not {tuple(probabilities.shape)}")
    weights: Tensor = 1 + (-entr(widened(probabilities.detach())).sum(1)).exp()
    return weights / weights.mean()


def _check(features: Tensor, probabilities: Tensor) -> None:
    if features.dim() != 2 or probabilities.dim() != 2 or len(features) != len(probabilities):
        raise ValueError(
            "a conditional discriminator takes features (N, D) and probabilities (N, K), not "
            f"{tuple(features.shape)} and {tuple(probabilities.shape)}"
        )
