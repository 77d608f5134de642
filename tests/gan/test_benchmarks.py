"""The benchmark of a training step runs from end to end on tiny networks; what it measures there means nothing."""

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture
def gan_step(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(ROOT)
    return import_module("benchmarks.gan.step")


def test_every_side_is_timed_in_turns_and_the_figures_are_written(gan_step: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    figures = gan_step.main(["--quick", "--json", str(path)])
    assert figures[0].name == gan_step.NOTEBOOK
    assert figures[0].ratio == 1
    assert {figure.name: figure.target for figure in figures if figure.target} == gan_step.TARGETS
    assert all(0 < figure.fastest <= figure.median <= figure.slowest for figure in figures)
    written = json.loads(path.read_text("utf8"))
    assert [side["name"] for side in written["sides"]] == [figure.name for figure in figures]
    assert torch.__version__ in written["machine"]


def test_a_ratio_is_the_median_over_rounds_that_both_sides_shared(gan_step: ModuleType) -> None:
    turn = import_module("benchmarks.tools.interleaved").Turn
    sides = [gan_step.Contestant(name, lambda side: None) for name in (gan_step.NOTEBOOK, "GAN, defaults")]
    for side, seconds in zip(sides, ([1.0, 10.0, 2.0], [0.5, 8.0, 1.4]), strict=True):
        side.turns += [turn(steps=1, seconds=value) for value in seconds]
    notebook, ours = import_module("benchmarks.tools.step_times").figures_of(sides, gan_step.TARGETS)
    assert (notebook.median, notebook.ratio) == (2, 1)
    assert (ours.median, ours.ratio) == (1.4, 0.7)
