"""Deterministic splits: stratified by class, rows of equal content on one side, the same on every machine.

Order comes from the raw bits of PCG64, whose stream numpy guarantees, and not from `Generator.permutation`, whose
results may change between numpy versions.
"""

import numpy as np

UNLABELLED = -1


def shuffled(rows: np.ndarray, *seed: int) -> np.ndarray:
    """`rows` in an order that depends on the seed's numbers only."""
    bits = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(len(rows))
    return rows[np.argsort(bits, kind="stable")]


def content_groups(labels: np.ndarray, content: np.ndarray) -> list[list[np.ndarray]]:
    """Rows of equal content together, by class.

    Args:
        labels: (N,) int64; a group of several labels counts as the class of its first row.
        content: (N,) hashes.

    Returns:
        For every class that occurs, ascending: its groups, each the positions of its rows, in order of the first.
    """
    _, first, group = np.unique(content, return_index=True, return_inverse=True)
    order = np.argsort(first[group], kind="stable")  # rows by their group's first row
    starts = np.flatnonzero(np.diff(first[group][order], prepend=-1))
    groups = np.split(order, starts[1:])
    by_class: dict[int, list[np.ndarray]] = {}
    for rows in groups:
        by_class.setdefault(int(labels[rows[0]]), []).append(rows)
    return [by_class[label] for label in sorted(by_class)]


def held_out(labels: np.ndarray, content: np.ndarray, fraction: float, seed: int, *, stream: int = 0) -> np.ndarray:
    """Chooses a fraction of the rows of every class.

    Args:
        labels: (N,) int64.
        content: (N,) hashes; rows of equal content are chosen together.
        fraction: of each class, rounded; at least one row of a class of three or more.
        seed: the same seed, the same rows.
        stream: tells apart several choices with one seed.

    Returns:
        (N,) bool.
    """
    chosen = np.zeros(len(labels), dtype=bool)
    if fraction <= 0:
        return chosen
    for number, groups in enumerate(content_groups(labels, content)):
        rows = sum(map(len, groups))
        wanted = max(round(rows * fraction), int(rows >= 3))
        for i in shuffled(np.arange(len(groups)), seed, stream, number):
            if len(groups[i]) <= wanted:
                chosen[groups[i]] = True
                wanted -= len(groups[i])
            if wanted == 0:
                break
    return chosen


def fold_of_row(labels: np.ndarray, content: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Deals the rows of every class over the folds: each row is in exactly one.

    Args:
        labels: (N,) int64.
        content: (N,) hashes; rows of equal content share a fold.
        folds: how many.
        seed: the same seed, the same folds.

    Returns:
        (N,) int64 in [0, folds).

    Raises:
        ValueError: there are more folds than different rows, so that some have none.
    """
    fold, total = np.zeros(len(labels), dtype=np.int64), [0] * folds
    for number, groups in enumerate(content_groups(labels, content)):
        in_class = [0] * folds
        for i in shuffled(np.arange(len(groups)), seed, number):
            target = min(range(folds), key=lambda f: (in_class[f], total[f], f))
            fold[groups[i]] = target
            in_class[target] += len(groups[i])
            total[target] += len(groups[i])
    if empty := total.count(0):
        different = len(np.unique(content))
        raise ValueError(
            f"folds={folds}: {empty:,} of them would have no validation row, as {different:,} rows are different; "
            f"give {different:,} at most."
        )
    return fold


def first_of_each_class(
    labels: np.ndarray, rows_per_class: int, seed: int, *, argument: str = "labelled_per_class"
) -> np.ndarray:
    """Chooses `rows_per_class` rows of every class; `argument` is what the message calls this number.

    Returns:
        (N,) bool.

    Raises:
        ValueError: a class has fewer rows.
    """
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = shuffled(np.flatnonzero(labels == label), seed, int(label))
        if len(rows) < rows_per_class:
            raise ValueError(f"{argument}={rows_per_class}, but class {label} has {len(rows)} training rows.")
        chosen[rows[:rows_per_class]] = True
    return chosen


def labelled_otherwise(content: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which rows have an equal one of another label: (N,) bool.

    Args:
        content: (N,) numbers or bytes, equal where rows are.
        labels: (N,) int64, -1 where unknown.
    """
    known = np.flatnonzero(labels >= 0)
    _, group = np.unique(content[known], return_inverse=True)
    least, most = (np.full(len(known), start) for start in (np.iinfo(np.int64).max, -1))
    np.minimum.at(least, group, labels[known])
    np.maximum.at(most, group, labels[known])
    found = np.zeros(len(labels), dtype=bool)
    found[known] = least[group] != most[group]
    return found


def duplicates_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Which rows of `second` have the content of a row of `first`: (len(second),) bool."""
    return np.isin(second, first)
