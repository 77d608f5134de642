"""`embedded:names`: English sentences about people with made-up names, and the same in Chinese.

The task that copying was invented for: words that no vocabulary has, each of which must come out at its own place.

    Tralome owes Vesudin 7 Swiss francs since Monday .     星期一 起 Tralome 欠 Vesudin 7 瑞士法郎 。
    Obirel was invited to Kenya by Stamuno in May .        五月 Stamuno 邀请 Obirel 去 肯尼亚 。

Words stand apart by spaces in both languages, for a `word` vocabulary, which knows all of them but the names when its
size is limited. A sentence has two or three names, and Chinese puts them in another order in a third of the
templates: copying whatever unknown word comes next does not do. No name is in two splits. Weekdays, months, countries,
currencies and spans of time are the Unicode CLDR's (Babel).
"""

from collections.abc import Iterator
from functools import cache
from itertools import count

import numpy as np

from lhy_lightning.data.embedded.cldr import Pairs, SplitName
from lhy_lightning.data.embedded.lists import measure_pattern, money_pattern
from lhy_lightning.data.splits import shuffled

SIZES: dict[SplitName, int] = {"train": 20_000, "val": 1_000, "test": 1_000}
"""Pairs of each split."""
NAMES: dict[SplitName, int] = {"train": 12_000, "val": 1_500, "test": 1_500}
"""Names of each split; all are used equally often, give or take one."""

TEMPLATES = (
    ("{a} pays {number} {money} to {b} on {day} .", "{day} {a} 付 给 {b} {number} {money} 。"),
    ("{a} owes {b} {number} {money} since {day} .", "{day} 起 {a} 欠 {b} {number} {money} 。"),
    ("{a} sold the house of {b} to {c} for {number} {money} .", "{a} 以 {number} {money} 把 {b} 的 房子 卖给 {c} 。"),
    ("{a} was invited to {place} by {b} in {month} .", "{month} {b} 邀请 {a} 去 {place} 。"),
    ("{a} was taught by {b} and {c} for {number} {time} .", "{b} 和 {c} 教 了 {a} {number} {time} 。"),
    ("{a} , the neighbor of {b} , met {c} on {day} .", "{b} 的 邻居 {a} {day} 见 到 了 {c} 。"),
    ("{a} heard from {b} that {c} lives in {place} .", "{a} 听 {b} 说 {c} 住 在 {place} 。"),
    ("{a} waited {number} {time} for {b} in {place} .", "{a} 在 {place} 等 了 {b} {number} {time} 。"),
    ("In {month} {a} travels from {place} to {other} with {b} .", "{month} {a} 和 {b} 一起 从 {place} 去 {other} 。"),
    ("The letter from {a} to {b} was found by {c} in {place} .", "{c} 在 {place} 找 到 了 {a} 写 给 {b} 的 信 。"),
    ("According to {a} , {b} is older than {c} .", "据 {a} 说 {b} 比 {c} 大 。"),
    ("{a} works in {place} for the company that {b} founded .", "{a} 在 {place} 为 {b} 创办 的 公司 工作 。"),
)  # fmt: skip

PLACES = (
    "AU", "AT", "BE", "BR", "CA", "CL", "CN", "CU", "DK", "EG", "FI", "FR", "DE", "GH", "GR", "HU", "IS", "IN", "IE",
    "IT", "JP", "KE", "MY", "MX", "MA", "NP", "NO", "PE", "PL", "PT", "RU", "SG", "ES", "SE", "CH", "TH", "UA", "VN",
)  # fmt: skip
CURRENCIES = ("USD", "EUR", "GBP", "CNY", "CHF", "SEK", "INR", "MXN", "THB", "JPY")
TIMES = ("duration-minute", "duration-hour", "duration-day", "duration-week")
NUMBERS = range(2, 21)

SEED = 0
_NAMES, _WORDS, _PEOPLE = range(3)  # streams of random bits
_STARTS = ("", "b", "br", "d", "dr", "f", "h", "j", "k", "l", "m", "n", "r", "s", "st", "t", "tr", "v")
_VOWELS = ("a", "e", "i", "o", "u")
_ENDS = ("", "", "", "l", "n", "r", "s")

Words = tuple[tuple[str, str], ...]
"""English and Chinese."""


@cache
def known_words() -> dict[str, Words]:
    """What stands in the templates' places other than names: English and Chinese words by place."""
    from babel import Locale

    english, chinese = Locale.parse("en"), Locale.parse("zh_Hans")

    def named(kind: str) -> Words:
        sides = (getattr(locale, kind)["stand-alone"]["wide"] for locale in (english, chinese))
        return tuple(zip(*(side.values() for side in sides), strict=True))

    places = tuple((english.territories[code], chinese.territories[code]) for code in PLACES)
    return {
        "day": named("days"),
        "month": named("months"),
        "place": places,
        "other": places,
        "money": tuple(_name(money_pattern(code)) for code in CURRENCIES),
        "time": tuple(_name(measure_pattern(unit)) for unit in TIMES),
        "number": tuple((str(number), str(number)) for number in NUMBERS),
    }


def _name(pattern: tuple[str, str]) -> tuple[str, str]:
    """What stands behind the number."""
    english, chinese = (text.removeprefix("{}").strip() for text in pattern)
    return english, chinese


def made_up_names(number: int) -> list[str]:
    """Different names of three syllables, none of them a word of the sentences."""
    taken = {word.lower() for words in known_words().values() for pair in words for word in pair[0].split()}
    taken |= {word.lower() for english, _ in TEMPLATES for word in english.split()}
    found: dict[str, None] = {}
    parts = (_STARTS, _VOWELS, _STARTS[1:], _VOWELS, _STARTS[1:], _VOWELS, _ENDS)
    for draws in _draws(2 * number + 100, len(parts), _NAMES):
        name = "".join(part[draw % len(part)] for part, draw in zip(parts, draws, strict=True))
        if name not in taken:
            found[name.capitalize()] = None
        if len(found) == number:
            break
    return list(found)


def names_pairs() -> dict[SplitName, Pairs]:
    """English and Chinese lines of each split: the same on every machine that has the same release of Babel."""
    return {split: (list(source), list(target)) for split, (source, target) in _all_pairs().items()}


@cache
def _all_pairs() -> dict[SplitName, Pairs]:
    names, found = iter(made_up_names(sum(NAMES.values()))), dict[SplitName, Pairs]()
    for number, (split, size) in enumerate(SIZES.items()):
        people = _trios([next(names) for _ in range(NAMES[split])], number)
        rows = [_row(draws, next(people)) for draws in _draws(size, 1 + len(known_words()), _WORDS, number)]
        found[split] = ([english for english, _ in rows], [chinese for _, chinese in rows])
    return found


def _row(draws: list[int], trio: list[str]) -> tuple[str, str]:
    """A sentence in both languages from as many random numbers as there are choices."""
    words = known_words()
    chosen = {
        place: options[draw % len(options)] for (place, options), draw in zip(words.items(), draws[1:], strict=True)
    }
    if chosen["other"] == chosen["place"]:
        chosen["other"] = words["place"][words["place"].index(chosen["place"]) - 1]
    names = dict(zip("abc", trio, strict=True))
    english, chinese = (
        text.format(**names, **{place: pair[side] for place, pair in chosen.items()})
        for side, text in enumerate(TEMPLATES[draws[0] % len(TEMPLATES)])
    )
    return english, chinese


def _trios(names: list[str], number: int) -> Iterator[list[str]]:
    """Three different names at a time, all names once before any comes again."""
    for turn in count():
        order = shuffled(np.arange(len(names)), SEED, _PEOPLE, number, turn)
        for first in range(0, len(names) - 2, 3):
            yield [names[place] for place in order[first : first + 3]]


def _draws(rows: int, columns: int, *stream: int) -> Iterator[list[int]]:
    """Rows of 64 random bits each; numpy guarantees the raw stream over its versions."""
    bits = np.random.PCG64(np.random.SeedSequence((SEED, *stream))).random_raw(rows * columns)
    yield from bits.reshape(rows, columns).tolist()
