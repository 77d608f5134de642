"""The benchmarks of question answering run from end to end on a few rows; what they measure there means nothing."""

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from tests.bert.question_files import write_homework

pytestmark = pytest.mark.usefixtures("undrawn_figures")

ROOT = Path(__file__).parents[2]
TINY = [
    "--max_length", "48", "--max_question_length", "10", "--overlap", "8", "--vocab_size", "300", "--layers", "1",
    "--width", "16", "--heads", "2", "--batch_size", "8", "--eval_batch_size", "8",
]  # fmt: skip


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A benchmark by its name."""
    pytest.importorskip("accelerate")
    monkeypatch.syspath_prepend(ROOT)
    return import_module


def test_run_qa_reads_the_same_windows_and_every_part_compares_it_with_ours(
    load: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_homework(tmp_path / "hw7")
    short = ["--rounds", "1", "--seconds", "0", "--prepare_rounds", "1", "--evaluate_rounds", "1", "--epochs", "1"]
    parts = ["--parts", "prepare", "train", "evaluate", "scores", "--seeds", "0"]
    load("benchmarks.bert.question_answering").main([str(folder), *TINY, *short, *parts])
    said = capsys.readouterr().out
    windows = re.search(r"(\d+) windows of ours, (\d+) of run_qa, (\d+) the same with their targets", said)
    assert windows is not None
    assert len(set(windows.groups())) == 1
    for table in ("seconds to prepare", "real tokens a second", "validation questions a second", "exact match on"):
        rows = said.split(table)[1].split("\n\n")[0].splitlines()
        assert any(row.startswith("| run_qa, dynamic padding") for row in rows) or table == "seconds to prepare"
        assert any(row.startswith("| ours ") for row in rows)


def test_the_homeworks_switches_and_its_loop_are_measured(
    load: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, homework = write_homework(tmp_path / "hw7"), load("benchmarks.bert.homework7")
    found = homework.main(["switches", str(folder), "--epochs", "1", "--seeds", "0", "1"])
    assert list(found) == [homework.ALL.name, *(choice.name for choice in homework.CHOICES)]
    assert all(len(values) == 2 for values in found.values())
    tiny = ["--layers", "1", "--width", "16", "--heads", "2", "--vocab_size", "300", "--rounds", "1"]
    assert set(homework.main(["loop", str(folder), *tiny])) == {"ours", "the notebook's loop"}
    assert "| the notebook's loop |" in capsys.readouterr().out
