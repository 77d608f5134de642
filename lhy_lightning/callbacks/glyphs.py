"""Tokens as axis labels: which fonts draw Chinese, and what stands there where none does."""

from collections.abc import Sequence

CJK_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK TC", "Noto Sans CJK JP", "PingFang SC", "Microsoft YaHei", "SimHei")


def label_fonts() -> list[str]:
    """Fonts to draw labels with, in order: those for Chinese that are installed, then matplotlib's own."""
    import matplotlib
    from matplotlib import font_manager

    known = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in CJK_FONTS if name in known] + list(matplotlib.rcParams["font.family"])


def has_glyphs(texts: Sequence[str]) -> bool:
    """Whether an installed font draws these texts: without a CJK font Chinese comes out as empty boxes."""
    from matplotlib import font_manager

    if all(ord(character) < 0x2E80 for text in texts for character in text):
        return True
    return any(font.name in CJK_FONTS for font in font_manager.fontManager.ttflist)


def code_points(tokens: Sequence[str]) -> list[str]:
    """Tokens that no installed font can draw as their code points: `年` as U+5E74."""
    return [t if t.isascii() else " ".join(c if c.isascii() else f"U+{ord(c):04X}" for c in t) for t in tokens]


def drawable(tokens: Sequence[str]) -> list[str]:
    """Tokens as they are where a font draws them, else as code points."""
    return list(tokens) if has_glyphs(tokens) else code_points(tokens)
