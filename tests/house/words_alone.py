"""Says whether two commits differ in words alone: docstrings, comments and the texts of messages.

    python -m tests.house.words_alone BEFORE [AFTER]

Compared are the syntax trees of all Python files without docstrings, and without texts that have a space in them, which
are messages. AFTER is the working tree where it is left out. The exit code is 1 where anything else differs.
"""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


class WithoutWords(ast.NodeTransformer):
    """Empties docstrings and messages."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if isinstance(node.value, str) and " " in node.value:
            return ast.copy_location(ast.Constant(""), node)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return ast.copy_location(ast.Expr(ast.Constant("")), node)
        self.generic_visit(node)
        return node


def skeleton(source: str) -> str:
    """The syntax tree of a file without its words, as text."""
    return ast.dump(WithoutWords().visit(ast.parse(source)))


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def content(commit: str | None, file: str) -> str:
    return (ROOT / file).read_text("utf8") if commit is None else git("show", f"{commit}:{file}")


def apart(before: str, after: str | None = None) -> list[str]:
    """The Python files of which more than words differs, and those that only one side has."""
    changed = git("diff", "--name-status", "--no-renames", before, *([after] if after else []), "--", "*.py")
    found = []
    for line in changed.splitlines():
        kind, file = line.split("\t")
        if kind != "M" or skeleton(content(before, file)) != skeleton(content(after, file)):
            found.append(file)
    return found


def main(argv: list[str]) -> int:
    """Prints the files that differ in more than words."""
    found = apart(*argv)
    print("\n".join(found) if found else "words alone")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
