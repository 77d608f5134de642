"""What the tests cost: processor seconds by topic beside their budget, and the slowest ten, at the end of a run.

Counted are the process that runs a test and the children that it waited for; workers of pytest-xdist are added up. A
topic is a folder of `tests/`; the files beside the folders are one together. Over budget is a line of warning and no
failure, as machines differ.
"""

import os
import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping
from typing import Any, Literal

import pytest

TOPIC = 40.0
"""Processor seconds of a topic that `BUDGETS` does not name."""

BUDGETS = {
    "bad_input": 60.0,
    "before": 45.0,
    "data": 60.0,
    "security": 40.0,
    "training": 90.0,
    "cli": 120.0,
    "files beside the folders": 120.0,
}
"""Processor seconds of the rooms that serve all topics."""

BESIDE = "files beside the folders"
SLOWEST = 10

Line = tuple[str, Literal["", "yellow"]]


def processor_seconds() -> float:
    """Those of this process and of the children that it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def file_of(test: str) -> str:
    """The file of a test's id."""
    return test.partition("::")[0]


def topic_of(test: str) -> str:
    """The folder below `tests/` of a test's id."""
    folders = file_of(test).split("/")[1:-1]
    return folders[0] if folders else BESIDE


def summed(seconds: Mapping[str, float], by: Any) -> dict[str, float]:
    """Seconds of tests by `by(test's id)`, the largest first."""
    sums: dict[str, float] = defaultdict(float)
    for test, spent in seconds.items():
        sums[by(test)] += spent
    return dict(sorted(sums.items(), key=lambda pair: -pair[1]))


def table(seconds: Mapping[str, float], around: float, processes: int, *, budgeted: bool = True) -> Iterable[Line]:
    """The lines of the table with their colours.

    Args:
        seconds: processor seconds by the ids of tests.
        around: those spent outside of tests: imports, collecting.
        processes: in how many processes the tests ran.
        budgeted: whether these are tests that the budgets are meant for.
    """
    over = []
    for topic, spent in summed(seconds, topic_of).items():
        budget = BUDGETS.get(topic, TOPIC)
        yield f"{spent:7.1f}{f' of {budget:3.0f}' if budgeted else ''}  {topic}", ""
        if budgeted and spent > budget:
            over.append(f"over budget: {topic} took {spent:.0f} s of processor time, {budget:.0f} s are meant for it")
    yield f"{around:7.1f}{'       ' if budgeted else ''}  imports and collecting, in {processes} processes", ""
    yield f"{around + sum(seconds.values()):7.1f}{'       ' if budgeted else ''}  all", ""
    yield "the slowest tests, with what they were the first to set up:", ""
    for test, spent in sorted(seconds.items(), key=lambda pair: -pair[1])[:SLOWEST]:
        yield f"{spent:7.1f}  {test}", ""
    for warning in over:
        yield warning, "yellow"


class Budget:
    """Measures the tests of this process, gathers what workers measured and writes the table."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.seconds: dict[str, float] = defaultdict(float)
        self.around = 0.0
        self.workers = 0

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        before = processor_seconds()
        answer = yield
        self.seconds[item.nodeid] += processor_seconds() - before
        return answer

    def pytest_sessionfinish(self) -> None:
        if hasattr(self.config, "workeroutput"):
            around = processor_seconds() - sum(self.seconds.values())
            self.config.workeroutput["processor_seconds"] = (dict(self.seconds), around)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        output = getattr(node, "workeroutput", {})  # a worker that was killed has none
        seconds, around = output.get("processor_seconds", ({}, 0.0))
        for test, spent in seconds.items():
            self.seconds[test] += spent
        self.around += around
        self.workers += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.seconds:
            return
        # with workers this process only collects what they say, and they are children of it
        own = time.process_time() if self.workers else processor_seconds() - sum(self.seconds.values())
        budgeted = self.config.getoption("markexpr") == "not slow"
        terminalreporter.section("processor seconds by topic, beside their budget")
        for line, colour in table(self.seconds, self.around + own, max(1, self.workers), budgeted=budgeted):
            terminalreporter.write_line(line, **{colour: True} if colour else {})


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Budget(config), "budget")
