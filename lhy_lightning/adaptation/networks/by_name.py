"""Feature extractors, label predictors and domain classifiers. Plain torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise

import torch
from torch import Tensor, nn

from lhy_lightning.layers.norms import norm_layer

NETWORKS = ("paper", "homework", "dirt")
OWN_WIDTH_AND_NORM = {"paper": (32, "none"), "homework": (64, "batch"), "dirt": (64, "batch")}
OWN_LABEL_HIDDEN = {"paper": (100, 100), "homework": (512, 512)}


def feature_extractor(
    name: str, channels: int, image_size: tuple[int, int], *, width: int | None = None, norm: str | None = None
) -> nn.Sequential:
    """Builds an extractor by its name: pictures (N, C, H, W) in [-1, 1] to features (N, D).

    Args:
        name: "paper" is that of Ganin et al. 2016 (https://arxiv.org/abs/1505.07818), figure 4a, for MNIST: two 5x5
            convolutions of 32 and 48 channels, each with ReLU and 2x2 maximum; they are padded where a side is under
            16 pixels. "homework" is homework 11's: five 3x3 convolutions of 64 to 512 channels with batch norm and 2x2
            maximum. "dirt" is the smaller one of Shu et al. 2018 (https://arxiv.org/abs/1802.08735), table 6: each
            picture normalized, then twice three 3x3 convolutions of 64 channels, 2x2 maximum, dropout and noise.
        channels: C.
        image_size: (H, W).
        width: channels of the first convolution; None for the network's own: 32, 64, 64.
        norm: behind convolutions: "batch", "group" or "none"; None for the network's own: none in "paper".

    Raises:
        ValueError: no extractor of this name, or pictures that are too small for it.
    """
    if name not in NETWORKS:
        near = get_close_matches(name, NETWORKS, n=1)
        raise ValueError(f"no network is called {name!r}" + (f"; did you mean {near[0]!r}?" if near else
                         f": one of {', '.join(NETWORKS)}"))  # fmt: skip
    if width is not None and width < 1:
        raise ValueError(f"width={width}: a convolution has at least 1 channel.")
    least = {"paper": 8, "homework": 32, "dirt": 8}[name]
    if min(image_size) < least:
        raise ValueError(
            f"pictures of {image_size[0]}x{image_size[1]} are too small for network={name!r}, which takes {least}x"
            f"{least} and more: set --data.image_size, or take network='paper'"
        )
    width, norm = _width_and_norm(name, width, norm)
    if name == "paper":
        padding = 0 if min(image_size) >= 16 else 2
        layers = [*_convolution(channels, width, 5, norm, padding), nn.MaxPool2d(2)]
        layers += [*_convolution(width, width * 3 // 2, 5, norm, padding), nn.MaxPool2d(2)]
    elif name == "homework":
        channel_list = [channels, width, 2 * width, 4 * width, 4 * width, 8 * width]
        layers = []
        for before, after in pairwise(channel_list):
            layers += [*_convolution(before, after, 3, norm, 1), nn.MaxPool2d(2)]
    else:
        layers = [nn.InstanceNorm2d(channels)]
        before = channels
        for _ in range(2):
            for _ in range(3):
                layers += _convolution(before, width, 3, norm, 1, slope=0.1)
                before = width
            layers += [nn.MaxPool2d(2), nn.Dropout(), GaussianNoise()]
    return nn.Sequential(*layers, nn.Flatten())


def _width_and_norm(name: str, width: int | None, norm: str | None) -> tuple[int, str]:
    own_width, own_norm = OWN_WIDTH_AND_NORM[name]
    return width or own_width, norm or own_norm


def _convolution(
    before: int, after: int, kernel: int, norm: str, padding: int, *, slope: float = 0.0
) -> list[nn.Module]:
    activation = nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)
    between = [] if norm == "none" else [norm_layer(norm, after)]
    return [nn.Conv2d(before, after, kernel, padding=padding), *between, activation]


class GaussianNoise(nn.Module):
    """Adds noise of a standard deviation in training."""

    def __init__(self, deviation: float = 1.0) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, inputs: Tensor) -> Tensor:
        """Any shape to the same."""
        if not self.training:
            return inputs
        if inputs.dim() == 4 and inputs.is_contiguous(memory_format=torch.channels_last):
            noise = torch.randn_like(inputs.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # in memory's order: 7x as fast
        else:
            noise = torch.randn_like(inputs)
        return inputs + self.deviation * noise


def label_predictor(
    name: str, features: int, classes: int, image_size: tuple[int, int], *, hidden: Sequence[int] | None = None,
    dropout: float = 0.0, width: int | None = None, norm: str | None = None,
) -> nn.Sequential:  # fmt: skip
    """Builds a network's own label predictor: features (N, D) to logits (N, K).

    Args:
        name: that of "paper" has two hidden layers of 100 units, that of "homework" two of 512; that of "dirt" three
            more 3x3 convolutions, the mean over the picture and a linear layer (Shu et al. 2018, table 6).
        features: D.
        classes: K.
        image_size: (H, W) of the pictures that the features are of.
        hidden: units of the hidden layers of a perceptron in its place; None for the network's own.
        dropout: share of a perceptron's units that are set to zero.
        width, norm: as in `feature_extractor`.

    Raises:
        ValueError: `dropout`, or features of another extractor, for the convolutions; or as in `perceptron`.
    """
    if name != "dirt" or hidden is not None:
        return perceptron(features, OWN_LABEL_HIDDEN[name] if hidden is None else hidden, classes, dropout=dropout)
    if dropout:
        raise ValueError(f"dropout={dropout}: the dirt network's label predictor has none; give label_hidden too.")
    width, norm = _width_and_norm(name, width, norm)
    picture = (width, image_size[0] // 4, image_size[1] // 4)
    if features != math.prod(picture):
        raise ValueError(
            f"{features} features are not the {picture} of network='dirt': give label_hidden for a perceptron."
        )
    convolutions = [layer for _ in range(3) for layer in _convolution(width, width, 3, norm, 1, slope=0.1)]
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(nn.Unflatten(1, picture), *convolutions, *pool, nn.Linear(width, classes))


def perceptron(
    features: int, hidden: Sequence[int], outputs: int, *, norm: str = "none", dropout: float = 0.0
) -> nn.Sequential:
    """A label predictor or domain classifier: (N, D) to (N, outputs).

    Args:
        features: D.
        hidden: units of each hidden layer; without any it is linear.
        outputs: classes, or 1 for a domain classifier.
        norm: "batch" between a layer and its ReLU, or "none".
        dropout: share of the units set to zero behind each hidden layer.

    Raises:
        ValueError: a number of units below 1, or another norm.
    """
    if any(units < 1 for units in hidden):
        raise ValueError(f"hidden={tuple(hidden)}: a layer has at least 1 unit.")
    if norm not in ("batch", "none"):
        raise ValueError(f"norm={norm!r} of a perceptron: 'batch' or 'none'.")
    layers: list[nn.Module] = []
    for units in hidden:
        layers += [nn.Linear(features, units), *([nn.BatchNorm1d(units)] if norm == "batch" else []), nn.ReLU()]
        layers += [nn.Dropout(dropout)] if dropout else []
        features = units
    return nn.Sequential(*layers, nn.Linear(features, outputs))


@torch.no_grad()
def features_of(extractor: nn.Module, channels: int, image_size: tuple[int, int]) -> int:
    """How many features D an extractor gives of a picture."""
    training = extractor.training
    numbers: Tensor = extractor.eval()(torch.zeros(1, channels, *image_size))
    extractor.train(training)
    return numbers.shape[1]
