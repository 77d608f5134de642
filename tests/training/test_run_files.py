"""Every file that the package writes into a run folder is known by name, and `--overwrite` clears those alone."""

import ast
from pathlib import Path

import pytest

import lhy_lightning
from lhy_lightning.training.run_files import FILES, clear_run, is_written_by_runs

PACKAGE = Path(lhy_lightning.__file__).parent
NUMBER = "000001"


def text_of(node: ast.expr) -> str | None:
    """A string as it may come out: numbers for formatted values, an A for others."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if not isinstance(node, ast.JoinedStr):
        return None
    parts = [part.value if isinstance(part, ast.Constant) else part for part in node.values]
    return "".join(p if isinstance(p, str) else NUMBER if p.format_spec else "A" for p in parts)  # type: ignore[union-attr,attr-defined]


def file_below(node: ast.BinOp) -> str | None:
    """The file of `run_directory(trainer) / "samples" / "a.txt"` and the like."""
    parts: list[str | None] = [text_of(node.right)]
    place = node.left
    while isinstance(place, ast.BinOp):
        parts.insert(0, text_of(place.right))
        place = place.left
    ours = "run_directory" in ast.unparse(place) or ast.unparse(place) in ("folder", "self.folder(trainer)")
    if not ours or None in parts or "." not in str(parts[-1]):
        return None
    name = "/".join(map(str, parts))
    return f"checkpoints/{name}" if name.endswith(".ckpt") and len(parts) == 1 else name


def files_written(tree: ast.AST) -> set[str]:
    """Paths in the run folder that a module names: tables, pictures, `filename`s and `folder / "name.ending"`."""
    found: set[str | None] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) > 1:
            name = text_of(node.args[1])
            if node.func.id in ("write_table", "write_scores"):
                found.add(name)
            elif node.func.id == "save_picture" and name is not None:
                found.add(f"samples/{name}.png")
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                names, values = (
                    (target.elts, node.value.elts)
                    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                    else ([target], [node.value])
                )
                found |= {
                    text_of(value)
                    for name, value in zip(names, values, strict=True)
                    if isinstance(name, ast.Name) and name.id == "filename"
                }
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            found.add(file_below(node))
    return {name for name in found if name and Path(name).stem != "A"}  # of any name: its callers are looked at


SOURCES = [p for p in sorted(PACKAGE.rglob("*.py")) if "data" not in p.relative_to(PACKAGE).parts]
WRITERS = [(p, names) for p in SOURCES if (names := files_written(ast.parse(p.read_text("utf8"))))]
READ_ONLY = {"last_run.yaml", "config.json", "tokenizer.json", "model.safetensors"}


def test_writers_are_found() -> None:
    found = set().union(*(names for _, names in WRITERS))
    assert {"results.json", "selection.csv", "predictions.csv", "samples/codebook.png", "submission.csv"} <= found
    assert len(found) > 25


@pytest.mark.parametrize(("path", "names"), WRITERS, ids=[str(p.relative_to(PACKAGE)) for p, _ in WRITERS])
def test_every_file_that_is_written_is_known(path: Path, names: set[str]) -> None:
    stages = ("val", "test", "before", "after", "translation", "a_to_b", "b_to_a")
    for name in names - READ_ONLY:
        known = any(is_written_by_runs(name.replace("A", stage)) for stage in stages)
        assert known, f"{path} writes {name}, which `run_files.FILES` does not name: --overwrite would leave it"


def test_an_earlier_run_is_cleared_and_what_is_not_its_stays(tmp_path: Path) -> None:
    own = {name.replace("#", "00012").replace("*", "a/b") for name in FILES}
    others = {
        "notes.md", "checkpoints/mine.ckpt", "samples/mine.png", "samples/notes.txt", "wandb/run-1/log", "data/a.png",
        "other/config.yaml", "checkpoints/epoch-best.ckpt", "config.yaml.old", "run.lock",
    }  # fmt: skip
    run = tmp_path / "mine/fold-1"
    for name in (*own, *others, "../folds.csv"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("")
    (run / "empty").mkdir()
    clear_run(run)
    assert {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()} == others
    assert sorted(path.name for path in run.iterdir() if path.is_dir()) == [
        "checkpoints", "data", "empty", "other", "samples", "wandb",
    ]  # fmt: skip
    assert not (tmp_path / "mine/folds.csv").exists()
