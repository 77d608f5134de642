"""`embedded:questions`: paragraphs about societies, each with five kinds of fact, and a question about each of them.

    The staircase is quiet this season. The yearly fee is 240 Swiss francs. Visitors often ask …
    What is the yearly fee?    240 Swiss francs

Values are dates, territories, languages, amounts of money and measures as the Unicode CLDR writes them (Babel), each
kind once a paragraph, in any order, with filler between them: an encoder that reads 128 tokens needs two or three
windows a paragraph. What is asked, and how the text goes on behind it, decides which value is the answer. No download,
and small enough that an encoder learns it from scratch. `embedded:questions_zh` is the same in Chinese.
"""

import re
from collections.abc import Callable
from datetime import date
from functools import cache, partial
from typing import Any

import numpy as np

from lhy_lightning.data.embedded.cldr import CURRENCIES, UNITS
from lhy_lightning.data.embedded.lists import measure_pattern, money_pattern
from lhy_lightning.data.questions.embedded_sentences import CHINESE, ENGLISH, Sentences
from lhy_lightning.data.questions.question_set import Answer, Question, QuestionSet
from lhy_lightning.data.texts.text_sources import Split

PARAGRAPHS: dict[Split, int] = {"train": 2_000, "val": 200, "test": 200}
"""Paragraphs of each split, five questions each; no two are alike."""
FILLER = (7, 13)
"""Fewest and most sentences between the facts."""
SEED = 0
_DRAWS = 64  # random numbers of a paragraph


def embedded_questions(sentences: Sentences) -> dict[Split, QuestionSet]:
    """The splits in one language: the same on every machine that has the same release of Babel."""
    return {
        split: QuestionSet(list(made.paragraphs), list(made.questions), made.kind, made.origin)
        for split, made in _all_splits(sentences).items()
    }


EMBEDDED: dict[str, Callable[[], dict[Split, QuestionSet]]] = {
    "questions": partial(embedded_questions, ENGLISH),
    "questions_zh": partial(embedded_questions, CHINESE),
}
"""Questions by the name after `embedded:`."""


@cache
def _all_splits(sentences: Sentences) -> dict[Split, QuestionSet]:
    values, chinese = _Values(sentences.locale), sentences is CHINESE
    found: dict[Split, QuestionSet] = {}
    for stream, (split, size) in enumerate(PARAGRAPHS.items()):
        paragraphs, questions = [], []
        for row, draws in enumerate(_bits(size, _DRAWS, stream)):
            paragraph, asked = _paragraph(sentences, values, iter(draws))
            paragraphs.append(paragraph)
            questions += [
                Question(f"{split}-{row}-{number}", text, row, (Answer(value, place),))
                for number, (text, value, place) in enumerate(asked)
            ]
        name = "embedded:questions_zh" if chinese else "embedded:questions"
        found[split] = QuestionSet(paragraphs, questions, "cmrc" if chinese else "squad", f"{name}/{split}")
    return found


def _bits(rows: int, columns: int, stream: int) -> list[list[int]]:
    """64 random bits each; numpy guarantees the raw stream over its versions."""
    raw = np.random.PCG64(np.random.SeedSequence((SEED, stream))).random_raw(rows * columns)
    numbers: list[list[int]] = raw.reshape(rows, columns).tolist()
    return numbers


def _paragraph(sentences: Sentences, values: "_Values", draws: Any) -> tuple[str, list[tuple[str, str, int]]]:
    """A paragraph, and for each kind of fact the question, the answer and its place."""

    def pick(options: Any) -> Any:
        return options[next(draws) % len(options)]

    facts = enumerate(sentences.facts)
    chosen = [(pick(fact.told), values.draw(kind, next(draws)), pick(fact.asked)) for kind, fact in facts]
    lines: list[tuple[int | None, str]] = []
    for _ in range(FILLER[0] + next(draws) % (FILLER[1] - FILLER[0] + 1)):
        words = {"noun": pick(sentences.nouns), "quality": pick(sentences.qualities)}
        lines.append((None, pick(sentences.filler).format(**words)))
    for number, (told, value, _) in enumerate(chosen):
        lines.insert(next(draws) % (len(lines) + 1), (number, told.format(value)))
    text, places = "", [0] * len(chosen)
    for kind, line in lines:
        text += sentences.space if text else ""
        if kind is not None:
            places[kind] = len(text) + chosen[kind][0].index("{}")
        text += line
    return text, [(asked, value, place) for (_, value, asked), place in zip(chosen, places, strict=True)]


class _Values:
    """What facts are about, in one language: date, territory, language, amount of money, measure."""

    def __init__(self, locale: str) -> None:
        from babel import Locale

        self.locale = Locale.parse(locale)
        territories = {code: name for code, name in self.locale.territories.items() if code.isalpha()}
        languages = {code: name for code, name in self.locale.languages.items() if code.isalpha()}
        side = 0 if locale == "en" else 1
        self.options = [
            _plain(territories),
            _plain(languages),
            [money_pattern(code)[side] for code in CURRENCIES],
            [measure_pattern(unit)[side] for unit in UNITS],
        ]

    def draw(self, kind: int, bits: int) -> str:
        if kind == 0:
            return self._date(bits)
        bits, place = divmod(bits, len(self.options[kind - 1]))
        return self.options[kind - 1][place].format(_number(bits))

    def _date(self, bits: int) -> str:
        from babel.dates import format_date

        first, last = date(1700, 1, 1).toordinal(), date(2020, 1, 1).toordinal()
        return str(format_date(date.fromordinal(first + bits % (last - first)), "long", locale=self.locale))


def _plain(names: dict[str, str]) -> list[str]:
    """Different names without brackets and commas, in the order of their codes."""
    ordered = (names[code] for code in sorted(names))
    return list(dict.fromkeys(name for name in ordered if re.fullmatch(r"[^\W\d_]+(?: \w+)*", name)))


def _number(bits: int) -> str:
    """Two to five digits, each length as often."""
    bits, digits = divmod(bits, 4)
    return f"{10 ** (digits + 1) + bits % (9 * 10 ** (digits + 1)):,}"
