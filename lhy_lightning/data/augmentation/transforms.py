"""The single changes that `Augmentation` is made of, each on a whole batch.

Crops and flips work on uint8 and draw as they go. All others work on float32 in [0, 1] and are not random: they take
a row of numbers for each picture, which other functions here draw.
"""

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

GREY = 128  # a picture that cannot be read, and the fill named "grey"

Fill = Literal["black", "grey", "white", "border", "reflect"]
FILL_VALUES = {"black": 0, "grey": GREY, "white": 255}
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as PIL's convert("L")
YIQ = (LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))  # rows of I and Q sum to zero: greys have no colour
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


def random_flip(pictures: Tensor, probability: float, *, dim: int) -> Tensor:
    """Mirrors uint8 pictures (N, C, H, W) along `dim`, each with the given probability."""
    if probability <= 0:
        return pictures
    chosen = torch.rand(len(pictures), device=pictures.device) < probability
    mask = (chosen.to(torch.uint8) * 255)[:, None, None, None]
    # torch.where(chosen, mirrored, pictures) in bits: a fifth of its time
    return pictures.flip(dim).bitwise_xor_(pictures).bitwise_and_(mask).bitwise_xor_(pictures)


def random_crop(pictures: Tensor, size: tuple[int, int], padding: int, fill: Fill) -> Tensor:
    """Pads uint8 pictures (N, C, H, W) on each side and cuts out `size` at a random place of each."""
    if padding:
        pictures = pad(pictures, padding, fill)
    down, across = pictures.shape[2] - size[0], pictures.shape[3] - size[1]
    if not down and not across:
        return pictures
    if down < 0 or across < 0:
        raise ValueError(f"a crop of {size} does not fit into pictures of {tuple(pictures.shape[2:])}.")
    places = torch.rand(2, len(pictures), device=pictures.device)
    top, left = (places[0] * (down + 1)).long(), (places[1] * (across + 1)).long()
    return (cut_by_slices if pictures.device.type == "cpu" else cut_by_gather)(pictures, top, left, size)


def cut_by_slices(pictures: Tensor, top: Tensor, left: Tensor, size: tuple[int, int]) -> Tensor:
    """Windows (N, C, *size) of pictures (N, C, H, W) at places (N,): on the CPU a fifth of the gather's time."""
    out = torch.empty_like(pictures[:, :, : size[0], : size[1]])
    into, whole = out.numpy(), pictures.numpy()
    for i, (y, x) in enumerate(zip(top.tolist(), left.tolist(), strict=True)):
        into[i] = whole[i, :, y : y + size[0], x : x + size[1]]
    return out


def cut_by_gather(pictures: Tensor, top: Tensor, left: Tensor, size: tuple[int, int]) -> Tensor:
    """The same in one operation, for devices where every operation is a launch."""
    windows = pictures.unfold(2, size[0], 1).unfold(3, size[1], 1)  # (N, C, tops, lefts, *size), no copy
    return windows[torch.arange(len(pictures), device=pictures.device), :, top, left]


def pad(pictures: Tensor, padding: int, fill: Fill) -> Tensor:
    """Widens uint8 pictures (N, C, H, W) by `padding` on each side."""
    if fill in FILL_VALUES:
        return functional.pad(pictures, (padding,) * 4, value=FILL_VALUES[fill])
    if fill == "reflect" and padding >= min(pictures.shape[2:]):
        raise ValueError(f"crop={padding} cannot reflect pictures of {tuple(pictures.shape[2:])} pixels.")
    if pictures.device.type == "cpu":  # torch pads bytes with constants only
        widths = ((0, 0), (0, 0), (padding, padding), (padding, padding))
        padded = np.pad(pictures.numpy(), widths, mode="reflect" if fill == "reflect" else "edge")
        return torch.from_numpy(padded)
    mode = "reflect" if fill == "reflect" else "replicate"
    return functional.pad(pictures.float(), (padding,) * 4, mode=mode).to(torch.uint8)


def affine_matrices(
    *, angle: Tensor, zoom: Tensor, shear_x: Tensor, shear_y: Tensor, shift_x: Tensor, shift_y: Tensor, aspect: float
) -> Tensor:
    """Sampling matrices of a rotation, zoom, shear and shift about the centre, each argument (N,).

    Args:
        angle: radians. zoom: above 1 enlarges. shear_x, shear_y: tangents. shift_x, shift_y: in half sides.
        aspect: width / height, as angles are meant in pixels and not in coordinates that span [-1, 1].

    Returns:
        (N, 3, 3).
    """
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    matrix = torch.zeros(len(angle), 3, 3, device=angle.device)
    matrix[:, 2, 2] = 1
    matrix[:, 0, 0], matrix[:, 0, 1] = cos + sin * shear_y, (sin + cos * shear_x) / aspect
    matrix[:, 1, 0], matrix[:, 1, 1] = (cos * shear_y - sin) * aspect, cos - sin * shear_x
    matrix[:, 0, 2], matrix[:, 1, 2] = shift_x, shift_y
    return matrix


def affine(x: Tensor, matrices: Tensor, size: tuple[int, int], fill: Fill) -> Tensor:
    """Samples (N, C, H, W) in [0, 1] bilinearly where `matrices` (N, 3, 3) point to: (N, C, *size)."""
    grid = functional.affine_grid(matrices[:, :2], [len(x), x.shape[1], *size], align_corners=False)
    if fill in _GRID_MODES:
        return functional.grid_sample(x, grid, padding_mode=_GRID_MODES[fill], align_corners=False).clamp_(0, 1)
    outside = FILL_VALUES[fill] / 255
    shifted = x - outside if outside else x  # grid_sample pads with zeros only
    return functional.grid_sample(shifted, grid, align_corners=False).add_(outside).clamp_(0, 1)


def colour_matrices(
    *, brightness: Tensor, contrast: Tensor, saturation: Tensor, hue: Tensor, channels: int
) -> tuple[Tensor, Tensor]:
    """A change of brightness, then contrast, then saturation, then hue, as one matrix a picture.

    All four are linear in the colour (contrast about the picture's mean grey). Hue turns the (I, Q) plane of YIQ,
    which keeps luma; it is not the HSV circle, whose conversion costs thirty times as much.

    Args:
        brightness, contrast, saturation: (N,) factors, 1 for no change.
        hue: (N,) turns.
        channels: of 1, saturation and hue do nothing.

    Returns:
        (N, channels, channels), and (N, channels): how much the mean of each channel adds to every pixel.
    """
    factor, device = brightness * contrast, hue.device
    luma = torch.tensor(LUMA if channels == 3 else (1.0,), device=device)
    # Saturation and hue leave greys alone, so what contrast adds, a grey, passes through them unchanged
    grey = (brightness * (1 - contrast))[:, None] * luma
    if channels == 1:
        return factor[:, None, None], grey
    saturated = luma.expand(3, 3) + saturation[:, None, None] * (torch.eye(3, device=device) - luma.expand(3, 3))
    angle = 2 * math.pi * hue
    turn = torch.zeros(len(hue), 3, 3, device=device)
    turn[:, 0, 0], turn[:, 1, 1], turn[:, 2, 2] = 1, torch.cos(angle), torch.cos(angle)
    turn[:, 2, 1], turn[:, 1, 2] = torch.sin(angle), -torch.sin(angle)
    to_yiq, from_yiq = torch.tensor(YIQ, device=device), torch.tensor(YIQ).inverse().to(device)
    return from_yiq @ turn @ to_yiq @ saturated * factor[:, None, None], grey


def recolour(x: Tensor, matrices: Tensor, grey: Tensor) -> Tensor:
    """Carries `colour_matrices` out and clips once: (N, C, H, W) in [0, 1]."""
    offset = (x.mean((2, 3)) * grey).sum(1)[:, None, None]
    return torch.baddbmm(offset, matrices, x.flatten(2)).view(x.shape).clamp_(0, 1)


def random_boxes(pictures: Tensor, size: tuple[int, int], height: Tensor, width: Tensor) -> Tensor:
    """Rectangles of the given sides (N,), one a picture, wholly inside `size`.

    Returns:
        (N, 4) int64: top, left, height, width.
    """
    height, width = height.round().clamp_(0, size[0]), width.round().clamp_(0, size[1])
    top = ((size[0] - height + 1) * uniform(pictures, 0, 1)).floor_()
    left = ((size[1] - width + 1) * uniform(pictures, 0, 1)).floor_()
    return torch.stack([top, left, height, width], dim=1).long()


def paste(x: Tensor, boxes: Tensor, other: Tensor | float) -> Tensor:
    """Puts `other`, a value or pictures like x, into the boxes (N, 4) of x (N, C, H, W), in place."""
    return (paste_by_slices if x.device.type == "cpu" else paste_by_mask)(x, boxes, other)


def paste_by_slices(x: Tensor, boxes: Tensor, other: Tensor | float) -> Tensor:
    """For the CPU, where it takes a twentieth of the mask's time."""
    into, source = x.numpy(), other.numpy() if isinstance(other, Tensor) else None
    for i, (top, left, height, width) in enumerate(boxes.tolist()):
        place = (i, slice(None), slice(top, top + height), slice(left, left + width))
        into[place] = other if source is None else source[place]
    return x


def paste_by_mask(x: Tensor, boxes: Tensor, other: Tensor | float) -> Tensor:
    """For devices where every operation is a launch."""
    rows, columns = torch.arange(x.shape[2], device=x.device), torch.arange(x.shape[3], device=x.device)
    top, left, height, width = boxes[:, :, None].unbind(1)
    down, across = (rows >= top) & (rows < top + height), (columns >= left) & (columns < left + width)
    return x.copy_(torch.where((down[:, :, None] & across[:, None])[:, None], other, x))


def erasing_boxes(pictures: Tensor, size: tuple[int, int], probability: float) -> Tensor:
    """Random erasing (Zhong et al. 2017): rectangles of 2 to 33 % of the area, sides 3:10 to 10:3; (N, 4)."""
    area = uniform(pictures, 0.02, 0.33) * (size[0] * size[1])
    ratio = torch.exp(uniform(pictures, math.log(0.3), math.log(1 / 0.3)))
    chosen = uniform(pictures, 0, 1) < probability
    return random_boxes(pictures, size, (area * ratio).sqrt() * chosen, (area / ratio).sqrt() * chosen)


STRONG_OPERATIONS = (
    "identity", "auto_contrast", "brightness", "contrast", "saturation", "posterize", "solarize",
    "rotate", "shear_x", "shear_y", "translate_x", "translate_y",
)  # fmt: skip


def strong_draws(pictures: Tensor, magnitude: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """RandAugment (Cubuk et al. 2019) as FixMatch uses it: two random operations a picture, each at a random strength
    up to its largest one times `magnitude`, then Cutout of up to half the side.

    Its list without Equalize and Sharpness, which have no cheap batched form; and in a fixed order, so that geometry
    is one matrix and colour another.

    Args:
        pictures: (N, C, H, W), for their number, size and device.
        magnitude: in (0, 1].

    Returns:
        What other augmentation has too (`affine` matrices, `brightness`, `contrast`, `saturation` factors), and what
        only the strong view has (`auto_contrast` mask, `steps` of posterize, `threshold` of solarize, `cut_out`
        boxes); a row for each picture, of no effect where an operation is not drawn.
    """
    number, _, height, width = pictures.shape
    scores = torch.rand(number, len(STRONG_OPERATIONS), device=pictures.device)
    used = scores >= scores.topk(2, dim=1).values[:, 1:]  # (N, operations) bool, two a row
    on = dict(zip(STRONG_OPERATIONS, used.unbind(1), strict=True))

    def amount(name: str, largest: float) -> Tensor:  # (N,), zero where the operation is not drawn
        return uniform(pictures, -largest, largest) * magnitude * on[name]

    shared = {name: 1 + amount(name, 0.95) for name in ("brightness", "contrast", "saturation")}
    shared["affine"] = affine_matrices(
        angle=amount("rotate", math.pi / 6),
        zoom=torch.ones(number, device=pictures.device),
        shear_x=amount("shear_x", 0.3),
        shear_y=amount("shear_y", 0.3),
        shift_x=amount("translate_x", 0.6),
        shift_y=amount("translate_y", 0.6),
        aspect=width / height,
    )
    bits = torch.where(on["posterize"], 8 - (uniform(pictures, 0, 4) * magnitude).round(), 16)
    side = uniform(pictures, 0, 0.5) * magnitude
    return shared, {
        "auto_contrast": on["auto_contrast"],
        "steps": 2**bits,
        "threshold": torch.where(on["solarize"], 1 - uniform(pictures, 0, 1) * magnitude, 2),
        "cut_out": random_boxes(pictures, (height, width), side * height, side * width),
    }


def auto_contrast(x: Tensor, chosen: Tensor) -> Tensor:
    """Spreads each chosen picture over [0, 1]: x (N, C, H, W) in [0, 1], chosen (N,) bool."""
    low, high = x.amin((1, 2, 3)), x.amax((1, 2, 3))
    factor = torch.where(chosen, 1 / (high - low).clamp_(min=1 / 255), 1)
    return torch.addcmul(_each(-low * factor * chosen), x, _each(factor)).clamp_(0, 1)


def posterize(x: Tensor, steps: Tensor) -> Tensor:
    """Rounds x (N, C, H, W) in [0, 1] to `steps` (N,) values."""
    return x.mul(_each(steps)).floor_().minimum(_each(steps - 1)).div_(_each(steps - 1))


def solarize(x: Tensor, threshold: Tensor) -> Tensor:
    """Inverts what is at least as bright as `threshold` (N,)."""
    return torch.where(x >= _each(threshold), 1 - x, x)


def _each(values: Tensor) -> Tensor:
    """(N,) to (N, 1, 1, 1)."""
    return values[:, None, None, None]
