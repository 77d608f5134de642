"""Splits of parallel text that leak nothing: no sentence, source or target, is on both sides.

Random splits of subtitles and phrase books leak much: "Thank you." has a dozen translations, and a row in validation
whose source also occurs in training measures memory.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from lhy_lightning.data.splits import shuffled


@dataclass
class HeldOut:
    """A choice of rows.

    Attributes:
        held: (N,) bool, True for rows that are held out.
        moved: rows that are not where a plain random choice of as many rows would have put them, because that choice
            cuts their group of shared sentences in two.
    """

    held: np.ndarray
    moved: int


@dataclass
class WithoutLeaks:
    """Which training rows may stay beside given validation and test rows.

    Attributes:
        keep: (N,) bool.
        same_pair, same_source, same_target: why the other rows may not: their pair is in another split, else their
            source, else their target.
    """

    keep: np.ndarray
    same_pair: int
    same_source: int
    same_target: int

    @property
    def dropped(self) -> int:
        """How many training rows share a sentence with another split."""
        return self.same_pair + self.same_source + self.same_target


def sentence_groups(source: Sequence[str], target: Sequence[str] | None = None) -> np.ndarray:
    """Groups rows that share a source or a target sentence, directly or through other rows (union-find).

    Args:
        source, target: N lines each, cleaned as they will be trained on. Lines are compared as they are.

    Returns:
        (N,) int64, for each row the number of the first row of its group.
    """
    parent = list(range(len(source)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]  # halves the path for the next time
            row = parent[row]
        return row

    for side in (source, target):
        first: dict[str, int] = {}
        for row, text in enumerate(side or ()):
            a, b = root(first.setdefault(text, row)), root(row)
            parent[max(a, b)] = min(a, b)
    return np.array([root(row) for row in range(len(parent))], dtype=np.int64)


def hold_out_pairs(
    source: Sequence[str],
    target: Sequence[str] | None,
    wanted: float | int,
    seed: int,
    *,
    fixed: Collection[int] = (),
) -> HeldOut:
    """Chooses whole groups of rows that share sentences, so that both sides have no sentence in common.

    Groups of more rows than are still wanted stay in training: the giant group that common phrases make of a
    subtitle corpus always does.

    Args:
        source, target: N lines each, cleaned.
        wanted: a fraction of the rows (a float below 1), rounded, at least one row; or how many rows.
        seed: the same seed, the same rows, on every machine.
        fixed: rows that must stay in training, as must whatever shares a sentence with them.

    Raises:
        ValueError: no group is small enough, or as many rows are wanted as there are.
    """
    rows = len(source)
    count = max(1, round(rows * wanted)) if 0 < wanted < 1 else int(wanted)
    if count <= 0:
        return HeldOut(np.zeros(rows, dtype=bool), 0)
    if count >= rows:
        raise ValueError(
            f"{count:,} of {rows:,} rows are to be held out: none would be left to train on. Give more rows, or a "
            "validation set of its own."
        )
    group = sentence_groups(source, target)
    members: dict[int, list[int]] = {}
    for row, first in enumerate(group.tolist()):
        members.setdefault(first, []).append(row)
    order = shuffled(np.arange(rows), seed).tolist()
    seen = {int(group[row]) for row in fixed}
    held = np.zeros(rows, dtype=bool)
    left = count
    for row in order:  # groups in the order in which a plain choice of rows meets them
        first = int(group[row])
        if first not in seen and len(members[first]) <= left:
            held[members[first]] = True
            left -= len(members[first])
        seen.add(first)
        if left == 0:
            break
    if not held.any():
        raise ValueError(
            f"no row can be held out: {count:,} of {rows:,} are wanted, and the smallest group of rows that share "
            f"sentences has {min(map(len, members.values())):,}. Give a validation set of its own, or a larger part."
        )
    plain = np.zeros(rows, dtype=bool)
    plain[order[:count]] = True
    cut = [rows_of for rows_of in members.values() if 0 < plain[rows_of].sum() < len(rows_of)]
    moved = sum(int((plain[rows_of] != held[rows_of]).sum()) for rows_of in cut)
    return HeldOut(held, moved)


def remove_leaks(
    source: Sequence[str],
    target: Sequence[str] | None,
    others: Sequence[tuple[Sequence[str], Sequence[str] | None]],
) -> WithoutLeaks:
    """Finds the training rows that share a sentence with given validation or test sets.

    Args:
        source, target: N training lines each, cleaned.
        others: sources and targets of the other splits, cleaned the same way; None for targets that are no
            references. Empty lines are no sentences.
    """
    sources = {text for split in others for text in split[0] if text}
    targets = {text for split in others for text in split[1] or () if text}
    pairs = {pair for split in others if split[1] is not None for pair in zip(split[0], split[1], strict=True)}
    keep = np.ones(len(source), dtype=bool)
    pair, by_source, by_target = 0, 0, 0
    for row, text in enumerate(source):
        translation = target[row] if target is not None else ""
        if text not in sources and translation not in targets:
            continue
        keep[row] = False
        if (text, translation) in pairs:
            pair += 1
        elif text in sources:
            by_source += 1
        else:
            by_target += 1
    return WithoutLeaks(keep, pair, by_source, by_target)
