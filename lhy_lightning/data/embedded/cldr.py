"""`embedded:cldr`: English dates, amounts of money and measures, and the same in Chinese, by the Unicode CLDR's rules.

A translation task that is exactly right, needs no download and is learned in minutes:

    Thursday, March 5, 1987    1987年3月5日星期四
    12,480.50 Swiss francs     12,480.50瑞士法郎
    312 kilometers per hour    每小时312公里

The network has to copy digits, reorder, translate names and leave out the plural. Every source has one target, and
the value can be read from the source: what leaves something open (3/5/87, or yen, which have no fractions, of a broken
number) is not used.

Values are drawn first and divided over the splits, then written: a date, or a number with whatever currency or unit,
is in one split only, in all its formats.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any, Literal

import numpy as np

from lhy_lightning.data.splits import shuffled

Pairs = tuple[list[str], list[str]]
SplitName = Literal["train", "val", "test"]

SIZES: dict[SplitName, int] = {"train": 24_000, "val": 1_000, "test": 1_000}
"""Pairs of each split: half of them dates, a quarter amounts of money, a quarter measures."""

DATE_FORMATS = ("full", "long", "medium", "yMMMEd", "GyMMMd")
"""Thursday, March 5, 1987; March 5, 1987; Mar 5, 1987; Thu, Mar 5, 1987; Mar 5, 1987 AD."""

CURRENCIES = (
    "USD", "EUR", "GBP", "CNY", "TWD", "HKD", "AUD", "CAD", "CHF", "SEK", "NOK", "SGD", "NZD", "INR", "MXN", "THB",
    "JPY", "KRW",
)  # fmt: skip
WITHOUT_CENTS = frozenset({"JPY", "KRW"})
"""Babel rounds amounts of these, which would change a broken number."""

UNITS = (
    "length-kilometer", "length-meter", "length-centimeter", "length-mile", "length-foot", "length-light-year",
    "area-square-meter", "area-hectare", "area-acre", "volume-liter", "volume-cubic-meter", "volume-gallon",
    "mass-gram", "mass-tonne", "mass-pound", "mass-ounce", "duration-hour", "duration-minute", "duration-day",
    "speed-kilometer-per-hour", "speed-meter-per-second", "temperature-celsius", "power-watt", "power-horsepower",
    "energy-joule", "electric-volt", "frequency-megahertz", "digital-gigabyte", "concentr-permillion",
)  # fmt: skip

SEED = 0
_CHOICES, _DATES, _NUMBERS, _ORDER = range(4)  # streams of random bits


def cldr_pairs(source_lang: str = "en", target_lang: str = "zh") -> dict[SplitName, Pairs]:
    """Source and target lines of each split: the same on every machine that has the same release of Babel.

    Raises:
        ValueError: other languages than English to Chinese.
    """
    if (source_lang, target_lang) != ("en", "zh"):
        raise ValueError(
            f"embedded:cldr is English to Chinese: set source_lang en and target_lang zh, not {source_lang} and "
            f"{target_lang} (reverse: true translates the other way)."
        )
    return {split: (list(source), list(target)) for split, (source, target) in _all_pairs().items()}


@cache
def _all_pairs() -> dict[SplitName, Pairs]:
    values = sum(SIZES.values()) // 4  # every value is written twice, and there are as many dates as numbers
    written = zip(_dates(values), _numbers(values), _bits(_CHOICES, values), strict=True)
    found: dict[SplitName, Pairs] = {}
    for split, size in SIZES.items():
        rows: list[tuple[str, str]] = []
        while len(rows) < size:
            day, number, choice = next(written)
            rows += [*_two_dates(day, choice), *_money_and_measure(number, choice)]
        order = shuffled(np.arange(len(rows)), SEED, _ORDER, len(found))
        found[split] = ([rows[row][0] for row in order], [rows[row][1] for row in order])
    return found


# --- values -----------------------------------------------------------------------------------------------------------


def _bits(stream: int, count: int) -> Iterator[int]:
    """64 random bits each; numpy guarantees the raw stream over its versions."""
    return map(int, np.random.PCG64(np.random.SeedSequence((SEED, stream))).random_raw(count))


def _dates(count: int) -> list[date]:
    """Different days of 1900 to 2099."""
    days = np.arange(date(1900, 1, 1).toordinal(), date(2100, 1, 1).toordinal())
    return [date.fromordinal(int(day)) for day in shuffled(days, SEED, _DATES)[:count]]


def _numbers(count: int) -> list[Decimal]:
    """Different numbers of one to seven digits before the point, about half of them with cents."""
    found: dict[Decimal, None] = {}
    for raw in _bits(_NUMBERS, 4 * count):
        raw, length = divmod(raw, 7)
        raw, broken = divmod(raw, 2)
        raw, cents = divmod(raw, 100)
        whole = 10**length + raw % (9 * 10**length)
        found[Decimal(whole * 100 + cents * broken) / 100] = None  # 5 and 5.00 are one value
        if len(found) == count:
            break
    return list(found)


# --- writing ----------------------------------------------------------------------------------------------------------


def _two_dates(day: date, choice: int) -> list[tuple[str, str]]:
    """Two formats that differ in English (in May, long and medium do not)."""
    first, written = choice % len(DATE_FORMATS), dict[str, str]()
    for form in DATE_FORMATS[first:] + DATE_FORMATS[:first]:
        if len(written) < 2:
            written.update([write_date(day, form)])
    return list(written.items())


def _money_and_measure(value: Decimal, choice: int) -> list[tuple[str, str]]:
    broken = value != value.to_integral_value()
    currencies = [code for code in CURRENCIES if not (broken and code in WITHOUT_CENTS)]
    unit = UNITS[choice // len(CURRENCIES) % len(UNITS)]
    return [write_money(value, currencies[choice % len(currencies)]), write_measure(value, unit)]


@cache
def _locales() -> tuple[Any, Any]:
    """English and simplified Chinese, named outright: nothing depends on the machine's own locale."""
    from babel import Locale

    return Locale.parse("en"), Locale.parse("zh_Hans")


def write_date(day: date, form: str) -> tuple[str, str]:
    """A date in English and Chinese, in one of `DATE_FORMATS`."""
    from babel.dates import format_date, format_skeleton

    english, chinese = (
        format_date(day, form, locale=locale)
        if form in ("full", "long", "medium")
        else format_skeleton(form, day, locale=locale)
        for locale in _locales()
    )
    return english, chinese


def write_money(value: Decimal, currency: str) -> tuple[str, str]:
    """An amount with its currency's name in English and Chinese."""
    from babel.numbers import format_currency

    english, chinese = (format_currency(value, currency, locale=locale, format_type="name") for locale in _locales())
    return english, chinese


def write_measure(value: Decimal, unit: str) -> tuple[str, str]:
    """A number with its unit's name in English and Chinese."""
    from babel.units import format_unit

    english, chinese = (format_unit(value, unit, locale=locale) for locale in _locales())
    if unit in chinese:  # CLDR's Chinese inherits this name from the short form; Babel then writes the unit's key
        chinese = format_unit(value, unit, "short", locale=_locales()[1])
    return english, chinese
