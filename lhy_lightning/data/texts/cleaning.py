"""Cleaning of parallel text: homework 5's, as named steps, and what each of them did."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

NO_SPACES = frozenset({"zh", "ja", "yue", "wuu", "lzh"})
"""Languages written without spaces; their length is counted in characters."""

Step = Callable[[str, bool], str]

_BRACKETS = re.compile(r"\([^()]*\)")
_PUNCTUATION = re.compile(r'([.,;!?()"])')
_CHINESE_PUNCTUATION = re.compile(r'([。,;!?()"~「」])')
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_CHINESE_MARKS = str.maketrans({"—": "", "_": ""})
_QUOTES = str.maketrans({"“": '"', "”": '"'})


def _full_width(text: str, unspaced: bool) -> str:
    return text.translate(_FULL_WIDTH) if unspaced else text


def _brackets(text: str, unspaced: bool) -> str:
    return _BRACKETS.sub("", text)


def _hyphens(text: str, unspaced: bool) -> str:
    return text.translate(_CHINESE_MARKS) if unspaced else text.replace("-", "")


def _chinese_spaces(text: str, unspaced: bool) -> str:
    return text.replace(" ", "") if unspaced else text


def _quotes(text: str, unspaced: bool) -> str:
    return text.translate(_QUOTES) if unspaced else text


def _punctuation(text: str, unspaced: bool) -> str:
    return (_CHINESE_PUNCTUATION if unspaced else _PUNCTUATION).sub(r" \1 ", text)


def _nfkc(text: str, unspaced: bool) -> str:
    return unicodedata.normalize("NFKC", text)


def _case(text: str, unspaced: bool) -> str:
    return text.casefold()


def _whitespace(text: str, unspaced: bool) -> str:
    return " ".join(text.split())


CLEANING: dict[str, Step] = {
    "full_width": _full_width,  # strQ2B: full-width letters, digits and punctuation to half-width, Chinese only
    "brackets": _brackets,  # text in round brackets: (Laughter), (Applause)
    "hyphens": _hyphens,  # English "-"; Chinese "—" and "_"
    "chinese_spaces": _chinese_spaces,
    "quotes": _quotes,  # curly to straight, Chinese only
    "punctuation": _punctuation,  # a space on both sides
    "nfkc": _nfkc,  # with `case` what SentencePiece's nmt_nfkc_cf does in the homework
    "case": _case,
    "whitespace": _whitespace,  # one space between words, none at the ends
}
"""The steps in the order they are taken, whatever order they are named in.

`full_width` to `punctuation` and `whitespace` are the homework's `clean_s`; `nfkc` and `case` happen in the homework
inside SentencePiece.
"""


@dataclass
class Cleaned:
    """Cleaned text and what became of it.

    Attributes:
        source, target: the kept rows, cleaned; `target` None where there was none.
        rows: of each kept row, its number before.
        counts: for each step taken, how many lines (sources and targets) it changed; for `empty`, `too short`,
            `too long` and `ratio`, how many rows were dropped for it (each row once, in this order).
    """

    source: list[str]
    target: list[str] | None
    rows: list[int]
    counts: dict[str, int]


def clean_text(text: str, lang: str, steps: Iterable[str]) -> str:
    """One line, cleaned.

    Args:
        text: a line.
        lang: its language; zh, ja and their like are cleaned as Chinese, all others as English.
        steps: names from `CLEANING`.

    Raises:
        ValueError: a step that is not there.
    """
    for name in _in_order(steps):
        text = CLEANING[name](text, lang in NO_SPACES)
    return text


def text_length(text: str, lang: str) -> int:
    """Words; characters (spaces included, as in the homework) where the language is written without spaces."""
    return len(text) if lang in NO_SPACES else len(text.split())


def clean_pairs(
    source: Sequence[str],
    target: Sequence[str] | None,
    source_lang: str,
    target_lang: str,
    steps: Iterable[str],
    *,
    min_length: int = 1,
    max_length: int = 1000,
    max_ratio: float = 9,
    keep_all: bool = False,
) -> Cleaned:
    """Cleans parallel lines and drops pairs that are too short, too long or too unequal (the homework's rules).

    Args:
        source, target: N lines each, or no target.
        source_lang, target_lang: their languages.
        steps: names from `CLEANING`.
        min_length, max_length: of either side, in words or characters (`text_length`), both inclusive.
        max_ratio: of the longer to the shorter side; 0 for any.
        keep_all: clean only, as test lines are: every input line has its translation.

    Raises:
        ValueError: an unknown step, sides of different length.
    """
    if target is not None and len(source) != len(target):
        raise ValueError(f"{len(source)} source lines, {len(target)} target lines.")
    names = _in_order(steps)
    counts = dict.fromkeys(names, 0)
    sides = [_clean_side(source, source_lang, names, counts)]
    if target is not None:
        sides.append(_clean_side(target, target_lang, names, counts))
    rows = list(range(len(source)))
    if not keep_all:
        counts |= dict.fromkeys(("empty", "too short", "too long", "ratio"), 0)
        rows = []
        for row, pair in enumerate(zip(*sides, strict=True)):
            lengths = [text_length(text, lang) for text, lang in zip(pair, (source_lang, target_lang), strict=False)]
            why = _why_dropped(min(lengths), max(lengths), min_length, max_length, max_ratio)
            if why is None and all(text.strip() for text in pair):
                rows.append(row)
            else:
                counts[why or "empty"] += 1
    kept = [[side[row] for row in rows] for side in sides]
    return Cleaned(kept[0], kept[1] if target is not None else None, rows, counts)


def _in_order(steps: Iterable[str]) -> list[str]:
    wanted = set(steps)
    unknown = sorted(wanted - CLEANING.keys())
    if unknown:
        raise ValueError(f"no cleaning step {', '.join(unknown)}; there is {', '.join(CLEANING)}.")
    return [name for name in CLEANING if name in wanted]


def _clean_side(lines: Sequence[str], lang: str, names: Sequence[str], counts: dict[str, int]) -> list[str]:
    unspaced = lang in NO_SPACES
    current = list(lines)
    for name in names:
        step = CLEANING[name]
        after = [step(line, unspaced) for line in current]
        counts[name] += sum(new != old for new, old in zip(after, current, strict=True))
        current = after
    return current


def _why_dropped(shorter: int, longer: int, least: int, most: int, ratio: float) -> str | None:
    if shorter == 0:
        return "empty"
    if shorter < least:
        return "too short"
    if longer > most:
        return "too long"
    if ratio > 0 and longer > ratio * shorter:
        return "ratio"
    return None
