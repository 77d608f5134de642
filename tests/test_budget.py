"""The suite's own machinery: table of processor seconds, order for several workers, turns of pairs of ranks."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.budget import BESIDE, BUDGETS, TOPIC, table, topic_of
from tests.processes import several_ranks
from tests.workers import dealt, pytest_xdist_auto_num_workers

ROOT = Path(__file__).resolve().parents[1]


def test_a_topic_is_the_folder_below_the_tests() -> None:
    assert topic_of("tests/gan/test_losses.py::test_it[a/b.py::c]") == "gan"
    assert topic_of("tests/data/images/test_folders.py::test_it") == "data"
    assert topic_of("tests/test_package.py::test_it") == BESIDE


def test_over_budget_is_a_line_of_warning_below_the_table() -> None:
    seconds = {"tests/gan/test_a.py::a": TOPIC - 1, "tests/gan/test_b.py::b": 2.0, "tests/data/test_c.py::c": 1.0}
    lines = list(table(seconds, 7.0, 2))
    assert [line for line, colour in lines if colour] == [
        "over budget: gan took 41 s of processor time, 40 s are meant for it"
    ]
    assert lines[0][0].split() == ["41.0", "of", "40", "gan"]
    assert lines[1][0].split() == ["1.0", "of", f"{BUDGETS['data']:.0f}", "data"]
    assert lines[2][0].split()[:1] == ["7.0"]
    assert lines[3][0].split() == ["49.0", "all"]
    assert [line.split()[1] for line, _ in lines[5:8]] == list(seconds)


def test_tests_that_the_budgets_are_not_meant_for_are_not_held_against_them() -> None:
    lines = list(table({"tests/gan/test_a.py::a": 400.0}, 0.0, 1, budgeted=False))
    assert not [line for line, colour in lines if colour or " of " in line]


def test_every_worker_begins_with_slow_files_and_files_stay_whole() -> None:
    files = [name for name in "abcdef" for _ in range(4)]
    tests = list(range(len(files)))
    seconds = {"b": 30.0, "e": 20.0, "f": 15.0, "not there": 99.0}
    ordered = dealt(tests, files, seconds, 2)
    assert sorted(ordered) == tests
    assert [files[test] for test in ordered] == [name for name in "bacefd" for _ in range(4)]
    assert dealt(tests, files, seconds, 5)[0] == 4
    assert sorted(dealt(tests, files, {"a": 1.0}, 7)) == tests
    assert dealt(tests, files, {}, 3) == tests


def test_what_all_workers_spent_is_in_one_table(tmp_path: Path) -> None:
    folder = tmp_path / "tests" / "topic"
    folder.mkdir(parents=True)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    burn = "from time import process_time as now\ndef test_it():\n    end = now() + 0.3\n    while now() < end: pass\n"
    for name in "ab":
        (folder / f"test_{name}.py").write_text(burn)
    command = [sys.executable, "-m", "pytest", "-p", "tests.budget", "-p", "tests.workers", "-n", "2", "tests"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_PLUGINS": "xdist",
    }
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^ +0\.[6-9] +topic$", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^ +\d\.\d +imports and collecting, in 2 processes$", done.stdout, re.MULTILINE)
    assert len(re.findall(r"^ +0\.[345] +tests/topic/test_[ab]\.py::test_it$", done.stdout, re.MULTILINE)) == 2


def test_pairs_of_ranks_take_turns_and_the_clock_of_a_test_stands_still_while_it_waits(tmp_path: Path) -> None:
    seen = tmp_path / "seen"

    def hold(name: str) -> None:
        with several_ranks(), seen.open("a") as file:
            for _ in range(3):
                file.write(name)
                file.flush()
                time.sleep(0.1)

    context = multiprocessing.get_context("fork")
    others = [context.Process(target=hold, args=(name,)) for name in "ab"]
    for other in others:
        other.start()
    while not seen.exists():
        time.sleep(0.01)
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with several_ranks():
            assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 0.2
            signal.setitimer(signal.ITIMER_REAL, left)
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
    for other in others:
        other.join()
    assert seen.read_text() in ("aaabbb", "bbbaaa")


@pytest.mark.parametrize(
    ("args", "keyword", "workers"),
    [
        (["tests"], "", None),
        (["tests/gan", "tests/cnn"], "", None),
        (["tests/cli/test_front.py", "tests/cli/test_pipeline.py"], "", None),
        (["tests/cli/test_front.py::test_it[a]", "tests/cli/test_front.py"], "", 0),
        (["tests"], "residual", 0),
    ],
)
def test_few_tests_start_no_workers(args: list[str], keyword: str, workers: int | None) -> None:
    config: Any = SimpleNamespace(args=args, option=SimpleNamespace(keyword=keyword, collectonly=False))
    assert pytest_xdist_auto_num_workers(config) == workers
