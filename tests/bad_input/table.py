"""All bad inputs as a Markdown table: `python -m tests.bad_input.table`."""

from collections import Counter
from importlib import import_module
from pathlib import Path

from tests.bad_input.case import BadInput

ENDINGS = {"line": "one line before training", "counted": "counted and told", "right": "read as it is meant"}


def all_inputs() -> list[BadInput]:
    """The inputs of every `*_inputs.py` beside this file."""
    found: list[BadInput] = []
    for path in sorted(Path(__file__).parent.glob("*_inputs.py")):
        found += import_module(f"tests.bad_input.{path.stem}").INPUTS
    names = Counter((case.kind, case.what) for case in found)
    assert all(number == 1 for number in names.values()), f"named twice: {names.most_common(1)}"
    return found


def table() -> str:
    """Kind, input and ending of each, and their counts."""
    cases = all_inputs()
    counts = Counter(case.ends for case in cases)
    rows = [f"| {case.kind} | {case.what} | {ENDINGS[case.ends]} |" for case in cases]
    summary = ", ".join(f"{counts[ending]} {words}" for ending, words in ENDINGS.items())
    return "\n".join([f"{len(cases)} bad inputs: {summary}.", "", "| where | input | ends |", "|---|---|---|", *rows])


if __name__ == "__main__":
    print(table())
