"""The benchmarks run from end to end on tiny networks; what they measure there means nothing."""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """A script as a module: it may set torch's threads."""
    threads = torch.get_num_threads()
    monkeypatch.syspath_prepend(ROOT)
    yield import_module(request.param)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("script", ["benchmarks.adaptation.dann_step"], indirect=True)
def test_both_forms_are_timed_beside_the_notebooks_loop(script: ModuleType) -> None:
    figures = script.main(["--quick"])
    assert (figures[0].name, figures[0].ratio) == (script.NOTEBOOK, 1)
    assert {figure.name: figure.target for figure in figures if figure.target} == script.TARGETS


@pytest.mark.parametrize("script", ["benchmarks.adaptation.digits"], indirect=True)
def test_the_table_of_digits_goes_on_where_it_stopped(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["--image_size", "16", "--steps", "4", "--validations", "2", "--seeds", "0", "--set", "width=4"]
    command += ["--out", str(tmp_path / "digits.jsonl"), "--methods", "source_only", "dann", "dirt_t"]
    first = script.main(command)
    assert [row["method"] for row in first] == ["source_only", "dann", "dirt_t"]
    assert first[2]["first"]["method"] == "vada"
    assert all(0 <= row["chosen"] <= 1 and set(row["by"]) >= {"information", "last"} for row in first)
    monkeypatch.setattr(script, "run", lambda *_: pytest.fail("it is there already"))
    with (tmp_path / "digits.jsonl").open("a") as file:  # of a longer run, which is no row of this table
        file.write(json.dumps({**first[1], "steps": 8}) + "\n")
    assert script.main(command) == first
    out = capsys.readouterr().out
    assert all(f"| {method} | 1 |" in out for method in ("dann", "vada", "dirt_t"))
    assert "| dann | target_accuracy (ORACLE) |" in out
    assert import_module("benchmarks.tools.short_runs").spread([0.5, 0.7]) == "60.0 ± 14.1"
