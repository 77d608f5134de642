"""Makes the skeleton of a new topic: `scripts/new_topic NAME`.

Files come from `tests/house/skeleton/`: `NAME`, `NUMBER`, `$name`, `$Class` and `$title` are filled in, `.txt` goes.
Then come the entries in the lists, and what has to be run: style, the drawn plan, the quickstart with its curves and
score, a killed run and a saved folder for `tests/before/`, the notebook. What is made is a small topic that trains and
passes its tests: a network with one hidden layer on the embedded digits, to be replaced part by part.
"""

import argparse
import json
import keyword
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template

from tests.house.topics import Topic, lacks

ROOT = Path(__file__).parents[2]
SKELETON = Path(__file__).parent / "skeleton"
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class NewTopic:
    """A topic that is made in the repository at `root`.

    Raises:
        ValueError: the name is no name of a package, or is taken.
    """

    root: Path
    name: str
    cls: str
    title: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name) or keyword.iskeyword(self.name):
            raise ValueError(f"{self.name!r} is no name of a folder of Python: small letters, digits and _")
        if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", self.cls):
            raise ValueError(f"{self.cls!r} is no name of a class: give one by --class_name")
        stub = (self.root / "lhy_lightning/__init__.pyi").read_text("utf8")
        if re.search(rf" as {self.cls}$", stub, re.M):
            raise ValueError(f"{self.cls} is a public name already: give another by --class_name")
        for place in ("lhy_lightning", "tests", "recipes"):
            if (self.root / place / self.name).exists():
                raise ValueError(f"{place}/{self.name} is there already")

    # --- files -----------------------------------------------------------------------------------------------------

    @property
    def notebook(self) -> Path:
        """The topic's, or the next free number's."""
        there = sorted((self.root / "notebooks").glob("*.ipynb"))
        own = [path for path in there if path.stem[3:] == self.name]
        return own[0] if own else self.root / f"notebooks/{len(there) + 1:02d}_{self.name}.ipynb"

    def write_files(self) -> list[Path]:
        """Writes the skeleton's files; returns them."""
        number, written = self.notebook.stem[:2], []
        for source in sorted(SKELETON.rglob("*.txt")):
            path = source.relative_to(SKELETON).as_posix().removesuffix(".txt")
            target = self.root / path.replace("NUMBER", number).replace("NAME", self.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = Template(source.read_text("utf8"))
            target.write_text(text.substitute(name=self.name, Class=self.cls, title=self.title), "utf8")
            written.append(target)
        return written

    # --- lists -----------------------------------------------------------------------------------------------------

    def enter_lists(self) -> list[Path]:
        """Puts the topic into each list of the repository; returns their files."""
        entries: dict[str, Callable[[str], str]] = {
            "lhy_lightning/__init__.pyi": self._with_public_name,
            "lhy_lightning/README.md": self._with_room,
            "tests/house/plan.py": self._with_floor,
            "tests/smallest_modules.py": lambda text: _with_entry(
                text, "SETTINGS", f'"{self.cls}": lambda: {{**SIZES, "num_classes": 3, "width": 2}},'
            ),
            "tests/smallest_data.py": lambda text: _with_entry(
                text, "DATA", f'"{self.cls}": lambda: ImageDataModule(**DIGITS),'
            ),
            "README.md": self._with_row,
            "CHANGELOG.md": self._with_line,
            "TERMS.md": self._with_term,
        }
        texts = {self.root / place: entry((self.root / place).read_text("utf8")) for place, entry in entries.items()}
        for path, text in texts.items():
            path.write_text(text, "utf8")
        return list(texts)

    def _with_public_name(self, text: str) -> str:
        new = f"from .{self.name}.module import {self.cls} as {self.cls}"
        lines = text.splitlines()
        first, *_, last = (place for place, line in enumerate(lines) if line.startswith("from ."))
        later = [place for place in range(first, last + 1) if lines[place].split()[1] > f".{self.name}.module"]
        lines.insert(later[0] if later else last + 1, new)
        return "\n".join(lines) + "\n"

    def _with_room(self, text: str) -> str:
        row = _found(r"^\| ((?:`\w+/` )+)\| a topic each", text)
        rooms = " ".join(sorted([*row[1].split(), f"`{self.name}/`"]))
        return text[: row.start(1)] + rooms + " " + text[row.end(1) :]

    def _with_floor(self, text: str) -> str:
        found = _found(r"^TOPICS = \(\n(.*?)^\)", text, re.DOTALL)
        names = sorted({*re.findall(r'"(\w+)"', found[1]), self.name})
        lines = textwrap.fill(", ".join(f'"{name}"' for name in names) + ",", 116)
        return text[: found.start(1)] + textwrap.indent(lines, "    ") + "\n" + text[found.end(1) :]

    def _with_row(self, text: str) -> str:
        table = _found(r"^\| topic \|.*\n(?:\|.*\n)+", text)
        return (
            text[: table.end()]
            + f"| [{self.title}](lhy_lightning/{self.name}/README.md) | | here |\n"
            + text[table.end() :]
        )

    def _with_line(self, text: str) -> str:
        added = _found(r"^## \[Unreleased\]\n.*?^### Added\n.*?(?=\n+^##)", text, re.DOTALL)
        line = f"\n- `{self.cls}` ({self.title}): a network with one hidden layer; recipe `{self.name}/quickstart`."
        return text[: added.end()] + line + text[added.end() :]

    def _with_term(self, text: str) -> str:
        return f"{text.rstrip()}\n| hidden layer | 隱藏層 | `{self.cls}` | `lhy_lightning/{self.name}/module.py` |\n"

    # --- runs ------------------------------------------------------------------------------------------------------

    def run_all(self, files: list[Path]) -> None:
        """Style of the written files, the drawn plan, the trained quickstart, the fixture, the notebook."""
        with tempfile.TemporaryDirectory() as folder:
            self.tidy(files)
            self.measure(Path(folder))
            self.record(Path(folder))
        self.run_notebook()

    def command(self, *words: str) -> None:
        """Runs `python -m …` in the repository, on its own code.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        print("python -m", *words, flush=True)
        subprocess.run([sys.executable, "-m", *words], cwd=self.root, env=self.environment, check=True)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.root), "HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline"}

    def tidy(self, files: list[Path]) -> None:
        """Style of the written files, and the picture of the plan."""
        python = [path.relative_to(self.root).as_posix() for path in files if path.suffix in (".py", ".pyi", ".ipynb")]
        self.command("ruff", "check", "--quiet", "--fix", *python)
        self.command("ruff", "format", "--quiet", *python)
        self.command("tests.house.plan", "--draw", "lhy_lightning/plan.svg")

    def measure(self, folder: Path) -> None:
        """Trains the quickstart in `folder`: the README's figure, and its score in place of "not measured"."""
        recipe = f"{self.name}/quickstart"
        where = ("--trainer.default_root_dir", str(folder), "--trainer.enable_progress_bar", "false")
        self.command("lhy_lightning.cli", "fit", "--config", recipe, *where)
        shutil.copy(folder / recipe / "curves.png", self.root / "lhy_lightning" / self.name / "figure.png")
        results = json.loads((folder / recipe / "results.json").read_text("utf8"))["results"]
        accuracy = f"{results['test/accuracy']:.3f}".removeprefix("0")
        said = {f"recipes/{recipe}.yaml": f"test accuracy {accuracy} on 179 held-out digits (seed 0)"}
        said |= {f"lhy_lightning/{self.name}/{page}.md": accuracy for page in ("README", "RESULTS")}
        for place, score in said.items():
            path = self.root / place
            path.write_text(path.read_text("utf8").replace(NOT_MEASURED, score), "utf8")

    def record(self, folder: Path) -> None:
        """Keeps a killed run and a saved folder, which later versions have to open."""
        kept = ("--only", self.cls, "--fixtures", "tests/before/fixtures")
        self.command("tests.before.record", str(folder / "record"), *kept)

    def run_notebook(self) -> None:
        """Runs the notebook and keeps its pictures."""
        import nbclient
        import nbformat

        print("running", self.notebook.name, flush=True)
        book = nbformat.read(self.notebook, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            client = nbclient.NotebookClient(book, timeout=600, resources={"metadata": {"path": folder}})
            client.execute(env=self.environment)
        for cell in book.cells:
            cell.metadata.pop("execution", None)  # times of day
        nbformat.write(book, self.notebook)


def _found(pattern: str, text: str, flags: int = 0) -> re.Match[str]:
    found = re.search(pattern, text, re.MULTILINE | flags)
    if found is None:
        raise ValueError(f"the list that begins with {pattern!r} is not where it was")
    return found


def _with_entry(text: str, dictionary: str, entry: str) -> str:
    """Text of a Python file with one more entry at the end of a dictionary of the module."""
    found = _found(rf"^{dictionary}\b[^\n]*\{{\n.*?(?=^\}})", text, re.DOTALL)
    return text[: found.end()] + f"    {entry}\n" + text[found.end() :]


def main(arguments: list[str] | None = None) -> int:
    """Makes the topic and prints what it lacks."""
    parser = argparse.ArgumentParser(prog="scripts/new_topic", description="Makes the skeleton of a new topic.")
    parser.add_argument("name", metavar="NAME", help="of its folder: small letters, digits and _")
    parser.add_argument("--class_name", help="of its public module; NAME in capitals (MyTopic) if left out")
    parser.add_argument("--title", help="in words; NAME with spaces if left out")
    parser.add_argument("--files_only", action="store_true", help="only write: train, draw and run nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository; this one if left out")
    given = parser.parse_args(arguments)
    try:
        title = given.title or given.name.replace("_", " ").capitalize()
        topic = NewTopic(given.root.resolve(), given.name, given.class_name or _camel(given.name), title)
    except ValueError as error:
        parser.error(str(error))
    files = [*topic.write_files(), *topic.enter_lists()]
    print("\n".join(path.relative_to(topic.root).as_posix() for path in files))
    try:
        if not given.files_only:
            topic.run_all(files)
    except subprocess.CalledProcessError as error:
        print(f"`{' '.join(error.cmd[1:])}` failed with {error.returncode}: what comes behind it was not run")
        return 1
    lines = lacks(Topic(topic.root, topic.name)) or ["lacks nothing"]
    print("\n".join(f"{topic.name}: {line}" for line in lines))
    return 0


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


if __name__ == "__main__":
    raise SystemExit(main())
