"""The classes of labelled domains, and their rows in training, validation and test.

Rows of a target are divided without a look at its labels, so that whoever exchanges these gets the same batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from lhy_lightning.core.messages import first_of
from lhy_lightning.data.images.image_sets import ImageSplitSources
from lhy_lightning.data.images.image_splits import Split, report_duplicates, report_unreadable
from lhy_lightning.data.images.store_pool import Pool
from lhy_lightning.data.sources.folders import Role
from lhy_lightning.data.splits import UNLABELLED, first_of_each_class, held_out

Report = Callable[[str], None]
_listed = partial(first_of, most=12)


@dataclass(frozen=True)
class TargetDivision:
    """How the target is divided: as the arguments of `DomainDataModule` of the same names."""

    transductive: bool
    target_val_fraction: float
    target_test_fraction: float
    split_seed: int
    target_rows_per_class: int | None
    target_labels_per_class: int | None


# --- classes ----------------------------------------------------------------------------------------------------------


def pictures_of_classes(sets: ImageSplitSources) -> dict[str, int]:
    """How many pictures a labelled domain has of each class that it has any of, in the order of its numbers."""
    names, roles = sets.classes(None, None), [role for role in sets.roles if sets.labelled(role)]
    labels = sets.labels_of(roles, names, strict=False) if roles else np.zeros(0, dtype=np.int64)
    counts = np.bincount(labels[labels >= 0], minlength=len(names)).tolist()
    return {name: count for name, count in zip(names, counts, strict=True) if count}


def common_classes(
    domains: dict[str, ImageSplitSources], given: Sequence[str] | None, report: Report
) -> tuple[str, ...]:
    """The classes of all labelled domains.

    Args:
        domains: the labelled ones by name.
        given: only these, in this order.
        report: is told how many pictures of other classes are left out.

    Raises:
        ValueError: domains without the same classes, or without one of those given.
    """
    found = {name: pictures_of_classes(sets) for name, sets in domains.items()}
    if given is not None:
        if not given or len(set(given)) < len(given):
            raise ValueError(f"classes={list(given)}: give every class once, at least one.")
        for name, own in found.items():
            missing = [one for one in given if one not in own]
            if missing:
                raise ValueError(
                    f"{name} has no picture of class {', '.join(missing)}; its classes are {_listed(list(own))}. "
                    "Set --data.classes to those that all labelled domains have."
                )
            others = [one for one in own if one not in given]
            if others:
                number = sum(own[one] for one in others)
                report(f"{name}: {number:,} pictures of other classes are left out ({_listed(others)}).")
        return tuple(given)
    first, classes = next((name, tuple(own)) for name, own in found.items())
    for name, own in found.items():
        if set(own) != set(classes):
            apart = [f"only {first} has {_listed(only)}" for only in [[c for c in classes if c not in own]] if only]
            apart += [f"only {name} has {_listed(only)}" for only in [[c for c in own if c not in classes]] if only]
            shared = [c for c in classes if c in own]
            raise ValueError(
                f"labelled domains of different classes: {'; '.join(apart)}. Set --data.classes to those to keep"
                f"{f' ({_listed(shared)} are in both)' if shared else ''}, or give folders of the same names."
            )
    return classes


def labels_in(sets: ImageSplitSources, roles: Sequence[Role], classes: Sequence[str]) -> np.ndarray:
    """Places in `classes` of all rows of the roles, -1 for those of other classes and without a label: (N,) int64."""
    own = sets.classes(None, None)
    place = np.array([classes.index(name) if name in classes else UNLABELLED for name in own] + [UNLABELLED])
    labels: np.ndarray = place[sets.labels_of(roles, own, strict=False)]  # -1 takes the last
    return labels


# --- rows -------------------------------------------------------------------------------------------------------------


def source_splits(
    sets: ImageSplitSources,
    roles: Sequence[Role],
    pool: Pool,
    labels: np.ndarray,
    fraction: float,
    seed: int,
    report: Report,
) -> dict[str, Split]:
    """`train` and `val` of a source domain: validation rows as handed out, or held out of the training rows.

    Args:
        sets, roles, pool: the domain, what is read of it, and its pictures.
        labels: (rows of the pool,) int64, -1 for rows to leave out.
        fraction, seed: of the validation rows that are held out.
        report: is told about corrupt pictures.

    Raises:
        ValueError: a split is empty.
    """
    handed = sets.rows_of(roles)
    train = _readable(pool, handed["train"][labels[handed["train"]] >= 0], f"{sets.source} (train)", report)
    report_doubts(sets, pool, train, report)
    if "val" in handed:
        val = _readable(pool, handed["val"][labels[handed["val"]] >= 0], f"{sets.source} (val)", report)
    else:
        chosen = held_out(labels[train], pool.content[train], fraction, seed, stream=1)
        train, val = train[~chosen], train[chosen]
    return _none_empty({"train": Split(pool, train, labels[train]), "val": Split(pool, val, labels[val])}, sets.source)


def target_splits(
    sets: ImageSplitSources,
    roles: Sequence[Role],
    pool: Pool,
    labels: np.ndarray,
    stage: str,
    how: TargetDivision,
    report: Report,
) -> dict[str, Split]:
    """The splits of the target that a stage asks for.

    Args:
        sets, roles, pool: the target, what is read of it, and its pictures.
        labels: (rows of the pool,) int64; -1 throughout without labels.
        stage: "fit", "validate", "test" or "predict".
        how: fractions, and rows a class.
        report: is told about corrupt and repeated pictures.

    Returns:
        `predict`: test rows, or all where none are handed out; or `test` alone; or `train`, `val`, and `test` where
        there is one. What is tested or predicted in full is in file order.

    Raises:
        ValueError: a split is empty, or a class has too few rows.
    """
    if not how.transductive and (stage == "predict" or (stage == "test" and tuple(roles) == ("test",))):
        rows = sets.in_path_order(roles, pool)
        if stage == "test" and sets.labelled("test"):
            rows = rows[labels[rows] >= 0]  # other classes than those asked for
        splits = _none_empty({stage: Split(pool, rows, labels[rows])}, sets.source)
    else:
        splits = _divided(sets, roles, pool, labels, how, report)
        if not how.transductive:
            report_duplicates(splits, report)
        elif stage == "predict":
            splits = {"predict": splits["test"]}
    for name in {"test", "predict"} & splits.keys():
        report_unreadable(name, splits[name], report)
    return splits


def _divided(
    sets: ImageSplitSources, roles: Sequence[Role], pool: Pool, labels: np.ndarray, how: TargetDivision, report: Report
) -> dict[str, Split]:
    """Training, validation and test rows; with labels, only labelled rows are trained on."""
    known = bool((labels >= 0).any())
    handed = {
        role: rows[labels[rows] >= 0] if known and sets.labelled(role) else rows
        for role, rows in sets.rows_of(roles).items()
    }
    if how.transductive:
        rows = sets.in_path_order(roles, pool)
        rows = _so_many_per_class(rows[labels[rows] >= 0] if known else rows, labels, how)
        train = _readable(pool, rows, f"{sets.source} (train)", report)
        report_doubts(sets, pool, train, report)
        parts = {"train": train, "val": rows, "test": rows}
        return _none_empty({name: Split(pool, part, labels[part]) for name, part in parts.items()}, sets.source)
    trained_on: tuple[Role, ...] = ("train",) if known else ("train", "unlabelled")
    if not set(trained_on) & set(handed):
        raise ValueError(
            f"{sets.source} has only a {' and a '.join(handed)} split: nothing to train on. To train on the pictures "
            "that are tested, set --data.transductive true."
        )
    train = np.concatenate([handed[role] for role in trained_on if role in handed])
    train = _so_many_per_class(_readable(pool, train, f"{sets.source} (train)", report), labels, how)
    report_doubts(sets, pool, train, report)
    parts, nothing = {}, np.zeros(len(pool.bad), dtype=np.int64)
    made_test = 0.0 if "test" in handed else how.target_test_fraction
    if "test" in handed:
        parts["test"] = handed["test"]
    elif made_test:
        chosen = held_out(nothing[train], pool.content[train], made_test, how.split_seed)
        train, parts["test"] = train[~chosen], train[chosen]
    if "val" in handed:
        parts["val"] = _readable(pool, handed["val"], f"{sets.source} (val)", report)
    else:
        fraction = how.target_val_fraction / (1 - made_test)
        chosen = held_out(nothing[train], pool.content[train], fraction, how.split_seed, stream=1)
        train, parts["val"] = train[~chosen], train[chosen]
    if how.target_labels_per_class is not None:
        few = first_of_each_class(
            labels[train], how.target_labels_per_class, how.split_seed, argument="target_labels_per_class"
        )
        train = train[few]
    parts["train"] = train
    return _none_empty({name: Split(pool, part, labels[part]) for name, part in parts.items()}, sets.source)


def joined(parts: Sequence[Split], pool: Pool, starts: Sequence[int]) -> Split:
    """The same split of several domains as one.

    Args:
        parts: one a domain.
        pool: the pictures of all of them, one domain after the other.
        starts: where each begins in the pool.
    """
    rows = np.concatenate([start + part.rows for start, part in zip(starts, parts, strict=True)])
    truth = np.concatenate([part.truth for part in parts])
    return Split(pool, rows, truth)


def report_doubts(sets: ImageSplitSources, pool: Pool, rows: np.ndarray, report: Report) -> None:
    """Tells of training images that are hardly what was meant: equal, of one colour, nearly black."""
    for sentence in pool.doubts(rows):
        report(f"{sets.source}: {sentence}.")


def _so_many_per_class(rows: np.ndarray, labels: np.ndarray, how: TargetDivision) -> np.ndarray:
    if how.target_rows_per_class is None:
        return rows
    keep = first_of_each_class(
        labels[rows], how.target_rows_per_class, how.split_seed, argument="target_rows_per_class"
    )
    kept: np.ndarray = rows[keep]
    return kept


def _readable(pool: Pool, rows: np.ndarray, where: str, report: Report) -> np.ndarray:
    bad = rows[pool.bad[rows]]
    if len(bad):
        names = first_of([pool.name(int(row)) for row in bad[:6]], 5)
        report(f"{where}: {len(bad):,} picture{'s' * (len(bad) != 1)} left out that cannot be read: {names}.")
    whole: np.ndarray = rows[~pool.bad[rows]]
    return whole


def _none_empty(splits: dict[str, Split], source: str) -> dict[str, Split]:
    for name, split in splits.items():
        if not len(split):
            raise ValueError(f"the {name} split of {source} is empty: it needs more pictures, or other fractions.")
    return splits
