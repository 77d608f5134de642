"""Texts of figures: every character that a font has is drawn, and only the others become code points."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

from lhy_lightning.callbacks import fonts
from lhy_lightning.callbacks.fonts import fonts_with, installed_fonts, use_installed_fonts, with_code_points
from lhy_lightning.callbacks.images import figure_to_array

KLINGON = "\uf8d0"  # private use: no font of the system has it by chance


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    for cached in (fonts_with, installed_fonts, fonts.say_once):
        cached.cache_clear()
    before = list(fontManager.ttflist)
    yield
    fontManager.ttflist[:] = before
    for cached in (fonts_with, installed_fonts, fonts.say_once):
        cached.cache_clear()


def labelled(tokens: list[str], title: str = "") -> Figure:
    figure = Figure()
    axes = figure.subplots()
    axes.set_xticks(range(len(tokens)), tokens)
    axes.set_title(title)
    return figure


def written(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def make_font(path: Path, characters: str) -> None:
    """A font whose every letter is a square."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 500), (500, 500), (500, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    names = {ord(character): f"u{ord(character):X}" for character in characters}
    order = [".notdef", *names.values()]
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(order)
    font.setupCharacterMap(names)
    font.setupGlyf(dict.fromkeys(order, square))
    font.setupHorizontalMetrics(dict.fromkeys(order, (600, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)


def test_the_mark_of_a_word_is_drawn_by_matplotlibs_own_font_and_says_nothing(recwarn: pytest.WarningsRecorder) -> None:
    figure = labelled(["▁warning", "naïve"], title="Ελληνικά")
    figure_to_array(figure)
    assert {"▁warning", "naïve", "Ελληνικά"} <= set(written(figure))
    assert not recwarn.list


def test_only_characters_that_no_font_has_become_code_points_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = tuple(font for font in installed_fonts() if font[0].startswith("DejaVu"))
    monkeypatch.setattr(fonts, "installed_fonts", lambda: own)
    figure = labelled(["▁warning", "▁年a", "日本"], title="年 of 2022")
    with pytest.warns(UserWarning, match=r"no installed font has Chinese.* Install Noto Sans CJK") as said:
        figure_to_array(figure)
    assert len(said) == 1, "and nothing of matplotlib's"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure_to_array(labelled(["月"]))
    assert {"▁warning", "▁ U+5E74 a", "U+65E5 U+672C", "U+5E74  of 2022"} <= set(written(figure))


def test_a_font_that_was_just_installed_draws_its_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_font(tmp_path / "squares.ttf", KLINGON)
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: [str(tmp_path / "squares.ttf")])
    figure = labelled([KLINGON, "a"])
    drawn = figure_to_array(figure)
    assert KLINGON in written(figure)
    assert "Squares" in next(text for text in figure.findobj(Text) if text.get_text() == KLINGON).get_fontfamily()
    assert (drawn != figure_to_array(labelled([" ", "a"]))).any()


def test_a_font_file_that_is_none_has_no_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: [str(tmp_path / "broken.ttf")])
    with pytest.warns(UserWarning, match="some characters|Chinese"):
        use_installed_fonts(labelled(["\uf8d1"]))
    assert fonts.characters_of(str(tmp_path / "broken.ttf")) == frozenset()


def test_code_points_stand_apart_from_what_is_drawn() -> None:
    assert with_code_points("ab年月c", {0x5E74, 0x6708}) == "ab U+5E74 U+6708 c"
    assert with_code_points("ab", set()) == "ab"
