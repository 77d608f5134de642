"""Images of more than 8 bits: their values, and the (black, white) range by which they become bytes.

No file format says what its numbers mean: 12-bit data in a 16-bit file are nearly black if 65535 is taken for white.
A range is therefore stated (`value_range`), or evident from the values, or asked for before training.
"""

from __future__ import annotations

import io
import re
import sys
from dataclasses import dataclass

import numpy as np
from PIL import Image

from lhy_lightning.data.images.reading.image_files import open_image

Range = tuple[float, float]

FULL_16 = (0.0, 65535.0)
FULL_8 = (0.0, 255.0)
USUAL = ((0, 1), (-1, 1), (0, 255), (0, 1023), (0, 4095), (0, 16383), (0, 65535))
"""Ranges that are suggested, narrowest first."""
_RAW_16 = re.compile(r"(RGB|RGBA|RGBX|LA);16[BLN]")  # PIL keeps the upper byte of each value


@dataclass(frozen=True)
class DeepImage:
    """An image of more than 8 bits.

    Attributes:
        mode: what PIL calls it, with `;16` for colours of 16 bits; or the numpy type of nested lists.
        values: (H, W), (H, W, 3), or (H, W, 4) with the opacity last, 0 to 65535.
    """

    mode: str
    values: np.ndarray

    @property
    def colours(self) -> np.ndarray:
        """The values without opacity."""
        return self.values[..., :3] if self.values.ndim == 3 and self.values.shape[2] == 4 else self.values

    @property
    def reach(self) -> tuple[str, float, float]:
        """Mode, smallest and largest value."""
        return self.mode, float(self.colours.min()), float(self.colours.max())

    def to_bytes(self, value_range: Range | None) -> Image.Image:
        """Maps the range to 0 … 255; what lies outside is clipped, for `range_in_use` to refuse.

        Raises:
            ValueError: a NaN.
        """
        if self.values.dtype.kind == "f" and np.isnan(self.values).any():
            raise ValueError("the image has a NaN")
        low, high = value_range or (FULL_8 if self.mode.startswith("int") else FULL_16)
        scaled = np.rint((self.colours.astype(np.float64) - low) / (high - low) * 255).clip(0, 255).astype(np.uint8)
        if self.colours.shape != self.values.shape:
            scaled = np.dstack([scaled, (self.values[..., 3] >> 8).astype(np.uint8)])
        return Image.fromarray(scaled)


def deep_image(image: Image.Image) -> DeepImage | None:
    """The values of an image of more than 8 bits as PIL opened it, not yet decoded; None for 8 bits."""
    if image.mode == "F" or image.mode.startswith("I"):
        return DeepImage(image.mode, np.asarray(image))
    tiles = getattr(image, "tile", None)
    raw = tiles[0][3] if tiles else None
    raw = raw[0] if isinstance(raw, tuple) and raw else raw
    if not isinstance(raw, str) or ";16" not in raw or (found := _RAW_16.fullmatch(raw)) is None:
        return None
    return DeepImage(f"{found[1]};16", _both_bytes(image, raw))


def _both_bytes(image: Image.Image, raw: str) -> np.ndarray:
    """(H, W, C) uint16 of colours of 16 bits: PIL's unpacker of the other byte order gives the lower bytes."""
    file = image.fp  # type: ignore[attr-defined]
    file.seek(0)
    data = file.read()

    def bytes_of(order: str) -> np.ndarray:
        again = open_image(io.BytesIO(data))
        name = raw[:-1] + order
        again.tile = [  # type: ignore[attr-defined]
            tile._replace(args=(name, *tile.args[1:]) if isinstance(tile.args, tuple) else name)
            for tile in again.tile  # type: ignore[attr-defined]
        ]
        return np.asarray(again).astype(np.uint16)

    upper = bytes_of(raw[-1])
    little = raw[-1] == "L" or (raw[-1] == "N" and sys.byteorder == "little")
    lower = upper if raw.startswith("LA") else bytes_of("B" if little else "L")  # LA has no other unpacker
    both: np.ndarray = upper << 8 | lower
    return both


def range_in_use(where: str, reach: tuple[str, float, float], stated: Range | None) -> Range:
    """The range by which images of more than 8 bits become bytes: the stated one, or the one that is evident.

    Evident are integers that reach into the upper half of 0 … 65535 (16-bit files) or 0 … 255 (other integers).

    Args:
        where: names the images, for the message.
        reach: mode, smallest and largest value of all of them.
        stated: `value_range`.

    Raises:
        ValueError: none is stated or evident, or a value lies outside of it.
    """
    mode, lowest, highest = reach
    if stated is not None:
        if lowest < stated[0] or highest > stated[1]:
            value = lowest if lowest < stated[0] else highest
            raise ValueError(f"{where} holds {value:g}, outside of value_range ({stated[0]:g}, {stated[1]:g}).")
        return stated
    whole = FULL_8 if mode.startswith("int") else FULL_16
    if mode != "F" and not mode.startswith("float") and lowest >= 0 and whole[1] / 2 < highest <= whole[1]:
        return whole
    raise ValueError(
        f"{where}: images of mode {mode} hold values from {lowest:g} to {highest:g}. Which of them are black and "
        f"white? Set --data.value_range, such as {suggested_range(lowest, highest)}."
    )


def suggested_range(lowest: float, highest: float) -> str:
    """The narrowest usual range that holds both values, as the command line takes it."""
    usual = next((pair for pair in USUAL if pair[0] <= lowest and highest <= pair[1]), None)
    return f"[{usual[0]}, {usual[1]}]" if usual else f"[{lowest:g}, {highest:g}]"


def check_value_range(value_range: object) -> None:
    """Refuses a `value_range` that is none.

    Raises:
        ValueError: black is not less than white, or one of them is no finite number.
    """
    if value_range is None:
        return
    assert isinstance(value_range, list | tuple)
    low, high = (float(value) for value in value_range)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"value_range=({low:g}, {high:g}): black and white must be finite numbers.")
    if not low < high:
        raise ValueError(f"value_range=({low:g}, {high:g}): black must be less than white.")
