"""Conditional GAN: how a label enters generator and discriminator. Shared by all pairs of networks here."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

CONDITIONS = ("none", "concat", "projection", "auxiliary")
Scores = Tensor | tuple[Tensor, Tensor]
"""What a discriminator returns: scores (N,), or with condition="auxiliary" also class logits (N, K)."""


def check_condition(condition: str, num_classes: int) -> None:
    """Refuse an unknown condition, or one without classes.

    Raises:
        ValueError: names what was given and what is accepted.
    """
    if condition not in CONDITIONS:
        raise ValueError(f"condition is one of {', '.join(CONDITIONS)}, not {condition!r}")
    if condition != "none" and num_classes < 2:
        raise ValueError(
            f"condition={condition!r} needs at least two classes, not num_classes={num_classes}: give the number of "
            "classes of the data, or condition='none'"
        )


def required(labels: Tensor | None, network: str) -> Tensor:
    """The labels of a conditional network.

    Raises:
        ValueError: there are none.
    """
    if labels is None:
        raise ValueError(f"this {network} is conditional on the class: it needs labels, (N,) int64")
    return labels


class LabelledNoise(nn.Module):
    """Noise and a learned vector of the label side by side.

    After Mirza and Osindero 2014 (https://arxiv.org/abs/1411.1784). The label gets as many numbers as the noise, both
    with unit variance at the start: beside a hundred normal numbers a one-hot label would at first hardly be seen.

    Args:
        num_classes: classes K.
        latent_dim: numbers of noise Z.
    """

    def __init__(self, num_classes: int, latent_dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_classes, latent_dim)

    def forward(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        """(N, Z) and (N,) to (N, 2 Z)."""
        vectors = self.embedding(required(labels, "generator"))
        return torch.cat([noise, vectors.to(noise.dtype)], dim=1)


class LabelMap(nn.Module):
    """A picture with one more channel: a map that is learned for each class (the "concat" discriminator).

    Args:
        num_classes: classes K.
        image_size: height and width of the pictures.
    """

    def __init__(self, num_classes: int, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.embedding = nn.Embedding(num_classes, image_size * image_size)

    def forward(self, pictures: Tensor, labels: Tensor | None) -> Tensor:
        """(N, C, H, W) and (N,) to (N, C + 1, H, W)."""
        maps = self.embedding(required(labels, "discriminator")).view(-1, 1, self.image_size, self.image_size)
        return torch.cat([pictures, maps.to(pictures.dtype)], dim=1)


class ClassProjection(nn.Module):
    """<V[y], phi(x)>, how far the features go in the direction of the class.

    Equation 3 of Miyato and Koyama 2018 (https://arxiv.org/abs/1802.05637).

    Args:
        num_classes: classes K.
        features: numbers D of phi(x).
    """

    def __init__(self, num_classes: int, features: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_classes, features)
        nn.init.xavier_uniform_(self.embedding.weight)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """(N, D) and (N,) to (N,)."""
        projection: Tensor = (self.embedding(required(labels, "discriminator")) * features).sum(1)
        return projection


class ConditionalHead(nn.Module):
    """The last step of every discriminator: what the label adds to a score. phi(x) is the last map summed over pixels.

    - "none", "concat": nothing (concatenation happens at the picture).
    - "projection": score + <V[y], phi(x)>.
    - "auxiliary": a second output, logits of the class from phi(x) (Odena et al. 2017,
      https://arxiv.org/abs/1610.09585).

    Args:
        condition: one of `CONDITIONS`.
        num_classes: classes K.
        features: numbers D of phi(x), the channels of the last map.
    """

    def __init__(self, condition: str, num_classes: int, features: int) -> None:
        super().__init__()
        check_condition(condition, num_classes)
        self.projection = ClassProjection(num_classes, features) if condition == "projection" else None
        self.classifier = nn.Linear(features, num_classes) if condition == "auxiliary" else None

    def forward(self, scores: Tensor, maps: Tensor, labels: Tensor | None) -> Scores:
        """Scores (N,), last maps (N, D, h, w) and labels (N,) to scores (N,) or (scores, class logits (N, K))."""
        if self.projection is not None:
            with_class: Tensor = scores + self.projection(maps.sum((2, 3)), labels)
            return with_class
        if self.classifier is not None:
            return scores, self.classifier(maps.sum((2, 3)))
        return scores


class ConditionalBatchNorm(nn.Module):
    """Batch normalization with one gain and bias for each class.

    De Vries et al. 2017 (https://arxiv.org/abs/1707.00683), as in the generator of Miyato and Koyama 2018.

    Args:
        num_classes: classes K.
        channels: channels of the map.
    """

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Embedding(num_classes, channels)
        self.bias = nn.Embedding(num_classes, channels)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, maps: Tensor, labels: Tensor | None) -> Tensor:
        """(N, C, H, W) and (N,) to (N, C, H, W)."""
        labels = required(labels, "generator")
        gain, bias = self.gain(labels)[:, :, None, None], self.bias(labels)[:, :, None, None]
        return torch.addcmul(bias.to(maps.dtype), gain.to(maps.dtype), self.norm(maps).to(maps.dtype))


def auxiliary_loss(class_logits: Tensor, labels: Tensor) -> Tensor:
    """-E log P(class = y | x), which discriminator (real and fake) and generator (fake) add to their adversarial loss.

    Equation 3 of Odena et al. 2017 (https://arxiv.org/abs/1610.09585).

    Args:
        class_logits: (N, K); half precision is widened to float32.
        labels: (N,) int64, the class of the real picture or the one that was asked for.

    Returns:
        Scalar.
    """
    return cross_entropy(class_logits.float(), labels)
