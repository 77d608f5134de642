"""What each stage reads of a source of pictures, and the splits that come of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lhy_lightning.data.images.image_sets import ImageSplitSources
from lhy_lightning.data.images.image_splits import Division, Split, divide, report_duplicates, report_unreadable
from lhy_lightning.data.images.store_pool import Pool
from lhy_lightning.data.sources.folders import Role


def roles_of_stage(
    sets: ImageSplitSources,
    stage: str,
    test_fraction: float,
    *,
    unlabelled: bool = False,
    folds: bool = False,
    hint: str = ".",
) -> tuple[Role, ...]:
    """Which of the splits that a source hands out a stage reads.

    Args:
        sets: the opened source.
        stage: "fit", "validate", "test" or "predict".
        test_fraction: what is taken for the test where the source has none.
        unlabelled: read unlabelled pictures beside labelled ones too.
        folds: validation rows are made of the training rows, whatever the source hands out.
        hint: end of the message where there is no test split.

    Raises:
        ValueError: it has none, and none is to be made, or nothing to train on.
    """
    handed = sets.roles
    if stage == "predict":
        return ("test",) if "test" in handed else handed
    if stage == "test" and "test" in handed:
        return ("test",)
    if stage == "validate" and "val" in handed and not folds:
        return ("val",)
    if stage == "test" and not test_fraction:
        raise ValueError(f"{sets.source} has no test split and test_fraction is 0{hint}")
    found = tuple(role for role in handed if role != "unlabelled" or unlabelled or "train" not in handed)
    if not {"train", "unlabelled"} & set(found):
        raise ValueError(f"{sets.source} has only a {' and a '.join(handed)} split: nothing to train on.")
    return found


def splits_of_stage(
    sets: ImageSplitSources,
    roles: tuple[Role, ...],
    pool: Pool,
    stage: str,
    how: Division,
    report: Callable[[str], None],
    labels: np.ndarray | None = None,
) -> dict[str, Split]:
    """The splits that a stage asks for: those that are handed out, and those made of the training rows.

    Args:
        sets: the opened source.
        roles: what `roles_of_stage` says.
        pool: their pictures.
        stage: "fit", "validate", "test" or "predict".
        how: fractions and seed.
        report: is told about corrupt and repeated pictures.
        labels: (rows of the pool,) int64; by the source's own classes if not given.

    Raises:
        ValueError: a split is empty.
    """
    rows = sets.rows_of(roles)
    if labels is None:
        labels = sets.labels_of(roles, sets.classes(None, None), strict=False)
    if stage == "predict":
        order = sets.in_path_order(roles, pool)
        splits = {"predict": Split(pool, order, labels[order])}
    elif roles in (("test",), ("val",)):
        splits = {role: Split(pool, chosen, labels[chosen]) for role, chosen in rows.items()}
    else:
        splits = divide(pool, labels, rows, how, report)
        report_duplicates(splits, report)
    for name in {"test", "predict"} & splits.keys():
        report_unreadable(name, splits[name], report)
    return splits
