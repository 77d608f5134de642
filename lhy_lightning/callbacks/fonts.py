"""Texts of figures in fonts that have their characters; what no installed font has is written as its code point."""

from collections.abc import Callable, Iterable
from functools import cache, partial
from itertools import groupby

from lightning.pytorch.utilities import rank_zero_warn
from matplotlib.figure import Figure

CJK_FROM = 0x2E80
"""The first code point of Chinese, Japanese and Korean characters and their punctuation."""

PREFERRED = (
    "Noto Sans CJK", "Source Han Sans", "PingFang", "Heiti", "Microsoft JhengHei", "Microsoft YaHei", "SimHei",
    "WenQuanYi", "Noto Serif CJK", "Source Han Serif",
)  # fmt: skip
"""Beginnings of the names of fonts that are looked into first; any other font that has a character does too."""

NO_LETTERS = "Last Resort"
"""Draws every character as a box that names its block."""


@cache
def characters_of(path: str) -> frozenset[int]:
    """The code points that a font file has; none of a file that is no font."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


@cache
def installed_fonts() -> tuple[tuple[str, str], ...]:
    """(name, file) of every font there is, those of `PREFERRED` first.

    Fonts that were installed after matplotlib listed them, which it does once a machine, are made known to it.
    """
    from matplotlib.font_manager import findSystemFonts, fontManager

    known = {font.fname for font in fontManager.ttflist}
    for path in sorted(set(findSystemFonts()) - known):
        try:
            fontManager.addfont(path)
        except (OSError, RuntimeError, ValueError):  # a file that matplotlib cannot read
            continue
    fonts = sorted({(font.name, font.fname) for font in fontManager.ttflist if NO_LETTERS not in font.name})
    order = {name: place for place, name in enumerate(PREFERRED)}

    def place(font: tuple[str, str]) -> int:
        return min((order[name] for name in order if font[0].startswith(name)), default=len(order))

    return tuple(sorted(fonts, key=place))


@cache
def fonts_with(characters: frozenset[int]) -> tuple[tuple[str, ...], frozenset[int]]:
    """Names of fonts that together have as many of these code points as any has, and those that none has."""
    found, missing = [], characters
    for name, path in installed_fonts():
        if not missing:
            break
        if missing & characters_of(path):
            found.append(name)
            missing -= characters_of(path)
    return tuple(dict.fromkeys(found)), missing


def with_code_points(text: str, missing: Iterable[int]) -> str:
    """A text with the characters that are missing as code points, apart from what is drawn: `▁ U+5E74`."""
    parts: list[str] = []
    for absent, run in groupby(text, lambda character: ord(character) in missing):
        characters = list(run)
        parts += [f"U+{ord(character):04X}" for character in characters] if absent else ["".join(characters)]
    return " ".join(parts)


@cache
def say_once(what: str, font: str) -> None:
    """Says which font to install, once a process."""
    rank_zero_warn(
        f"no installed font has {what}: figures show code points instead, such as U+5E74. Install {font}, and the "
        "next run draws them."
    )


def use_installed_fonts(figure: Figure) -> None:
    """Gives every text of a figure the fonts that have its characters, and code points where none has them."""
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.text import Text
    from matplotlib.ticker import FuncFormatter

    texts = figure.findobj(Text)
    letters = frozenset(ord(letter) for text in texts if not text.get_text().isascii() for letter in text.get_text())
    families, missing = fonts_with(letters - characters_of(findfont(FontProperties())))
    if missing:
        if max(missing) >= CJK_FROM:
            say_once("Chinese, Japanese or Korean characters of this text", "Noto Sans CJK (package fonts-noto-cjk)")
        else:
            say_once("some characters of this text", "a font of its script, such as one of the Noto fonts")
        for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
            if isinstance(named := axis.get_major_formatter(), FuncFormatter):  # it writes the labels at each drawing
                axis.set_major_formatter(FuncFormatter(partial(_replaced, named, missing)))
    for text in texts if families or missing else ():
        text.set_text(with_code_points(text.get_text(), missing))
        text.set_fontfamily([*text.get_fontfamily(), *families])


def _replaced(named: Callable[[float, int | None], str], missing: frozenset[int], value: float, place: int) -> str:
    return with_code_points(named(value, place), missing)
