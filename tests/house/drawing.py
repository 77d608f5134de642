"""Draws the plan of the package: a row a floor, a box a room, and the arrows between rooms."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from tests.house.imports import Imports
from tests.house.plan import FLOORS, files_of_room, rooms

INK, PAPER, FLOOR, DOWN, UP, PALE = "#22313f", "#ffffff", "#eef3f8", "#2c6fad", "#c0392b", "#5d6b79"
MOST = 9
"""Rooms side by side; a floor with more has several rows."""
WIDTH, HEIGHT, ACROSS, APART = 1.55, 0.62, 1.85, 1.25
BENDS = tuple(round(0.04 * step, 2) for step in range(-50, 51))

Place = tuple[float, float]


def drawn_arrows(imports: Imports) -> list[str]:
    """The arrows between rooms as the picture records them: `gan -> layers`, sorted."""
    return sorted(f"{name} -> {target}" for name, targets in rooms(imports).items() for target in targets)


def recorded_arrows(path: Path) -> list[str]:
    """The arrows that a drawn SVG file records in its description."""
    found = ElementTree.parse(path).find(".//{http://purl.org/dc/elements/1.1/}description")
    return (found.text or "").splitlines() if found is not None else []


def draw(imports: Imports, path: Path) -> None:
    """Writes an SVG or PNG file; the same imports give the same bytes under one version of matplotlib.

    Each floor is a band. Blue arrows lead to what lies next below; a room may also import what it reaches by several of
    them, which is counted and not drawn, as that would be most of the picture. What does not lead downward is red.
    """
    arrows = rooms(imports)
    rows = _rows(sorted(arrows))
    places = {name: (_left(len(row), column), -level * APART) for level, row, column, name in _cells(rows)}
    with matplotlib.rc_context({"svg.hashsalt": "plan", "svg.fonttype": "none", "font.family": "DejaVu Sans"}):
        widest = max(len(row) for row in rows)
        figure = Figure(figsize=(widest * ACROSS + 0.6, len(rows) * APART + 0.4))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(-widest * ACROSS / 2 - 0.3, widest * ACROSS / 2 + 0.3)
        axes.set_ylim(-(len(rows) - 1) * APART - 0.75, 0.95)
        down = {
            name: frozenset(target for target in targets if places[target][1] < places[name][1])
            for name, targets in arrows.items()
        }
        for level in range(len(rows)):
            _band(axes, -level * APART, widest)
        drawn = [
            (name, target)
            for name, targets in arrows.items()
            for target in sorted(targets)
            if target not in down[name] or not _reached_through_others(name, target, down)
        ]
        for name, target in drawn:
            color, width = (DOWN, 1.3) if target in down[name] else (UP, 1.5)
            _arrow(axes, places[name], places[target], list(places.values()), color, width)
        for name, place in places.items():
            _box(axes, place, name, files_of_room(imports, name))
        number = sum(map(len, arrows.values()))
        up = sum(target not in down[name] for name, target in drawn)
        words = [
            (f"{len(arrows)} rooms, {number} arrows:", INK),
            (f"{len(drawn) - up} to what lies next below,", DOWN),
            (f"{number - len(drawn)}, not drawn, to what these lead to in turn", PALE),
        ]
        _legend(axes, [*words, *([(f"{up} not downward", UP)] if up else [])], widest)
        record = {"Description": "\n".join(drawn_arrows(imports))}
        figure.savefig(path, metadata=record | ({"Date": None} if path.suffix == ".svg" else {}), dpi=110)


def _rows(names: list[str]) -> list[list[str]]:
    """The rooms that are there, from the roof down; rooms on no floor stand above it."""
    planned = [[name for name in floor if name in names] for floor in reversed(FLOORS)]
    others = [name for name in names if not any(name in floor for floor in FLOORS)]
    rows = []
    for floor in [others, *planned]:
        pieces = -(-len(floor) // MOST)
        rows += [floor[len(floor) * k // pieces : len(floor) * (k + 1) // pieces] for k in range(pieces)]
    return rows


def _cells(rows: list[list[str]]) -> list[tuple[int, list[str], int, str]]:
    return [(level, row, column, name) for level, row in enumerate(rows) for column, name in enumerate(row)]


def _left(number: int, column: int) -> float:
    return (column - (number - 1) / 2) * ACROSS


def _reached_through_others(name: str, target: str, arrows: dict[str, frozenset[str]]) -> bool:
    ahead, seen = sorted(arrows[name] - {target}), {name}
    while ahead:
        if (here := ahead.pop()) == target:
            return True
        if here not in seen:
            seen.add(here)
            ahead += sorted(arrows[here])
    return False


def _arrow(axes: Axes, start: Place, end: Place, boxes: list[Place], color: str, width: float) -> None:
    """From the lower edge of a box to the upper edge of one below, spread along the edges by where it leads."""
    down = -1 if end[1] < start[1] else 1
    lean = max(-0.4, min(0.4, (end[0] - start[0]) * 0.12)) * WIDTH
    first = (start[0] + lean, start[1] + down * HEIGHT / 2)
    last = (end[0] - lean, end[1] - down * HEIGHT / 2)
    others = [box for box in boxes if box not in (start, end)]
    bend = min(BENDS, key=lambda bend: (_hidden(first, last, bend, others), abs(bend), bend))
    if end[1] == start[1]:  # over the boxes between
        first, last = (start[0], start[1] + HEIGHT / 2), (end[0], end[1] + HEIGHT / 2)
        bend = 0.18 if end[0] < start[0] else -0.18
    style: dict[str, Any] = {
        "arrowstyle": "-|>",
        "mutation_scale": 9,
        "linewidth": width,
        "color": color,
        "zorder": 2,
    }
    curve = f"arc3,rad={bend}"
    axes.add_patch(FancyArrowPatch(first, last, connectionstyle=curve, shrinkA=0, shrinkB=0, **style))


def _hidden(first: Place, last: Place, bend: float, boxes: list[Place]) -> int:
    """How many boxes an arrow would pass behind, which would then seem to be its ends."""
    along = np.linspace(0, 1, 60)[:, None]
    middle = (
        (first[0] + last[0]) / 2 + bend * (last[1] - first[1]),
        (first[1] + last[1]) / 2 - bend * (last[0] - first[0]),
    )
    curve = (1 - along) ** 2 * first + 2 * along * (1 - along) * middle + along**2 * last  # as arc3 draws it
    apart = np.abs(curve[:, None, :] - np.reshape(boxes, (-1, 2)))
    inside = (apart[..., 0] < WIDTH / 2 + 0.03) & (apart[..., 1] < HEIGHT / 2 + 0.03)
    return int(inside.any(axis=0).sum())


def _box(axes: Axes, place: Place, name: str, files: int) -> None:
    corner = (place[0] - WIDTH / 2, place[1] - HEIGHT / 2)
    style: dict[str, Any] = {
        "boxstyle": "round,pad=0,rounding_size=0.09",
        "facecolor": PAPER,
        "edgecolor": INK,
        "zorder": 4,
    }
    axes.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, linewidth=1, **style))
    size = min(10.0, 10.0 * 15 / max(len(name), 1))
    axes.text(*place, f"{name}\n", ha="center", va="center", fontsize=size, color=INK, weight="bold", zorder=5)
    number = "1 file" if files == 1 else f"{files} files"
    axes.text(place[0], place[1] - 0.14, number, ha="center", va="center", fontsize=8, color=INK, zorder=5)


def _band(axes: Axes, height: float, widest: int) -> None:
    """The floor at this height, behind all."""
    corner, size = (-widest * ACROSS / 2, height - HEIGHT / 2 - 0.14), (widest * ACROSS, HEIGHT + 0.28)
    style = "round,pad=0,rounding_size=0.12"
    axes.add_patch(FancyBboxPatch(corner, *size, boxstyle=style, facecolor=FLOOR, edgecolor="none", zorder=0))


def _legend(axes: Axes, words: list[tuple[str, str]], widest: int) -> None:
    left = -widest * ACROSS / 2
    for word, color in words:
        axes.text(left, 0.72, word, fontsize=10, color=color, va="center")
        left += 0.25 + 0.087 * len(word)
