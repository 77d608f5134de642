"""The suite on several processes (pytest-xdist): how many, and in which order the tests stand.

With `--dist worksteal` every worker begins with an equal part of the list and takes from the end of another's part when
its own is done. So the files that are known to be slow (`slow_files.json`) are dealt out to the fronts of these parts,
the slowest first. Files stay whole, as their tests share what they set up.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from tests.budget import file_of, summed

SLOW_FILES = Path(__file__).with_name("slow_files.json")
SLOW_FROM = 3.0
"""Processor seconds from which on a file is listed."""

Item = TypeVar("Item")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-slow-files",
        action="store_true",
        help=f"write tests/{SLOW_FILES.name} anew from what this run measures",
    )


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """No workers for a few tests (`-n auto` alone asks this): starting one takes longer than a file of tests."""
    files = {file_of(argument) for argument in config.args}
    one_file = len(files) == 1 and files.pop().endswith(".py")
    return 0 if one_file or config.option.keyword or config.option.collectonly else None


def dealt(tests: Sequence[Item], files: Sequence[str], seconds: Mapping[str, float], workers: int) -> list[Item]:
    """The tests in the order in which as many workers begin with the slowest files, spread evenly over them.

    Args:
        tests, files: each test and its file.
        seconds: of the slow files.
        workers: how many; the first gets the first part of what is returned, and so on.
    """
    whole: dict[str, list[Item]] = {}
    for test, file in zip(tests, files, strict=True):
        whole.setdefault(file, []).append(test)
    parts: list[list[Item]] = [[] for _ in range(workers)]
    load = [0.0] * workers
    for file in sorted(whole.keys() & seconds.keys(), key=lambda file: (-seconds[file], file)):
        lightest = load.index(min(load))
        parts[lightest] += whole.pop(file)
        load[lightest] += seconds[file]
    quick = [test for group in whole.values() for test in group]
    ordered: list[Item] = []
    for number, part in enumerate(parts):
        size = (len(tests) - len(ordered)) // (workers - number)  # as pytest-xdist cuts the list
        quick = part[size:] + quick
        part = part[:size]
        missing = size - len(part)
        ordered += part + quick[:missing]
        quick = quick[missing:]
    return ordered


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        seconds = json.loads(SLOW_FILES.read_text())
        files = [file_of(item.nodeid) for item in items]
        items[:] = dealt(items, files, seconds, config.workerinput["workercount"])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.option.write_slow_files and not hasattr(config, "workerinput"):
        spent = summed(config.pluginmanager.getplugin("budget").seconds, file_of)
        slow = {file: round(seconds) for file, seconds in spent.items() if seconds >= SLOW_FROM}
        SLOW_FILES.write_text(json.dumps(slow, indent=0) + "\n")
        terminalreporter.write_line(f"wrote {SLOW_FILES}")
