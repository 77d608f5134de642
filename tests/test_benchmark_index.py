"""`benchmarks/README.md` names every script with the figures of the READMEs, which name scripts that exist."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INDEX = (ROOT / "benchmarks/README.md").read_text("utf8")
SCRIPTS = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for path in ROOT.glob("benchmarks/*/*.py")
    if path.stem != "__init__" and path.parent.name != "tools"
)
TOOLS = "".join(path.read_text("utf8") for path in sorted(ROOT.glob("benchmarks/tools/*.py")))
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "lhy_lightning/**/*.md", "recipes/**/*.yaml", "benchmarks/**/*.py", "notebooks/*.ipynb")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)


def rows_of(index: str) -> list[list[str]]:
    """Returns the cells of each row; "the same" is the script of the row above."""
    lines = [line.strip("|") for line in index.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    for above, row in pairwise(rows):
        if row[2] == "the same":
            row[2] = above[2]
    return rows[1:]


ROWS = rows_of(INDEX)


NUMBER = r"(?:\d+,\d{3}|\d*\.\d+|\d+)(?!\d)"


def numbers_of(text: str) -> set[str]:
    """Returns the numbers of a text as they are written, a mean together with its error."""
    return set(re.findall(rf"{NUMBER}(?: ± {NUMBER})?", text.replace("*", "")))


def test_every_script_stands_in_the_index_and_every_row_names_one() -> None:
    named = [re.match(r"`(benchmarks\.[\w.]+)", row[2]) for row in ROWS]
    assert {found[1] for found in named if found} == set(SCRIPTS)
    assert all(named)


def test_a_row_has_topic_claim_command_figure_and_date() -> None:
    for row in ROWS:
        topic, claim, command, figure, measured = row
        assert f"benchmarks.{topic}." in command
        assert claim
        assert figure
        assert re.fullmatch(r"\d{4}-\d\d-\d\d|at each change", measured)


def test_claims_are_unique() -> None:
    claims = [(row[0], row[1]) for row in ROWS]
    assert len(set(claims)) == len(claims)


@pytest.mark.parametrize("topic", sorted({row[0] for row in ROWS if row[4] != "at each change"}))
def test_the_figures_of_the_index_stand_in_the_readme_of_their_topic(topic: str) -> None:
    page = numbers_of("\n".join(path.read_text("utf8") for path in ROOT.glob(f"lhy_lightning/{topic}/*.md")))
    rows = [row for row in ROWS if row[0] == topic]
    assert all(numbers_of(row[3]) for row in rows)
    assert [(row[1], numbers_of(row[3]) - page) for row in rows if not numbers_of(row[3]) <= page] == []


@pytest.mark.parametrize("topic", sorted({row[0] for row in ROWS if row[4] != "at each change"}))
def test_every_script_of_a_topic_is_named_by_its_readme(topic: str) -> None:
    page = "\n".join(path.read_text("utf8") for path in ROOT.glob(f"lhy_lightning/{topic}/*.md"))
    scripts = [script for script in SCRIPTS if script.startswith(f"benchmarks.{topic}.")]
    assert [script for script in scripts if script not in page and script.replace(".", "/") not in page] == []


def test_options_of_the_commands_in_the_index_are_options_of_their_scripts() -> None:
    for row in ROWS:
        script, *words = row[2].strip("`").split()
        text = (ROOT / f"{script.replace('.', '/')}.py").read_text("utf8") + TOOLS
        for option in (word[2:] for word in words if word.startswith("--")):
            looped = rf'^    {option}: int = |"{option}": \d'  # of a dataclass or dictionary of sizes, each an option
            assert f'"--{option}"' in text or re.search(looped, text, re.MULTILINE), f"{script} --{option}"


def test_every_script_says_how_it_is_started() -> None:
    for script in SCRIPTS:
        text = (ROOT / f"{script.replace('.', '/')}.py").read_text("utf8")
        assert f"python -m {script}" in text or f"python {script.replace('.', '/')}.py" in text, script


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_benchmarks_that_a_document_names_are_there(document: Path) -> None:
    text = document.read_text("utf8")
    named = {name.replace(".", "/") + ".py" for name in re.findall(r"python -m (benchmarks(?:\.[a-z]\w*)+)", text)}
    named |= set(re.findall(r"\bbenchmarks/[\w/]+\.py", text))
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_files_that_a_benchmark_names_in_backticks_are_there() -> None:
    named = {
        name
        for path in ROOT.glob("benchmarks/**/*.py")
        for name in re.findall(r"`([\w/]+\.py)`", path.read_text("utf8"))
    }
    assert "tools/run_qa.py" in named
    assert [name for name in sorted(named) if not (ROOT / "benchmarks" / name).is_file()] == []
