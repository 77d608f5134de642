"""Inception v3 as published for FID, in plain torch: its layers and weight names. No weights come with the package."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NUM_FEATURES, NUM_CLASSES = 2048, 1008
SIDE = 299  # pixels that the network was trained with

Size = int | tuple[int, int]


class BasicConv2d(nn.Module):
    """Convolution without bias, batch normalization, ReLU; "same" padding unless it is said otherwise."""

    def __init__(self, before: int, after: int, kernel: Size, *, stride: int = 1, padding: Size | None = None) -> None:
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        same = (height // 2, width // 2)
        self.conv = nn.Conv2d(before, after, kernel, stride, same if padding is None else padding, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, h, w)."""
        return F.relu(self.bn(self.conv(x)), inplace=True)


def average_pool(x: Tensor) -> Tensor:
    """3x3 averages of the same size; as in TensorFlow, what lies outside of the map is not averaged in."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class InceptionA(nn.Module):
    """At 35x35: 1x1, 5x5 and doubled 3x3 convolutions and a pooling, side by side."""

    def __init__(self, before: int, pool_features: int) -> None:
        super().__init__()
        self.branch1x1 = BasicConv2d(before, 64, 1)
        self.branch5x5_1 = BasicConv2d(before, 48, 1)
        self.branch5x5_2 = BasicConv2d(48, 64, 5)
        self.branch3x3dbl_1 = BasicConv2d(before, 64, 1)
        self.branch3x3dbl_2 = BasicConv2d(64, 96, 3)
        self.branch3x3dbl_3 = BasicConv2d(96, 96, 3)
        self.branch_pool = BasicConv2d(before, pool_features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, 35, 35) to (N, 224 + pool_features, 35, 35)."""
        once = self.branch1x1(x)
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([once, five, three, self.branch_pool(average_pool(x))], 1)


class InceptionB(nn.Module):
    """From 35x35 to 17x17."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.branch3x3 = BasicConv2d(before, 384, 3, stride=2, padding=0)
        self.branch3x3dbl_1 = BasicConv2d(before, 64, 1)
        self.branch3x3dbl_2 = BasicConv2d(64, 96, 3)
        self.branch3x3dbl_3 = BasicConv2d(96, 96, 3, stride=2, padding=0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, 35, 35) to (N, 480 + before, 17, 17)."""
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), three, F.max_pool2d(x, 3, 2)], 1)


class InceptionC(nn.Module):
    """At 17x17: 7x7 convolutions as 1x7 and 7x1."""

    def __init__(self, before: int, inner: int) -> None:
        super().__init__()
        wide, high = (1, 7), (7, 1)
        self.branch1x1 = BasicConv2d(before, 192, 1)
        self.branch7x7_1 = BasicConv2d(before, inner, 1)
        self.branch7x7_2 = BasicConv2d(inner, inner, wide)
        self.branch7x7_3 = BasicConv2d(inner, 192, high)
        self.branch7x7dbl_1 = BasicConv2d(before, inner, 1)
        self.branch7x7dbl_2 = BasicConv2d(inner, inner, high)
        self.branch7x7dbl_3 = BasicConv2d(inner, inner, wide)
        self.branch7x7dbl_4 = BasicConv2d(inner, inner, high)
        self.branch7x7dbl_5 = BasicConv2d(inner, 192, wide)
        self.branch_pool = BasicConv2d(before, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, 17, 17) to (N, 768, 17, 17)."""
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return torch.cat([self.branch1x1(x), seven, twice, self.branch_pool(average_pool(x))], 1)


class InceptionD(nn.Module):
    """From 17x17 to 8x8."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.branch3x3_1 = BasicConv2d(before, 192, 1)
        self.branch3x3_2 = BasicConv2d(192, 320, 3, stride=2, padding=0)
        self.branch7x7x3_1 = BasicConv2d(before, 192, 1)
        self.branch7x7x3_2 = BasicConv2d(192, 192, (1, 7))
        self.branch7x7x3_3 = BasicConv2d(192, 192, (7, 1))
        self.branch7x7x3_4 = BasicConv2d(192, 192, 3, stride=2, padding=0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, 17, 17) to (N, 512 + before, 8, 8)."""
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([three, seven, F.max_pool2d(x, 3, 2)], 1)


class InceptionE(nn.Module):
    """At 8x8: 3x3 convolutions as 1x3 beside 3x1. The published graph's last one pools by maximum, not by average."""

    def __init__(self, before: int, pool: str) -> None:
        super().__init__()
        wide, high = (1, 3), (3, 1)
        self.pool = pool
        self.branch1x1 = BasicConv2d(before, 320, 1)
        self.branch3x3_1 = BasicConv2d(before, 384, 1)
        self.branch3x3_2a = BasicConv2d(384, 384, wide)
        self.branch3x3_2b = BasicConv2d(384, 384, high)
        self.branch3x3dbl_1 = BasicConv2d(before, 448, 1)
        self.branch3x3dbl_2 = BasicConv2d(448, 384, 3)
        self.branch3x3dbl_3a = BasicConv2d(384, 384, wide)
        self.branch3x3dbl_3b = BasicConv2d(384, 384, high)
        self.branch_pool = BasicConv2d(before, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, 8, 8) to (N, 2048, 8, 8)."""
        once = self.branch3x3_1(x)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = average_pool(x) if self.pool == "average" else F.max_pool2d(x, 3, 1, 1)
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch3x3_2a(once),
                self.branch3x3_2b(once),
                self.branch3x3dbl_3a(twice),
                self.branch3x3dbl_3b(twice),
                self.branch_pool(pooled),
            ],
            1,
        )


class InceptionV3(nn.Module):
    """Szegedy et al. 2015 (https://arxiv.org/abs/1512.00567) as in the TensorFlow graph that FID is defined by.

    The graph `inception-2015-12-05` of Heusel et al. 2017: 1,008 classes, no auxiliary classifier, averages that leave
    padding out. Layers are named as in its public conversions to PyTorch, whose files load here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = BasicConv2d(3, 32, 3, stride=2, padding=0)
        self.Conv2d_2a_3x3 = BasicConv2d(32, 32, 3, padding=0)
        self.Conv2d_2b_3x3 = BasicConv2d(32, 64, 3)
        self.Conv2d_3b_1x1 = BasicConv2d(64, 80, 1)
        self.Conv2d_4a_3x3 = BasicConv2d(80, 192, 3, padding=0)
        self.Mixed_5b = InceptionA(192, 32)
        self.Mixed_5c = InceptionA(256, 64)
        self.Mixed_5d = InceptionA(288, 64)
        self.Mixed_6a = InceptionB(288)
        self.Mixed_6b = InceptionC(768, 128)
        self.Mixed_6c = InceptionC(768, 160)
        self.Mixed_6d = InceptionC(768, 160)
        self.Mixed_6e = InceptionC(768, 192)
        self.Mixed_7a = InceptionD(768)
        self.Mixed_7b = InceptionE(1280, "average")
        self.Mixed_7c = InceptionE(2048, "maximum")
        self.fc = nn.Linear(NUM_FEATURES, NUM_CLASSES)

    def pooled(self, x: Tensor) -> Tensor:
        """(N, 3, 299, 299), as `tensorflow_input` gives it, to features (N, 2048), the graph's `pool_3`."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))  # (N, 64, 147, 147)
        x = F.max_pool2d(x, 3, 2)
        x = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, 2)  # (N, 192, 35, 35)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))  # (N, 288, 35, 35)
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))  # (N, 768, 17, 17)
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))  # (N, 2048, 8, 8)
        return x.mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 299, 299) to logits (N, 1008)."""
        return torch.as_tensor(self.fc(self.pooled(x)))


def tensorflow_resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resizing as TensorFlow 1 did it: corner pixels lie on each other's top left, none is half a pixel in.

    Output pixel i is at i * H / h of the input; torch's `interpolate` puts it at (i + .5) * H / h - .5, which changes
    FID visibly (Parmar et al. 2022, https://arxiv.org/abs/2104.11222).

    Args:
        x: (N, C, H, W) float.
        size: (h, w).

    Returns:
        (N, C, h, w).
    """
    for axis, after in zip((2, 3), size, strict=True):
        before = x.shape[axis]
        place = torch.arange(after, dtype=x.dtype, device=x.device) * (before / after)
        low = place.long().clamp(max=before - 1)
        high = (low + 1).clamp(max=before - 1)
        share = (place - low).view(-1, 1) if axis == 2 else place - low
        start = x.index_select(axis, low)
        x = start + (x.index_select(axis, high) - start) * share
    return x


def tensorflow_input(pictures: Tensor) -> Tensor:
    """Pictures (N, 1 or 3, H, W) in [-1, 1] to what the graph makes of a file: 256 steps, 299x299, (p - 128) / 128.

    Raises:
        ValueError: neither one nor three channels.
    """
    if pictures.ndim != 4 or pictures.shape[1] not in (1, 3):
        raise ValueError(f"Inception takes pictures (N, 1 or 3, H, W), not {tuple(pictures.shape)}")
    steps = (pictures.float() * 127.5 + 127.5).round().clamp(0, 255)
    return (tensorflow_resize(steps, (SIDE, SIDE)).expand(-1, 3, -1, -1) - 128) / 128
