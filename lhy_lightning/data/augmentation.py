"""Augmentation of whole batches on the device: uint8 in, float32 in [-1, 1] out, one pass per kind of change.

Order: crop and flips on uint8, then in [0, 1] the affine map, colours, erasing, mixup or cutmix, and at the very end
x · 2 - 1. Crops and flips move bytes; rotation, translation, scale, shear and random resized crops share one
`grid_sample`; brightness, contrast, saturation and hue share one 3×3 matrix a picture. All draws come from torch's
default generators, which the data module's base class seeds anew for every batch.
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from lhy_lightning.data.pictures import GREY

Fill = Literal["black", "grey", "white", "border", "reflect"]
FILL_VALUES = {"black": 0, "grey": GREY, "white": 255}
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as PIL's convert("L")
_PAD_MODES = {"border": "replicate", "reflect": "reflect"}
_GRID_MODES = {"border": "border", "reflect": "reflection"}


def scale_to_contract(pictures: Tensor) -> Tensor:
    """(N, C, H, W) uint8 to float32 in [-1, 1]; floats are taken to be in [-1, 1] already."""
    return pictures.float().mul_(2 / 255).sub_(1) if pictures.dtype == torch.uint8 else pictures


def centre_crop(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, C, H, W) to (N, C, *size)."""
    top, left = (pictures.shape[2] - size[0]) // 2, (pictures.shape[3] - size[1]) // 2
    return pictures[:, :, top : top + size[0], left : left + size[1]]


def uniform(pictures: Tensor, low: float, high: float) -> Tensor:
    """(N,) float32 in [low, high), on the pictures' device."""
    return torch.rand(len(pictures), device=pictures.device) * (high - low) + low


class Augmentation:
    """Random changes of a training batch, each picture its own.

    Args:
        size: (height, width) of what comes out; larger pictures are cropped at random.
        horizontal_flip: probability of mirroring left and right.
        vertical_flip: probability of mirroring top and bottom.
        crop: pixels of padding on each side before a crop of `size`.
        crop_scale: smallest share of the area of a random resized crop (aspect ratio 3/4 to 4/3); 0 for none.
        rotation: largest angle in degrees, either way.
        translation: largest shift, as a share of the side.
        scale: largest zoom: factors from 1 - scale to 1 + scale.
        shear: largest shear angle in degrees.
        brightness: factors from 1 - brightness to 1 + brightness.
        contrast: the same, about the picture's mean grey.
        saturation: the same, between the picture (1) and its grey version (0).
        hue: largest turn of the colour circle (in YIQ), as a share of a full turn, at most 0.5.
        erasing: probability of filling a random rectangle (2 to 33 % of the area).
        mixup: alpha of mixup's Beta distribution; 0 for none.
        cutmix: alpha of cutmix's Beta distribution; with both, each batch gets one of them.
        fill: what lies outside the picture: "black", "grey", "white", its "border", or its mirror image ("reflect").
        strong: magnitude in (0, 1] of RandAugment's operations (two a picture) and Cutout on top; 0 for none.

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
            "horizontal_flip": horizontal_flip, "vertical_flip": vertical_flip, "crop_scale": crop_scale,
            "translation": translation, "brightness": brightness, "contrast": contrast, "saturation": saturation,
            "erasing": erasing, "strong": strong,
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
        if not (self._affine or self._colour or self.erasing or self.strong):
            return scale_to_contract(pictures)
        x = pictures.float().mul_(1 / 255)
        if self._affine:
            x = affine(x, self._matrices(x), self.size, self.fill)
        if self._colour:
            x = colour(
                x,
                brightness=uniform(x, 1 - self.brightness, 1 + self.brightness),
                contrast=uniform(x, 1 - self.contrast, 1 + self.contrast),
                saturation=uniform(x, 1 - self.saturation, 1 + self.saturation),
                hue=uniform(x, -self.hue, self.hue),
            )
        if self.strong:
            x = strong_view(x, self.strong, self.fill)
        if self.erasing:
            x = erase(x, self.erasing, FILL_VALUES.get(self.fill, GREY) / 255)
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
            return pictures * share + pictures[order] * (1 - share), labels[order], weight
        height, width = pictures.shape[2:]
        side = (1 - weight).sqrt()
        box, covered = random_boxes(pictures, side * height, side * width)
        weight = 1 - covered / (height * width)
        return torch.where(box, pictures[order], pictures), labels[order], weight

    @property
    def _affine(self) -> bool:
        return bool(self.crop_scale or self.rotation or self.translation or self.scale or self.shear)

    @property
    def _colour(self) -> bool:
        return bool(self.brightness or self.contrast or self.saturation or self.hue)

    def _matrices(self, x: Tensor) -> Tensor:
        """(N, 2, 3): where each output pixel comes from, in coordinates that span [-1, 1]."""
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


def random_flip(pictures: Tensor, probability: float, *, dim: int) -> Tensor:
    """Mirrors pictures (N, C, H, W) along `dim`, each with the given probability."""
    if probability <= 0:
        return pictures
    chosen = torch.rand(len(pictures), device=pictures.device) < probability
    return torch.where(chosen[:, None, None, None], pictures.flip(dim), pictures)


def random_crop(pictures: Tensor, size: tuple[int, int], padding: int, fill: Fill) -> Tensor:
    """Pads (N, C, H, W) by `padding` on each side and cuts out `size` at a random place of each picture."""
    if padding:
        if pictures.dtype == torch.uint8 and fill in _PAD_MODES:  # torch pads bytes with constants only
            pictures = functional.pad(pictures.float(), (padding,) * 4, mode=_PAD_MODES[fill]).to(torch.uint8)
        else:
            pictures = functional.pad(pictures, (padding,) * 4, value=FILL_VALUES[fill])
    down, across = pictures.shape[2] - size[0], pictures.shape[3] - size[1]
    if not down and not across:
        return pictures
    if down < 0 or across < 0:
        raise ValueError(f"a crop of {size} does not fit into pictures of {tuple(pictures.shape[2:])}.")
    places = torch.rand(2, len(pictures), device=pictures.device)
    top, left = (places[0] * (down + 1)).long(), (places[1] * (across + 1)).long()
    windows = pictures.unfold(2, size[0], 1).unfold(3, size[1], 1)  # (N, C, down + 1, across + 1, h, w), no copy
    return windows[torch.arange(len(pictures), device=pictures.device), :, top, left]


def affine_matrices(
    *, angle: Tensor, zoom: Tensor, shear_x: Tensor, shear_y: Tensor, shift_x: Tensor, shift_y: Tensor, aspect: float
) -> Tensor:
    """Sampling matrices of a rotation, zoom, shear and shift about the centre, each argument (N,).

    Args:
        angle: radians. zoom: above 1 enlarges. shear_x, shear_y: tangents. shift_x, shift_y: in half sides.
        aspect: width / height, as angles are meant in pixels and not in coordinates that span [-1, 1].

    Returns:
        (N, 2, 3).
    """
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    matrix = torch.empty(len(angle), 2, 3, device=angle.device)
    matrix[:, 0, 0], matrix[:, 0, 1] = cos + sin * shear_y, (sin + cos * shear_x) / aspect
    matrix[:, 1, 0], matrix[:, 1, 1] = (cos * shear_y - sin) * aspect, cos - sin * shear_x
    matrix[:, 0, 2], matrix[:, 1, 2] = shift_x, shift_y
    return matrix


def affine(x: Tensor, matrices: Tensor, size: tuple[int, int], fill: Fill) -> Tensor:
    """Samples (N, C, H, W) in [0, 1] bilinearly where `matrices` (N, 2, 3) point to: (N, C, *size)."""
    grid = functional.affine_grid(matrices, [len(x), x.shape[1], *size], align_corners=False)
    if fill in _GRID_MODES:
        return functional.grid_sample(x, grid, padding_mode=_GRID_MODES[fill], align_corners=False).clamp_(0, 1)
    outside = FILL_VALUES[fill] / 255
    shifted = x - outside if outside else x  # grid_sample pads with zeros only
    return functional.grid_sample(shifted, grid, align_corners=False).add_(outside).clamp_(0, 1)


def luma(x: Tensor) -> Tensor:
    """Grey version of (N, C, H, W): (N, 1, H, W)."""
    if x.shape[1] == 1:
        return x
    return (x * x.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)


def colour(x: Tensor, *, brightness: Tensor, contrast: Tensor, saturation: Tensor, hue: Tensor) -> Tensor:
    """Changes brightness, then contrast, then saturation, then hue, and clips once.

    All four are linear in the colour (contrast about the picture's mean grey), so one matrix and one offset a picture
    do them together. Hue turns the (I, Q) plane of YIQ, which keeps luma; it is not the HSV circle, whose conversion
    costs thirty times as much.

    Args:
        x: (N, C, H, W) in [0, 1]; of one channel, saturation and hue do nothing.
        brightness, contrast, saturation: (N,) factors, 1 for no change.
        hue: (N,) turns.

    Returns:
        (N, C, H, W) in [0, 1].
    """
    weights = x.new_tensor(LUMA) if x.shape[1] == 3 else x.new_ones(1)
    mean = x.mean((2, 3)) @ weights * brightness  # (N,) mean grey after the change of brightness
    offset = (mean * (1 - contrast))[:, None, None, None]
    factor = brightness * contrast
    if x.shape[1] == 1:
        return torch.addcmul(offset, x, factor[:, None, None, None]).clamp_(0, 1)
    # (N, 3, 3): turned @ saturated, scaled; both leave greys alone, so that the offset passes through unchanged
    grey = weights.expand(3, 3)
    saturated = grey + saturation[:, None, None] * (torch.eye(3, device=x.device) - grey)
    yiq = x.new_tensor([LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
    angle = 2 * math.pi * hue
    turn = torch.zeros(len(x), 3, 3, device=x.device)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = torch.cos(angle)
    turn[:, 2, 1] = torch.sin(angle)
    turn[:, 1, 2] = -turn[:, 2, 1]
    matrix = torch.linalg.inv(yiq) @ turn @ yiq @ saturated * factor[:, None, None]
    # Written out instead of a matrix product: three multiply-adds a plane, in any memory order
    planes = x.unbind(1)
    columns = matrix[..., None, None].unbind(2)  # each (N, 3, 1, 1), for one input channel
    out = torch.addcmul(offset, planes[0][:, None], columns[0])
    for plane, column in zip(planes[1:], columns[1:], strict=True):
        out.addcmul_(plane[:, None], column)
    return out.clamp_(0, 1)


def random_boxes(x: Tensor, height: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """A rectangle of the given sides (N,), wholly inside each picture of (N, C, H, W).

    Returns:
        (N, 1, H, W) bool, True inside; (N,) float32, how many pixels it covers.
    """
    height = height.round().clamp_(0, x.shape[2])
    width = width.round().clamp_(0, x.shape[3])
    top = ((x.shape[2] - height + 1) * uniform(x, 0, 1)).floor_()
    left = ((x.shape[3] - width + 1) * uniform(x, 0, 1)).floor_()
    rows, columns = torch.arange(x.shape[2], device=x.device), torch.arange(x.shape[3], device=x.device)
    down = (rows >= top[:, None]) & (rows < (top + height)[:, None])
    across = (columns >= left[:, None]) & (columns < (left + width)[:, None])
    return (down[:, :, None] & across[:, None, :])[:, None], height * width


def erase(x: Tensor, probability: float, value: float) -> Tensor:
    """Random erasing (Zhong et al. 2017): a rectangle of 2 to 33 % of the area, sides 3:10 to 10:3."""
    area = uniform(x, 0.02, 0.33) * (x.shape[2] * x.shape[3])
    ratio = torch.exp(uniform(x, math.log(0.3), math.log(1 / 0.3)))
    chosen = uniform(x, 0, 1) < probability
    box, _ = random_boxes(x, (area * ratio).sqrt() * chosen, (area / ratio).sqrt() * chosen)
    return x.masked_fill_(box, value)


STRONG_OPERATIONS = (
    "identity", "auto_contrast", "brightness", "contrast", "saturation", "posterize", "solarize",
    "rotate", "shear_x", "shear_y", "translate_x", "translate_y",
)


def strong_view(x: Tensor, magnitude: float, fill: Fill) -> Tensor:
    """RandAugment (Cubuk et al. 2019) as FixMatch uses it: two random operations a picture, each at a random strength
    up to its largest one times `magnitude`, then Cutout of up to half the side.

    Its list without Equalize and Sharpness, which have no cheap batched form; fixed order, so that the geometric
    operations share one `grid_sample`.

    Args:
        x: (N, C, H, W) in [0, 1].
        magnitude: in (0, 1].
        fill: for what lies outside.

    Returns:
        (N, C, H, W) in [0, 1].
    """
    scores = torch.rand(len(x), len(STRONG_OPERATIONS), device=x.device)
    used = scores >= scores.topk(2, dim=1).values[:, 1:]  # (N, operations) bool, two a row
    on = dict(zip(STRONG_OPERATIONS, used.unbind(1), strict=True))

    def amount(name: str, largest: float) -> Tensor:  # (N,), zero where the operation is not drawn
        return uniform(x, -largest, largest) * magnitude * on[name]

    x = affine(
        x,
        affine_matrices(
            angle=amount("rotate", math.pi / 6), zoom=torch.ones(len(x), device=x.device),
            shear_x=amount("shear_x", 0.3), shear_y=amount("shear_y", 0.3),
            shift_x=amount("translate_x", 0.6), shift_y=amount("translate_y", 0.6), aspect=x.shape[3] / x.shape[2],
        ),
        (x.shape[2], x.shape[3]), fill,
    )
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    stretched = (x - low) / (high - low).clamp_(min=1 / 255)
    x = torch.where(on["auto_contrast"][:, None, None, None], stretched, x)
    x = colour(
        x, brightness=1 + amount("brightness", 0.95), contrast=1 + amount("contrast", 0.95),
        saturation=1 + amount("saturation", 0.95), hue=torch.zeros(len(x), device=x.device),
    )
    bits = 8 - (uniform(x, 0, 4) * magnitude * on["posterize"]).round()
    steps = (2**bits)[:, None, None, None]
    posterized = (x * steps).floor().clamp_(max=steps - 1).div_(steps - 1)
    x = torch.where(on["posterize"][:, None, None, None], posterized, x)
    threshold = 1 - uniform(x, 0, 1) * magnitude
    x = torch.where((x >= threshold[:, None, None, None]) & on["solarize"][:, None, None, None], 1 - x, x)
    side = uniform(x, 0, 0.5) * magnitude
    box, _ = random_boxes(x, side * x.shape[2], side * x.shape[3])
    return x.masked_fill(box, FILL_VALUES.get(fill, GREY) / 255)
