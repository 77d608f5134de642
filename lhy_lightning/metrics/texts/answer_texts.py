"""How two answers compare: exact match and F1 as SQuAD, CMRC 2018, DRCD and homework 7 define them.

Each function takes an answer and one reference; the best reference counts. `DEFINITIONS` has them by name.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

Definition = Literal["squad", "cmrc", "drcd", "homework"]


@dataclass(frozen=True)
class AnswerMetric:
    """One definition.

    Attributes:
        normalize: two answers match exactly where this makes them equal.
        f1: agreement of an answer and a reference, 0 to 1.
    """

    normalize: Callable[[str], str]
    f1: Callable[[str, str], float]

    def scores(self, answer: str, references: Sequence[str]) -> tuple[float, float]:
        """Exact match and F1 with the best of the references; "" as a reference says that there is no answer."""
        own = self.normalize(answer)
        exact = any(own == self.normalize(reference) for reference in references)
        return float(exact), max(self.f1(answer, reference) for reference in references)


def harmonic(common: int, answer: int, reference: int) -> float:
    """F1 of so many common units of an answer and a reference of these sizes."""
    return 2 * common / (answer + reference) if common else 0.0


def bag_f1(answer: Sequence[Hashable], reference: Sequence[Hashable]) -> float:
    """F1 of two bags of units, in any order. Where one is empty: 1 if both are, as SQuAD 2 counts."""
    if not answer or not reference:
        return float(len(answer) == len(reference))
    return harmonic((Counter(answer) & Counter(reference)).total(), len(answer), len(reference))


# --- SQuAD ------------------------------------------------------------------------------------------------------------

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_squad(text: str) -> str:
    """Small letters, no ASCII punctuation, no articles, single spaces: evaluate-v2.0.py's `normalize_answer`."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_ASCII_PUNCTUATION)).split())


def squad_f1(answer: str, reference: str) -> float:
    """F1 of two bags of words."""
    return bag_f1(normalize_squad(answer).split(), normalize_squad(reference).split())


# --- CMRC 2018 --------------------------------------------------------------------------------------------------------

_CMRC_PUNCTUATION = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_CHARACTER = re.compile("([\u4e00-\u9fa5])")
_TREEBANK = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"[«“‘„]|`+", r" \g<0> "),  # quotes that open
        (r"^\"", "``"),
        (r"``", " `` "),
        (r"([ (\[{<])(\"|'')", r"\1 `` "),
        (r"(?<!\w)'(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", "' "),
        (r"([^.])\.([\])}>\"'»”’ ]*)\s*$", r"\1 . \2 "),  # the last full stop
        (r"([:,])(\D|$)", r" \1 \2"),  # not inside 1,000
        (r"\.{2,}|[;@#$%&?!*\u2012-\u2015]", r" \g<0> "),
        (r"([^'])' ", r"\1 ' "),
        (r"[\]\[(){}<>]|--", r" \g<0> "),
        (r"$", " "),
        (r"[»”’]", r" \g<0> "),  # quotes that close
        (r"''|\"", " '' "),
        (r"([^' ])('s|'m|'d|'ll|'re|'ve|n't|') ", r"\1 \2 "),  # clitics
        (r"\b(?:can(?=not\b)|gim(?=me\b)|gon(?=na\b)|got(?=ta\b)|lem(?=me\b)|wan(?=na\b))", r"\g<0> "),
    )
)


def normalize_cmrc(text: str) -> str:
    """Small letters without CMRC's list of punctuation; spaces inside stay."""
    return text.lower().strip().translate(_CMRC_PUNCTUATION)


def mixed_segmentation(text: str) -> list[str]:
    """Chinese characters one by one, what lies between them as words, punctuation of CMRC's list left out.

    The official script takes NLTK's `word_tokenize` for the words, which downloads its sentence splitter. Here are its
    rules for words alone: punctuation stands apart (not inside 3.5 or 1,000), and so do clitics ('s, n't).
    """
    units: list[str] = []
    for part in _CHARACTER.split(normalize_cmrc(text)):
        units += [part] if _CHARACTER.match(part) else treebank_words(part)
    return units


def treebank_words(text: str) -> list[str]:
    """Words and punctuation of English text."""
    if text.isalnum():
        return [text]
    for pattern, replacement in _TREEBANK:
        text = pattern.sub(replacement, text)
    return text.split()


def longest_common_run(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Length of the longest run of units that both have: a substring, not a subsequence."""
    best, above = 0, [0] * (len(second) + 1)
    for unit in first:
        row = [0] * (len(second) + 1)
        for place, other in enumerate(second, 1):
            if unit == other:
                row[place] = above[place - 1] + 1
        best, above = max(best, *row), row
    return best


def cmrc_f1(answer: str, reference: str) -> float:
    """F1 of the longest common run of segments."""
    own, gold = mixed_segmentation(answer), mixed_segmentation(reference)
    if own == gold:
        return float(bool(own))
    return harmonic(longest_common_run(own, gold), len(own), len(gold))


# --- DRCD and homework 7 ----------------------------------------------------------------------------------------------


def normalize_drcd(text: str) -> str:
    """Small letters without spaces and punctuation, ASCII and full-width alike."""
    return "".join(c for c in text.lower() if not (c.isspace() or _is_punctuation(c)))


@cache
def _is_punctuation(character: str) -> bool:
    kind = unicodedata.category(character)[0]
    full_width = "\uff00" <= character <= "\uffef"
    return character in string.punctuation or kind == "P" or (kind == "S" and full_width)


def drcd_f1(answer: str, reference: str) -> float:
    """F1 of two bags of characters."""
    return bag_f1(normalize_drcd(answer), normalize_drcd(reference))


def normalize_homework(text: str) -> str:
    """The text without ASCII commas: what homework 7's leaderboard compares, letter by letter."""
    return text.replace(",", "")


def homework_f1(answer: str, reference: str) -> float:
    """F1 of two bags of characters. The leaderboard counts exact matches alone."""
    return bag_f1(normalize_homework(answer), normalize_homework(reference))


DEFINITIONS: dict[str, AnswerMetric] = {
    "squad": AnswerMetric(normalize_squad, squad_f1),
    "cmrc": AnswerMetric(normalize_cmrc, cmrc_f1),
    "drcd": AnswerMetric(normalize_drcd, drcd_f1),
    "homework": AnswerMetric(normalize_homework, homework_f1),
}
