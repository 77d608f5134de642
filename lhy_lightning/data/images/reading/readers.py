"""Sets of images that lie in files or in an array, and how one image is decoded; tables are in `table_readers`."""

import hashlib
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps

from lhy_lightning.data.images.reading.bit_depth import DeepImage, Range, deep_image, range_in_use
from lhy_lightning.data.images.reading.bitmaps import open_bitmap
from lhy_lightning.data.images.reading.image_files import open_image

Resize = Literal["stretch", "crop"]
MODES = {1: "L", 3: "RGB"}
WHITE = 255  # what transparent pictures are laid over


def channels_of(image: Image.Image) -> int:
    """1 for grey pictures (an alpha channel does not count), 3 for all others."""
    return 1 if image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I") else 3


def opaque(image: Image.Image) -> Image.Image:
    """Lays a transparent picture over white; an opaque one keeps its pixels. The result may still have a palette."""
    if image.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in image.info:
        return image
    colours = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    image = image.convert("LA" if colours == "L" else "RGBA")
    opacity = image.getchannel("A")
    image = image.convert(colours)
    if opacity.getextrema()[0] == 255:
        return image
    whole = Image.new(colours, image.size, WHITE if colours == "L" else (WHITE,) * 3)
    whole.paste(image, mask=opacity)
    return whole


def decode(
    image: Image.Image,
    size: tuple[int, int],
    channels: int,
    resize: Resize,
    *,
    value_range: Range | None = None,
) -> np.ndarray:
    """Decodes one picture at the size and number of channels asked for.

    Args:
        image: as PIL opened it; its EXIF orientation is applied, and what is transparent becomes white.
        size: (height, width) of the result.
        channels: 1 (grey) or 3 (RGB).
        resize: "stretch" ignores the aspect ratio; "crop" brings the shorter side to size and takes the centre.
        value_range: (black, white) of a picture of more than 8 bits.

    Returns:
        (height, width, channels) uint8.

    Raises:
        ValueError: more than 8 bits, whose range is neither stated nor evident.
    """
    deep = deep_image(image)
    if deep is not None:
        value_range = range_in_use(str(getattr(image, "filename", "") or "a picture"), deep.reach, value_range)
    return _decode(image, deep, size, channels, resize, value_range)


def _decode(
    image: Image.Image,
    deep: DeepImage | None,
    size: tuple[int, int],
    channels: int,
    resize: Resize,
    value_range: Range | None,
) -> np.ndarray:
    height, width = size
    if image.format == "JPEG":  # the decoder itself can halve, quarter … : much faster for photos
        image.draft(MODES[channels], (2 * width, 2 * height))
    image.load()
    if deep is not None:
        info = {name: image.info[name] for name in ("exif",) if name in image.info}
        image = deep.to_bytes(value_range)
        image.info.update(info)
    if "exif" in image.info:
        image = ImageOps.exif_transpose(image)
    image = opaque(image)
    if image.mode != MODES[channels]:
        if image.mode == "P":
            image = image.convert("RGB")
        image = image.convert(MODES[channels])
    if image.size != (width, height):
        if resize == "crop":
            image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
        else:
            image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(height, width, channels)


def ranged(fingerprint: str, value_range: Range | None) -> str:
    """A fingerprint that tells ranges apart."""
    return fingerprint if value_range is None else f"{fingerprint}-{float(value_range[0])}-{float(value_range[1])}"


class PictureSet(ABC):
    """A list of pictures: how many, how each is called, and how to open one.

    Attributes:
        fingerprint: names the content and how it is decoded: the same as long as nothing changed, so decoded copies
            can be kept under it.
        value_range: the numbers that are black and white in pictures of more than 8 bits, None where not stated.
        always_ranged: its pictures are numbers that a range makes bytes of, all of them.
        reach: mode, smallest and largest value of every picture of more than 8 bits that was decoded, by row.
    """

    fingerprint: str
    value_range: Range | None = None
    always_ranged: bool = False

    @property
    def reach(self) -> dict[int, tuple[str, float, float]]:
        found: dict[int, tuple[str, float, float]] = vars(self).setdefault("_reach", {})
        return found

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def name(self, row: int) -> str:
        """Path of the picture, or `source#row`."""

    @abstractmethod
    def open(self, row: int) -> Image.Image:
        """The picture, as PIL opens it: size and mode are known, pixels are not decoded yet."""

    def deep(self, row: int, image: Image.Image) -> DeepImage | None:
        """The values of a picture of more than 8 bits, which `open` gave as `image`; None for 8 bits."""
        return deep_image(image)

    def header(self, row: int) -> tuple[int, int, int]:
        """(height, width, channels) of one picture; (0, 0, 0) where it cannot be opened."""
        try:
            with self.open(row) as image:
                width, height = image.size
                if "exif" in image.info and image.getexif().get(0x0112, 1) >= 5:  # orientations that swap the sides
                    width, height = height, width
                return height, width, channels_of(image)
        except Exception:
            return (0, 0, 0)

    def decode(self, row: int, size: tuple[int, int], channels: int, resize: Resize) -> np.ndarray | None:
        """(height, width, channels) uint8, or None where the picture is corrupt.

        Of a picture of more than 8 bits the `reach` is noted; whoever uses its pixels asks `range_in_use` first.
        """
        try:
            with self.open(row) as image:
                deep = self.deep(row, image)
                if deep is not None:
                    self.reach[row] = deep.reach
                return _decode(image, deep, size, channels, resize, self.value_range)
        except Exception:  # PIL raises OSError, SyntaxError, ValueError, struct.error … on corrupt files
            return None

    def decode_with_origin(
        self, row: int, size: tuple[int, int], channels: int, resize: Resize
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """As `decode`, and the pixels that tell it from others: the same, unless a change could make others alike."""
        picture = self.decode(row, size, channels, resize)
        return None if picture is None else (picture, picture)

    def check_files(self) -> None:  # noqa: B027 (most sets name no files)
        """Refuses a set that names files of which none is there."""

    def common_shape(self) -> tuple[int, int, int] | None:
        """(height, width, channels) where they are the same for all pictures by their nature, else None."""
        return None

    def as_array(self, size: tuple[int, int], channels: int) -> np.ndarray | None:
        """(N, height, width, channels) uint8 where the set is that already, else None: it has to be decoded."""
        return None


def files_fingerprint(root: Path, paths: Sequence[str]) -> str:
    """Returns 32 hexadecimal digits that change with the place, size or time of any of the files.

    Args:
        root: folder that the paths are relative to.
        paths: of the files; one that is missing changes the digits when it comes.

    Raises:
        ValueError: one is a pipe or a device, which may never end.
    """
    folder = str(root)
    digest = hashlib.blake2b(str(root.resolve()).encode(), digest_size=16)
    for path in paths:
        try:
            found = os.stat(os.path.join(folder, path))
            told = f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0"
            endless = not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode))
        except (OSError, ValueError):  # ValueError: a null character
            told, endless = f"{path}\0missing\0", False
        if endless:
            raise ValueError(f"{os.path.join(folder, path)} is a pipe or a device, not a picture file: remove it.")
        digest.update(told.encode("utf8", "surrogateescape"))
    return digest.hexdigest()


class FilePictures(PictureSet):
    """Pictures in files of their own.

    Args:
        root: folder that the paths are relative to.
        paths: relative paths, in row order.
        value_range: (black, white) of pictures of more than 8 bits.
    """

    def __init__(self, root: Path, paths: Sequence[str], value_range: Range | None = None) -> None:
        self.root, self.paths, self.folder, self.value_range = root, tuple(paths), str(root), value_range
        self.fingerprint = ranged(files_fingerprint(root, self.paths), value_range)

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, row: int) -> str:
        return os.path.join(self.folder, self.paths[row])

    def open(self, row: int) -> Image.Image:
        path = self.name(row)
        if path.endswith((".bmp", ".BMP")):
            with open(path, "rb") as file:
                plain = open_bitmap(file.read())
            if plain is not None:
                return plain
        return open_image(path)


class ArrayPictures(PictureSet):
    """Pictures in one uint8 array, in memory or memory-mapped.

    Args:
        array: (N, H, W) or (N, H, W, C) uint8, C 1 or 3.
        source: what it was loaded from.
        fingerprint: names the array's content.
        file: the `.npy` file that `array` maps, which worker processes then open themselves.
    """

    def __init__(self, array: np.ndarray, source: str, fingerprint: str, file: Path | None = None) -> None:
        if array.dtype != np.uint8 or array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in MODES):
            raise ValueError(
                f"{source} holds {array.dtype} of shape {array.shape}; pictures are uint8 of shape (N, height, width) "
                "or (N, height, width, channels) with 1 or 3 channels."
            )
        self.array = np.asarray(array if array.ndim == 4 else array[..., None])
        self.source, self.fingerprint, self.file = source, fingerprint, file

    def __getstate__(self) -> dict[str, Any]:
        return {key: None if key == "array" and self.file else value for key, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if self.file is not None:
            array = np.load(self.file, mmap_mode="r", allow_pickle=False)
            self.array = np.asarray(array if array.ndim == 4 else array[..., None])

    def __len__(self) -> int:
        return len(self.array)

    def name(self, row: int) -> str:
        return f"{self.source}#{row}"

    def open(self, row: int) -> Image.Image:
        picture = self.array[row]
        return Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)

    def common_shape(self) -> tuple[int, int, int] | None:
        height, width, channels = self.array.shape[1:]
        return height, width, channels

    def as_array(self, size: tuple[int, int], channels: int) -> np.ndarray | None:
        return self.array if self.array.shape[1:] == (*size, channels) else None
