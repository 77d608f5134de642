"""`embedded:reviews` and `embedded:reviews_zh`: made-up hotel reviews, positive or negative, in English and Chinese.

    We stayed in Norway for 3 nights. The room was lovely, but nobody would call the breakfast good.    negative

What is said last, or in the main clause, decides, and a negation turns it round: the words are the same in both
classes, so that counting them does not do. Both languages are made of the same choices, for training on one and testing
on the other. Countries are the Unicode CLDR's (Babel). No review is in two splits.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from lhy_lightning.data.embedded.names import PLACES

Language = Literal["en", "zh"]
Rows = tuple[list[str], list[str]]
"""Texts, and a label for each."""

SIZES: dict[Literal["train", "val", "test"], int] = {"train": 6_000, "val": 500, "test": 1_000}
LABELS = ("negative", "positive")
SEED = 0

ASPECTS = (
    ("room", "房间"), ("food", "饭菜"), ("service", "服务"), ("view", "景色"), ("bed", "床铺"), ("staff", "员工"),
    ("breakfast", "早餐"), ("location", "位置"), ("bathroom", "浴室"), ("garden", "花园"), ("lobby", "大堂"),
    ("pool", "泳池"),
)  # fmt: skip
ADJECTIVES = (  # negative, positive
    (("bad", "差"), ("awful", "糟糕"), ("terrible", "可怕"), ("poor", "低劣"), ("disappointing", "令人失望"),
     ("dreadful", "吓人"), ("unpleasant", "讨厌"), ("horrible", "恶劣"), ("annoying", "烦人"), ("mediocre", "平庸")),
    (("good", "好"), ("excellent", "出色"), ("wonderful", "美妙"), ("pleasant", "舒心"), ("lovely", "可爱"),
     ("great", "棒"), ("perfect", "完美"), ("charming", "迷人"), ("impressive", "惊艳"), ("comfortable", "舒适")),
)  # fmt: skip
CLAUSES = (  # said as it is, and the other way round
    (("the {} was {}", "{}很{}"), ("we found the {} {}", "我们觉得{}很{}"), ("the {} is really {}", "{}真的很{}")),
    (("the {} was not {}", "{}不{}"), ("nobody would call the {} {}", "没人会说{}{}"),
     ("the {} is anything but {}", "{}一点也不{}")),
)  # fmt: skip
CONTRASTS = (  # the second clause decides
    ("{}, but {}.", "{}，但是{}。"), ("although {}, {}.", "虽然{}，可是{}。"),
    ("{}; even so, {}.", "{}；即使如此，{}。"),
)  # fmt: skip
REVERSED = (("{1}, even though {0}.", "{1}，尽管{0}。"),)
"""Contrasts in which the main clause, the one that decides, comes first."""
AGREEING = (("{}, and {}.", "{}，而且{}。"), ("{}. Also, {}.", "{}。另外，{}。"))
OPENINGS = (
    ("", ""), ("We stayed in {} for {} nights. ", "我们在{}住了{}晚。"),
    ("A hotel in {}, {} rooms. ", "{}的酒店，{}间房。"),
)  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """What one review is made of: places in the lists above."""

    label: int
    opening: int
    place: int
    number: int
    form: int
    clauses: tuple[tuple[int, int, int, int], tuple[int, int, int, int]]  # aspect, adjective's class, adjective, clause


def reviews(language: Language) -> dict[Literal["train", "val", "test"], Rows]:
    """Texts and labels of each split: the same on every machine that has the same release of Babel."""
    side = 0 if language == "en" else 1
    places = _places()
    return {
        split: ([write(choice, side, places) for choice in choices], [LABELS[choice.label] for choice in choices])
        for split, choices in _choices().items()
    }


@cache
def _places() -> tuple[tuple[str, str], ...]:
    from babel import Locale

    english, chinese = Locale.parse("en").territories, Locale.parse("zh_Hans").territories
    return tuple((english[code], chinese[code]) for code in PLACES)


@cache
def _choices() -> dict[Literal["train", "val", "test"], tuple[Choice, ...]]:
    total = sum(SIZES.values())
    raw = np.random.PCG64(np.random.SeedSequence(SEED)).random_raw(2 * total * 16).reshape(-1, 16)
    different = list(dict.fromkeys(_choice(row.tolist()) for row in raw))[:total]
    found, first = {}, 0
    for split, size in SIZES.items():
        found[split] = tuple(different[first : first + size])
        first += size
    return found


def _choice(draws: list[int]) -> Choice:
    """A review from random numbers: its label, then whether both clauses agree, then how each is said."""
    label, agrees = draws[0] % 2, draws[1] % 3 == 0
    contrasts = len(CONTRASTS) + len(REVERSED)
    form = contrasts + draws[2] % len(AGREEING) if agrees else draws[2] % contrasts
    clauses = []
    for number, sentiment in enumerate((label if agrees else 1 - label, label)):
        aspect, adjective, turned, clause = draws[3 + 4 * number : 7 + 4 * number]
        negated = turned % 2
        kind = sentiment ^ negated
        said = len(CLAUSES[0]) * negated + clause % len(CLAUSES[negated])
        clauses.append((aspect % len(ASPECTS), kind, adjective % len(ADJECTIVES[kind]), said))
    if clauses[0][0] == clauses[1][0]:
        clauses[0] = ((clauses[0][0] + 1) % len(ASPECTS), *clauses[0][1:])
    opening = draws[11] % len(OPENINGS)
    place, number = (draws[12] % len(PLACES), 2 + draws[13] % 19) if opening else (0, 0)
    return Choice(label, opening, place, number, form, (clauses[0], clauses[1]))


def write(choice: Choice, side: int, places: tuple[tuple[str, str], ...]) -> str:
    """A review in English (0) or Chinese (1)."""
    said = []
    for aspect, kind, adjective, clause in choice.clauses:
        words = (ASPECTS[aspect][side], ADJECTIVES[kind][adjective][side])
        said.append([*CLAUSES[0], *CLAUSES[1]][clause][side].format(*words))
    body = [*CONTRASTS, *REVERSED, *AGREEING][choice.form][side].format(*said)
    opening = OPENINGS[choice.opening][side].format(places[choice.place][side], choice.number)
    return opening + body[0].upper() + body[1:]
