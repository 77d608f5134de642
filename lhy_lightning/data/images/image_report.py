"""Says before training how images were read: from where into which splits, which classes, and what was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from lhy_lightning.data.class_counts import describe_classes, doubtful_classes
from lhy_lightning.data.images.image_sets import ImageSplitSources
from lhy_lightning.data.images.image_splits import Split

Say = Callable[[str], None]
LOOKED_AT = 32
ENLARGED = 2  # times the side


def tell_of_sources(sets: Iterable[ImageSplitSources], tell: Say, report: Say) -> None:
    """Passes on what was noted while sources were opened."""
    for one in sets:
        if one.unused_range:
            report(f"{one.source}: value_range is set, but has no effect: no image has more than 8 bits.")
        for split in one.splits(one.roles):
            for note in split.notes:
                tell(note)
            for doubt in split.doubts:
                report(doubt)


def describe_splits(source: str, splits: Mapping[str, Split], handed: Sequence[str]) -> str:
    """Returns `photos: 80 train, 10 val (held out), 10 test (held out) images of 8×8, grey`.

    Args:
        source: what the images come from.
        splits: those of a stage; empty ones are not named.
        handed: the splits that the source itself hands out.
    """
    store = next(iter(splits.values())).pool.stores[0]
    (height, width), colours = store.size, "grey" if store.channels == 1 else "colour"
    parts = [
        f"{len(split):,} {name}{'' if name in handed or name == 'train' else ' (held out)'}"
        for name, split in splits.items()
        if len(split)
    ]
    return f"{source}: {', '.join(parts)} images of {height}×{width}, {colours}"


def tell_of_classes(names: Sequence[str], truth: np.ndarray, tell: Say, report: Say) -> None:
    """Tells the classes with their training rows, and reports those that look as if nobody meant them.

    Args:
        names: of the classes, in the order of their numbers.
        truth: (N,) int64 labels of the training rows, -1 where unknown.
    """
    if not names:
        tell("no labels: the training images are of no classes")
        return
    counts = np.bincount(truth[truth >= 0], minlength=len(names)).tolist()
    tell(describe_classes(names, counts))
    for doubt in doubtful_classes(names, counts):
        report(f"{doubt}.")


def tell_of_unlabelled(splits: Mapping[str, Split], names: Sequence[str], report: Say) -> None:
    """Reports a validation split without labels where training rows have them: nothing about it can be scored."""
    val = splits.get("val")
    if names and val is not None and len(val) and (val.truth < 0).all():
        report(
            f"the {len(val):,} val pictures have no labels ({val.names([0])[0]} …), so none can be right or wrong: "
            "give them labels as the training pictures have."
        )


def enlargement(split: Split, size: tuple[int, int]) -> str | None:
    """Returns a sentence where images are enlarged at least twofold, which takes time and shows nothing more.

    Args:
        split: whose images are looked at, `LOOKED_AT` of them.
        size: (height, width) that they are read at.
    """
    sizes = []
    for row in split.rows[:: max(1, len(split) // LOOKED_AT)]:
        height, width, channels = split.pool.header(int(row))
        if channels:
            sizes.append((height, width))
    if not sizes:
        return None
    height, width = (int(side) for side in np.median(sizes, axis=0))
    if size[0] < ENLARGED * height or size[1] < ENLARGED * width:
        return None
    times = size[0] * size[1] / (height * width)
    own = str(height) if height == width else f"[{height}, {width}]"
    return (
        f"images of {height}×{width} are enlarged to {size[0]}×{size[1]}: {times:.0f} times the work, and nothing more "
        f"to see; --data.image_size {own} keeps them as they are"
    )
