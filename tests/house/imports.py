"""Which file of a package imports which, read from the source without importing any of it."""

import ast
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)


@dataclass(frozen=True)
class Imports:
    """The files of a package and what they import.

    Files are named by their path below the package, such as `data/images.py`; a stub counts as its module.
    """

    root: Path
    inside: dict[str, frozenset[str]]
    """File to the files of the package that it imports, in functions and for types alone too."""
    outside: dict[str, frozenset[str]]
    """File to the first names of other packages that it imports."""
    lines: dict[str, int]
    """File to its number of lines; a stub counts by itself."""

    @property
    def arrows(self) -> list[tuple[str, str]]:
        """Pairs (importing file, imported file), in order."""
        return sorted((file, target) for file, targets in self.inside.items() for target in targets)


def read_imports(root: Path) -> Imports:
    """Reads every `.py` and `.pyi` file below the package `root`."""
    paths = sorted([*root.rglob("*.py"), *root.rglob("*.pyi")])
    names = {path: path.relative_to(root).as_posix() for path in paths}
    modules = {_module(root, path): names[path].removesuffix("i") for path in paths}
    inside: dict[str, set[str]] = {}
    outside: dict[str, set[str]] = {}
    lines = {}
    for path in paths:
        source = path.read_text(encoding="utf-8")
        lines[names[path]] = len(source.splitlines())
        file = names[path].removesuffix("i")
        within, beyond = inside.setdefault(file, set()), outside.setdefault(file, set())
        for module, member in _imported(ast.parse(source), _package(root, path)):
            if module.split(".")[0] != root.name:
                beyond.add(module.split(".")[0])
            elif f"{module}.{member}" in modules:
                within.add(modules[f"{module}.{member}"])
            elif module in modules:
                within.add(modules[module])
            else:
                raise ValueError(f"{names[path]} imports {module}, which is not there.")
        within.discard(file)
    frozen = {file: frozenset(targets) for file, targets in inside.items()}
    return Imports(root, frozen, {file: frozenset(targets) for file, targets in outside.items()}, lines)


def _module(root: Path, path: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _package(root: Path, path: Path) -> list[str]:
    """The package that relative imports of a file start from."""
    return list(path.relative_to(root.parent).parent.parts)


def _imported(tree: ast.AST, package: list[str]) -> Iterator[tuple[str, str]]:
    """Pairs (module, member) of every import; the member is empty where the module itself is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if function in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value, ""


def circles(arrows: Mapping[Node, Iterable[Node]]) -> list[tuple[Node, ...]]:
    """Groups of two or more nodes that reach each other (strongly connected components), each sorted."""
    reached = {node: _reachable(node, arrows) for node in arrows}
    groups = {tuple(sorted(b for b in reached[a] if a in reached.get(b, ()))) for a in arrows}  # type: ignore[type-var]
    return sorted(group for group in groups if len(group) > 1)


def _reachable(start: Node, arrows: Mapping[Node, Iterable[Node]]) -> set[Node]:
    seen: set[Node] = set()
    ahead = [start]
    while ahead:
        for target in arrows.get(ahead.pop(), ()):
            if target not in seen:
                seen.add(target)
                ahead.append(target)
    return seen
