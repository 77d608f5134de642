"""Pairs of pictures as they lie about: side by side in one file, or in two files of one name."""

from __future__ import annotations

from pathlib import PurePath

import numpy as np
from PIL import Image, ImageOps

from lhy_lightning.core.messages import first_of
from lhy_lightning.data.images.image_sets import ImageSplitSources
from lhy_lightning.data.images.image_store import read_headers
from lhy_lightning.data.images.reading.bit_depth import DeepImage
from lhy_lightning.data.images.reading.readers import FilePictures, PictureSet
from lhy_lightning.data.images.store_pool import Pool
from lhy_lightning.data.sources.folders import Role


class HalfPictures(PictureSet):
    """The left or the right half of each picture, as in the published data sets of pix2pix.

    Args:
        whole: pictures of two halves side by side.
        right: which half.
    """

    def __init__(self, whole: PictureSet, *, right: bool) -> None:
        self.whole, self.right = whole, right
        self.fingerprint = f"{whole.fingerprint}-{'right' if right else 'left'}"
        self.value_range, self.always_ranged = whole.value_range, whole.always_ranged

    def __len__(self) -> int:
        return len(self.whole)

    def name(self, row: int) -> str:
        return self.whole.name(row)

    def open(self, row: int) -> Image.Image:
        with self.whole.open(row) as image:
            turned = ImageOps.exif_transpose(image)  # a half of its own could not be turned any more
            width, height = turned.size
            return turned.crop((width // 2, 0, width, height) if self.right else (0, 0, width // 2, height))

    def deep(self, row: int, image: Image.Image) -> DeepImage | None:
        with self.whole.open(row) as whole:  # `image` is 8 bits by now
            found = self.whole.deep(row, whole)
        if found is None:
            return None
        middle = found.values.shape[1] // 2
        return DeepImage(found.mode, found.values[:, middle:] if self.right else found.values[:, :middle])

    def header(self, row: int) -> tuple[int, int, int]:
        height, width, channels = self.whole.header(row)
        return height, width // 2, channels

    def common_shape(self) -> tuple[int, int, int] | None:
        shape = self.whole.common_shape()
        return None if shape is None else (shape[0], shape[1] // 2, shape[2])


class PairedPool(Pool):
    """Inputs as a pool, each with its target: a pair is corrupt if one of both is, and known by its input's content.

    Args:
        inputs: the pool of inputs.
        targets: as many, in the same order.
    """

    def __init__(self, inputs: Pool, targets: Pool) -> None:
        super().__init__(inputs.stores)
        self.targets = targets
        self.bad = self.bad | targets.bad

    def doubts(self, rows: np.ndarray) -> list[str]:
        named = {"inputs": super().doubts(rows), "targets": self.targets.doubts(rows)}
        return [f"{sentence} ({name})" for name, sentences in named.items() for sentence in sentences]


def cut_in_halves(whole: ImageSplitSources) -> tuple[ImageSplitSources, ImageSplitSources]:
    """Left and right halves of all pictures.

    Raises:
        ValueError: a picture has an odd width: it is not two of one size.
    """
    for split in whole.splits(whole.roles):
        headers = read_headers(split.pictures, whole.cache)
        odd = np.flatnonzero(headers[:, 1] % 2)
        if len(odd):
            row = int(odd[0])
            raise ValueError(
                f"{split.pictures.name(row)} is {headers[row, 1]} pixels wide: not two pictures of one size side by "
                "side. Pairs in two folders are input_source and target_source, or sub-folders A and B; for pictures "
                "from which the input is computed set input_transform."
            )
    pictures = {role: splits[0].pictures for role, splits in whole.by_role.items()}
    left, right = (
        whole.with_pictures({role: HalfPictures(found, right=side) for role, found in pictures.items()})
        for side in (False, True)
    )
    return left, right


def looks_single(halves: ImageSplitSources) -> str | None:
    """Name of a picture whose halves are tall and narrow, as those of a square picture are; None where none is."""
    for split in halves.splits(halves.roles):
        headers = read_headers(split.pictures, halves.cache)
        narrow = np.flatnonzero((headers[:, 0] > 0) & (headers[:, 0] >= 2 * headers[:, 1]))
        if len(narrow):
            return split.pictures.name(int(narrow[0]))
    return None


def matched(inputs: ImageSplitSources, targets: ImageSplitSources) -> ImageSplitSources:
    """The targets in the order of their inputs: by file name without its ending, or by row where they are no files.

    Raises:
        ValueError: a split, or a picture, is on one side only, or rows are files of the same names in another order.
    """
    alone = set(inputs.roles) ^ set(targets.roles)
    if alone:
        raise ValueError(f"{inputs.source} and {targets.source}: only one of them has a {sorted(alone)[0]} split.")
    pictures: dict[Role, PictureSet] = {}
    for role in inputs.roles:
        first, second = inputs.by_role[role][0].pictures, targets.by_role[role][0].pictures
        if isinstance(first, FilePictures) and isinstance(second, FilePictures):
            second = _in_order_of(first, second)
        elif len(first) != len(second):
            raise ValueError(
                f"{inputs.source} has {len(first)} {role} pictures, {targets.source} has {len(second)}: pairs are rows "
                "of equal number."
            )
        else:
            _check_order(first, second)
        pictures[role] = second
    return targets.with_pictures(pictures)


def _check_order(inputs: PictureSet, targets: PictureSet) -> None:
    """Raises ValueError where tables name files of the same names in another order: their rows are not the pairs."""
    stems = [[PurePath(one.name(row)).stem for row in range(len(one))] for one in (inputs, targets)]
    if stems[0] != stems[1] and len(set(stems[0])) == len(stems[0]) and set(stems[0]) == set(stems[1]):
        row = next(row for row, (one, other) in enumerate(zip(*stems, strict=True)) if one != other)
        raise ValueError(
            f"row {row} pairs {inputs.name(row)} with {targets.name(row)}, and {stems[0][row]} is among the targets in "
            f"row {stems[1].index(stems[0][row])}: pairs are rows of equal number; give both tables in one order."
        )


def _in_order_of(inputs: FilePictures, targets: FilePictures) -> FilePictures:
    wanted, found = _by_stem(inputs), _by_stem(targets)
    for one, other, names in (
        (inputs, targets, sorted(wanted.keys() - found.keys())),
        (targets, inputs, sorted(found.keys() - wanted.keys())),
    ):
        if names:
            listed = first_of(names, 5)
            raise ValueError(
                f"{len(names)} picture{'s' * (len(names) != 1)} of {one.root} without a partner of the same name in "
                f"{other.root}: {listed}."
            )
    return FilePictures(targets.root, [found[name] for name in wanted], targets.value_range)


def _by_stem(pictures: FilePictures) -> dict[str, str]:
    """Paths by what they are called without their ending, in row order."""
    found: dict[str, str] = {}
    for path in pictures.paths:
        stem = str(PurePath(path).with_suffix(""))
        if stem in found:
            raise ValueError(
                f"{pictures.root} has {found[stem]} and {path}: which of them belongs to {stem}'s partner?"
            )
        found[stem] = path
    return found
