"""Finds recipes: YAML files that put a data module, a Lightning module and a Trainer together.

There is no list to keep: recipes are what lies in the recipe folders. The user's own folder, `recipes` in the current
folder, comes before the shipped one. A recipe's name is its path in the folder without the suffix, as in `hw03/simple`.

A recipe starts with a comment block for humans, which is also what `lhy recipes` shows:

    # Handwritten digits in about a minute
    #
    # data: 1,797 embedded 8x8 pictures, nothing to download
    # time: about a minute on two CPU cores
    # expected: val/accuracy 0.990 (seed 0)
    # differs: no paper; a line that is indented further
    #   goes on where the line above it ended.

The first line is the title, `key: value` lines are fields (any key; case does not matter), the rest is free text.
Only the standard library is used here, so that listing recipes takes no time.
"""

import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

SUFFIXES = (".yaml", ".yml")
_FIELD = re.compile(r"([A-Za-z][A-Za-z ]{0,24}?)\s*:(?:\s+(.*))?")


class RecipeError(ValueError):
    """A recipe that is not there; the message names the nearest ones."""


@dataclass(frozen=True)
class Header:
    """The comment block at the top of a recipe."""

    title: str
    fields: dict[str, str]
    text: str


@dataclass(frozen=True)
class Recipe:
    """A recipe file and the name it is called by."""

    name: str
    path: Path
    shipped: bool

    @property
    def header(self) -> Header:
        """The comment block, read from the file; of one that is no recipe what is wrong with it."""
        try:
            text = recipe_text(self.path)
            if not self.shipped:  # the only ones that may be broken; importing yaml takes time
                from lhy_lightning.cli.settings_file import read_settings

                read_settings(self.path)
        except (OSError, ValueError) as error:
            return Header("", {"expected": f"cannot be read: {error}"}, "")
        return parse_header(text)


def parse_header(text: str) -> Header:
    """Reads title, fields and free text from the first comment block of a recipe; never fails.

    Args:
        text: the whole file, or its beginning.
    """
    title = ""
    fields: dict[str, str] = {}
    free: list[str] = []
    key: str | None = None
    for line in comment_block(text):
        stripped, indented = line.strip(), line.startswith((" ", "\t"))
        field = None if indented else _FIELD.fullmatch(stripped)
        if not title:
            title = stripped
        elif field:
            key = field[1].lower()
            fields[key] = (field[2] or "").strip()
        elif key is not None and stripped and indented:
            fields[key] = f"{fields[key]} {stripped}".strip()
        else:
            key = None
            free.append(stripped)
    return Header(title, fields, "\n".join(free).strip())


def recipe_text(path: Path) -> str:
    """The text of a recipe.

    Raises:
        RecipeError: it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8: save it as UTF-8.") from error


def comment_block(text: str) -> Iterator[str]:
    """The lines of the first comment block without their `# `; what is indented further stays indented."""
    started = False
    for line in text.removeprefix("\ufeff").splitlines():
        if line.startswith("#"):
            started = True
            yield line[1:].removeprefix(" ").rstrip()
        elif started or line.strip():
            return


def shipped_folder() -> Path:
    """The recipes of this package: inside it when installed from a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "_recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def list_recipes(folder: str | Path = "recipes") -> list[Recipe]:
    """All recipes by name: those in the user's `folder`, then the shipped ones that none of these hides."""
    found: dict[str, Recipe] = {}
    shipped = shipped_folder()
    own = Path(folder)
    for root in (own, shipped):
        for path in sorted(p for p in root.rglob("*") if p.suffix in SUFFIXES and p.is_file()):
            name = path.relative_to(root).with_suffix("").as_posix()
            found.setdefault(name, Recipe(name, path, shipped=root.resolve() == shipped))
    return [found[name] for name in sorted(found)]


def find_recipe(name_or_path: str | Path) -> Path:
    """The file of a recipe.

    Args:
        name_or_path: a short name (`hw03/simple`), or the path of any YAML file. A path that exists is taken as it is
            when it has a suffix; without one a recipe of that name comes first.

    Raises:
        RecipeError: there is no such recipe and no such file.
    """
    given = str(name_or_path)
    path = Path(given).expanduser()
    if path.suffix and path.is_file():
        return path
    name = given.removesuffix(".yaml").removesuffix(".yml")
    if not Path(name).is_absolute() and ".." not in Path(name).parts:
        for file in (root / (name + suffix) for root in (Path("recipes"), shipped_folder()) for suffix in SUFFIXES):
            if file.is_file():
                return file
    if path.is_file():
        return path
    raise RecipeError(_unknown(given, name, [recipe.name for recipe in list_recipes()]))


def _unknown(given: str, name: str, names: Sequence[str]) -> str:
    last_parts = {known.rsplit("/", 1)[-1]: known for known in names}  # `strong` for hw03/strong
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    near += [last_parts[part] for part in get_close_matches(name.rsplit("/", 1)[-1], last_parts, n=2, cutoff=0.7)]
    message = f"there is no recipe and no file {given!r}"
    if near:
        message += "; nearest: " + ", ".join(dict.fromkeys(near))
    return message + " (`lhy recipes` lists all)"


def recipe_table(recipes: Sequence[Recipe], *, width: int | None = None) -> str:
    """Recipes as a plain text table: name, data, time, expected score; long cells are wrapped."""
    columns = ("recipe", "data", "time", "expected score")
    rows: list[tuple[str, ...]] = [columns]
    for recipe in recipes:
        fields = recipe.header.fields
        name = recipe.name if recipe.shipped else f"{recipe.name} (yours)"
        rows.append((name, *(fields.get(key, "") for key in ("data", "time", "expected"))))
    width = width or max(shutil.get_terminal_size((120, 24)).columns, 60)
    first = max(len(row[0]) for row in rows)
    rest = max(width - first - 6, 30)
    widths = (first, rest * 2 // 5, rest // 4, rest - rest * 2 // 5 - rest // 4)
    lines: list[str] = []
    for number, row in enumerate(rows):
        cells = [textwrap.wrap(cell, size) or [""] for cell, size in zip(row, widths, strict=True)]
        for part in range(max(map(len, cells))):
            texts = [cell[part] if part < len(cell) else "" for cell in cells]
            lines.append("  ".join(t.ljust(size) for t, size in zip(texts, widths, strict=True)).rstrip())
        if number == 0:
            lines.append("  ".join("-" * size for size in widths))
    return "\n".join(lines)
