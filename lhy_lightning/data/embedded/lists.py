"""`embedded:lists`: English lists of amounts and measures, and the same in Chinese, by the Unicode CLDR's rules.

    4 kilometers, 23 euros, and 5,120 light years    4公里、23欧元和5,120光年

Long strings (of 15 to 120 characters) whose two sides run side by side: 98 % of the digits of validation stand within a
fifth of the length of the diagonal. That is what guided attention takes for granted, and what an attention that starts
out even over sixty characters has to find.

A number is in one split only, whatever is counted; Babel writes names and lists. There is one translation of each list.
"""

import re
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np

from lhy_lightning.data.embedded.cldr import CURRENCIES, UNITS, Pairs, SplitName, write_measure, write_money
from lhy_lightning.data.splits import shuffled

SIZES: dict[SplitName, int] = {"train": 20_000, "val": 1_000, "test": 1_000}
"""Pairs of each split."""
SHORTEST, LONGEST = 2, 5
"""Entries of a list."""
DIGITS = 4
"""Numbers have one to so many, each length as often; nine tenths of each length's are in training."""

SEED = 0
_ENTRIES, _NUMBERS = range(2)  # streams of random bits


def lists_pairs() -> dict[SplitName, Pairs]:
    """English and Chinese lines of each split: the same on every machine that has the same release of Babel."""
    return {split: (list(source), list(target)) for split, (source, target) in _all_pairs().items()}


@cache
def _all_pairs() -> dict[SplitName, Pairs]:
    patterns = [money_pattern(code) for code in CURRENCIES] + [measure_pattern(unit) for unit in UNITS]
    found: dict[SplitName, Pairs] = {}
    for stream, (split, size) in enumerate(SIZES.items()):
        numbers, rows = [numbers_of(split, digits) for digits in range(1, DIGITS + 1)], dict[str, str]()
        for length, *draws in _bits(2 * size, 1 + LONGEST, _ENTRIES, stream):
            entries = []
            for draw in draws[: SHORTEST + length % (LONGEST - SHORTEST + 1)]:
                draw, pattern = divmod(draw, len(patterns))
                draw, digits = divmod(draw, DIGITS)
                number = f"{numbers[digits][draw % len(numbers[digits])]:,}"
                entries.append([side.format(number) for side in patterns[pattern]])
            english, chinese = ([entry[side] for entry in entries] for side in (0, 1))
            rows[write_list(english, "en")] = write_list(chinese, "zh_Hans")
            if len(rows) == size:
                break
        found[split] = (list(rows), list(rows.values()))
    return found


def numbers_of(split: SplitName, digits: int) -> list[int]:
    """The numbers of so many digits that a split has; never 1, which English counts in the singular."""
    numbers = shuffled(np.arange(max(2, 10 ** (digits - 1)), 10**digits), SEED, _NUMBERS, digits)
    part = max(1, len(numbers) // 20)
    parts = {"val": numbers[:part], "test": numbers[part : 2 * part], "train": numbers[2 * part :]}
    return [int(number) for number in parts[split]]


def _bits(rows: int, columns: int, *stream: int) -> list[list[int]]:
    """64 random bits each; numpy guarantees the raw stream over its versions."""
    raw = np.random.PCG64(np.random.SeedSequence((SEED, *stream))).random_raw(rows * columns)
    numbers: list[list[int]] = raw.reshape(rows, columns).tolist()
    return numbers


# --- writing ----------------------------------------------------------------------------------------------------------


def money_pattern(currency: str) -> tuple[str, str]:
    """How an amount of a currency is written in English and Chinese, with {} for the number: `{} euros`, `{}欧元`."""
    return _pattern(write_money(Decimal(5), currency))


def measure_pattern(unit: str) -> tuple[str, str]:
    """The same of a measure: `{} kilometers per hour`, `每小时{}公里`."""
    return _pattern(write_measure(Decimal(5), unit))


def _pattern(written: tuple[str, str]) -> tuple[str, str]:
    english, chinese = (re.sub(r"5(?:\.00)?", "{}", text) for text in written)
    return english, chinese


def write_list(entries: list[str], language: str) -> str:
    """Entries with the commas and the conjunction of a language."""
    from babel.lists import format_list

    return str(format_list(entries, locale=_locale(language)))


@cache
def _locale(language: str) -> Any:
    from babel import Locale

    return Locale.parse(language)
