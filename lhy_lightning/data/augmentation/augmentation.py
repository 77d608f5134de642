"""Data augmentation of whole batches on the device: uint8 in, float32 in [-1, 1] out, one pass per change.

Order: crop and flips on uint8, then in [0, 1] the affine map, colours, erasing, mixup or cutmix, and at the very end
x · 2 - 1. Crops and flips move bytes; rotation, translation, scale, shear and random resized crops share one
`grid_sample`; brightness, contrast, saturation and hue share one 3×3 matrix a picture. All draws come from torch's
default generators, which the data module's base class seeds anew for every batch.
"""

import math
from typing import get_args

import torch
from torch import Tensor

from lhy_lightning.data.augmentation.transforms import (
    FILL_VALUES,
    GREY,
    Fill,
    affine,
    affine_matrices,
    auto_contrast,
    colour_matrices,
    erasing_boxes,
    paste,
    posterize,
    random_boxes,
    random_crop,
    random_flip,
    recolour,
    scale_to_contract,
    solarize,
    strong_draws,
    uniform,
)

CACHED_NUMBERS = 2**18  # float32 numbers of a working set that fits a core's cache


class Augmentation:
    """Random changes of a training batch, each picture its own.

    Args:
        size: (height, width) of what comes out; larger pictures are cropped at random.
        horizontal_flip: probability of mirroring left and right.
        vertical_flip: probability of mirroring top and bottom.
        crop: pixels of padding on each side before a crop of `size`.
        crop_scale: smallest share of the area of a random resized crop (aspect ratio 3/4 to 4/3); 0 disables it.
        rotation: largest angle in degrees, either way.
        translation: largest shift, as a share of the side.
        scale: largest zoom: factors from 1 - scale to 1 + scale.
        shear: largest shear angle in degrees.
        brightness: factors from 1 - brightness to 1 + brightness.
        contrast: the same, about the picture's mean grey.
        saturation: the same, between the picture (1) and its grey version (0).
        hue: largest turn of the colour circle (in YIQ), as a share of a full turn, at most 0.5.
        erasing: probability of filling a random rectangle (2 to 33 % of the area).
        mixup: alpha of mixup's Beta distribution; 0 disables it.
        cutmix: alpha of cutmix's Beta distribution; with both, each batch gets one of them.
        fill: what lies outside the picture: "black", "grey", "white", its "border", or its mirror image ("reflect").
        strong: magnitude in (0, 1] of RandAugment's operations (two a picture) and Cutout on top; 0 disables it.

    Raises:
        ValueError: a number out of its range.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        horizontal_flip: float = 0.0,
        vertical_flip: float = 0.0,
        crop: int = 0,
        crop_scale: float = 0.0,
        rotation: float = 0.0,
        translation: float = 0.0,
        scale: float = 0.0,
        shear: float = 0.0,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        erasing: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        fill: Fill = "black",
        strong: float = 0.0,
    ) -> None:
        shares = {
            "horizontal_flip": horizontal_flip,
            "vertical_flip": vertical_flip,
            "crop_scale": crop_scale,
            "translation": translation,
            "brightness": brightness,
            "contrast": contrast,
            "saturation": saturation,
            "erasing": erasing,
            "strong": strong,
        }
        for name, value in shares.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name}={value}: must lie between 0 and 1.")
        limits = {"hue": (hue, 0.5), "scale": (scale, 0.99), "shear": (shear, 80), "rotation": (rotation, 180)}
        for name, (value, limit) in limits.items():
            if not 0 <= value <= limit:
                raise ValueError(f"{name}={value}: must lie between 0 and {limit}.")
        if crop < 0 or mixup < 0 or cutmix < 0:
            raise ValueError(f"crop={crop}, mixup={mixup}, cutmix={cutmix}: none may be negative.")
        if fill not in get_args(Fill):
            raise ValueError(f"fill={fill!r}: choose from {', '.join(get_args(Fill))}.")
        self.size, self.fill = size, fill
        self.horizontal_flip, self.vertical_flip, self.crop = horizontal_flip, vertical_flip, crop
        self.crop_scale, self.rotation, self.translation = crop_scale, rotation, translation
        self.scale, self.shear = scale, shear
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue
        self.erasing, self.mixup, self.cutmix, self.strong = erasing, mixup, cutmix, strong

    def __call__(self, pictures: Tensor) -> Tensor:
        """One random view of every picture.

        Args:
            pictures: (N, C, H, W) uint8.

        Returns:
            (N, C, *size) float32 in [-1, 1].
        """
        if not self.crop_scale:
            pictures = random_crop(pictures, self.size, self.crop, self.fill)
        pictures = random_flip(pictures, self.horizontal_flip, dim=3)
        pictures = random_flip(pictures, self.vertical_flip, dim=2)
        draws = self._draws(pictures)
        if not draws:
            return scale_to_contract(pictures)
        if pictures.device.type != "cpu":
            return self._apply(pictures, draws)
        # A few pictures at a time stay in the cache, and their memory in the process: three to five times as fast
        few = max(1, CACHED_NUMBERS // pictures[0].numel())
        out = torch.empty(*pictures.shape[:2], *self.size)
        for part in (slice(first, first + few) for first in range(0, len(pictures), few)):
            out[part] = self._apply(pictures[part], {name: draw[part] for name, draw in draws.items()})
        return out

    def _draws(self, pictures: Tensor) -> dict[str, Tensor]:
        """Everything random beyond crop and flips, a row for each picture; only what is asked for."""
        draws: dict[str, Tensor] = {}
        factors = {name: uniform(pictures, 1 - width, 1 + width) for name, width in self._colours.items()}
        hue = uniform(pictures, -self.hue, self.hue)
        if self._affine:
            draws["affine"] = self._matrices(pictures)
        if self.strong:
            more, strong = strong_draws(pictures, self.strong)
            factors = {name: factor * more.get(name, 1) for name, factor in factors.items()}
            draws["affine"] = draws["affine"] @ more["affine"] if self._affine else more["affine"]
            draws |= strong
        if self.strong or self.hue or any(self._colours.values()):
            draws["colour"], draws["grey"] = colour_matrices(**factors, hue=hue, channels=pictures.shape[1])
        if self.erasing:
            draws["erased"] = erasing_boxes(pictures, self.size, self.erasing)
        return draws

    def _apply(self, pictures: Tensor, draws: dict[str, Tensor]) -> Tensor:
        """Carries the draws out in [0, 1]: (N, C, H, W) uint8 to (N, C, *size) float32 in [-1, 1]."""
        x = pictures.contiguous().float().mul_(1 / 255)  # plane by plane: colours take a quarter of the time
        if "affine" in draws:
            x = affine(x, draws["affine"], self.size, self.fill)
        if "auto_contrast" in draws:
            x = auto_contrast(x, draws["auto_contrast"])
        if "colour" in draws:
            x = recolour(x, draws["colour"], draws["grey"])
        if "steps" in draws:
            x = posterize(x, draws["steps"])
            x = solarize(x, draws["threshold"])
        for boxes in ("cut_out", "erased"):
            if boxes in draws:
                x = paste(x, draws[boxes], FILL_VALUES.get(self.fill, GREY) / 255)
        return x.mul_(2).sub_(1)

    def mix(self, pictures: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
        """Mixup or cutmix of a batch with itself in another order.

        Args:
            pictures: (N, C, H, W) float32.
            labels: (N,) int64.

        Returns:
            Mixed pictures, the other picture's labels (N,), the weight of the first labels (N,) float32; None where
            neither is asked for.
        """
        if not (self.mixup or self.cutmix):
            return None
        cut = bool(self.cutmix) and (not self.mixup or bool(torch.rand(()) < 0.5))  # on the CPU: no waiting for the GPU
        order = torch.randperm(len(pictures), device=pictures.device)
        alpha = torch.full((len(pictures),), self.cutmix if cut else self.mixup, device=pictures.device)
        weight = torch.distributions.Beta(alpha, alpha, validate_args=False).sample()
        if not cut:
            share = weight[:, None, None, None]
            return pictures[order].lerp_(pictures, share), labels[order], weight
        height, width = pictures.shape[2:]
        side = (1 - weight).sqrt()
        boxes = random_boxes(pictures, (height, width), side * height, side * width)
        weight = 1 - (boxes[:, 2] * boxes[:, 3]).float() / (height * width)
        return paste(pictures.clone(), boxes, pictures[order]), labels[order], weight

    @property
    def _affine(self) -> bool:
        return bool(self.crop_scale or self.rotation or self.translation or self.scale or self.shear)

    @property
    def _colours(self) -> dict[str, float]:
        return {"brightness": self.brightness, "contrast": self.contrast, "saturation": self.saturation}

    def _matrices(self, x: Tensor) -> Tensor:
        """(N, 3, 3): where each output pixel comes from, in coordinates that span [-1, 1]."""
        matrix = affine_matrices(
            angle=torch.deg2rad(uniform(x, -self.rotation, self.rotation)),
            zoom=uniform(x, 1 - self.scale, 1 + self.scale),
            shear_x=torch.tan(torch.deg2rad(uniform(x, -self.shear, self.shear))),
            shear_y=torch.zeros(len(x), device=x.device),
            shift_x=uniform(x, -2 * self.translation, 2 * self.translation),
            shift_y=uniform(x, -2 * self.translation, 2 * self.translation),
            aspect=x.shape[3] / x.shape[2],
        )
        if not self.crop_scale:
            return matrix
        area = uniform(x, self.crop_scale, 1)
        ratio = torch.exp(uniform(x, math.log(3 / 4), math.log(4 / 3))) * (self.size[1] / self.size[0])
        ratio = ratio * (x.shape[2] / x.shape[3])
        width, height = (area * ratio).sqrt().clamp_(max=1), (area / ratio).sqrt().clamp_(max=1)
        window = torch.zeros(len(x), 3, 3, device=x.device)
        window[:, 0, 0], window[:, 1, 1], window[:, 2, 2] = width, height, 1
        window[:, 0, 2] = uniform(x, -1, 1) * (1 - width)
        window[:, 1, 2] = uniform(x, -1, 1) * (1 - height)
        return matrix @ window
