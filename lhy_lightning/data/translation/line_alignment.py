"""Where two files that should be aligned line by line part: for the message about files of different length."""

import re
from collections.abc import Sequence

import numpy as np


def parting_line(source: Sequence[str], target: Sequence[str]) -> int | None:
    """Where two files that should be aligned part, judged by looks: length (as in Gale and Church 1993), ?, !, digits.

    Of all ways to leave out the surplus lines of the longer file in one place, the one after which lines that look
    alike face each other.

    Returns:
        A line number from 1, one beyond the shorter file where it fits to its end; None where this explains the looks
        hardly better than chance (below five standard deviations of a random walk).
    """
    short, long = sorted((source, target), key=len)
    surplus, looks = len(long) - len(short), [_looks(side) for side in (short, long)]
    faced = np.stack([looks[1][: len(short)], looks[1][surplus:]]) - looks[0]  # (2, lines, 4)
    faced[..., 0] -= np.median(faced[..., 0])
    before, after = np.abs(faced).sum(axis=2)
    cost = np.concatenate([[0.0], np.cumsum(before - after)])  # of parting after 0, 1, … lines, but for a constant
    best = len(cost) - 1 - int(np.argmin(cost[::-1]))
    gain = (cost[0] - cost[best]) + (cost[-1] - cost[best])
    return best + 1 if gain > 5 * np.sqrt(np.square(before - after).sum()) else None


def _looks(lines: Sequence[str]) -> np.ndarray:
    """(lines, 4) float64: logarithm of the length, and whether there is a question, an exclamation mark, a digit."""
    marks = (re.compile("[?？]"), re.compile("[!！]"), re.compile(r"\d"))
    rows = [(len(line), *(mark.search(line) is not None for mark in marks)) for line in lines]
    looks = np.array(rows, dtype=np.float64).reshape(-1, 4)
    looks[:, 0] = np.log1p(looks[:, 0])
    return looks
