"""The command line without torch: help, recipes, copy, and its errors."""

import subprocess
import sys
from pathlib import Path

import pytest

import lhy_lightning
from lhy_lightning.cli import __main__ as cli
from lhy_lightning.cli.recipes import find_recipe

HEAVY = {"torch", "lightning", "transformers", "datasets", "numpy", "wandb"}


def test_help_recipes_and_copy_import_nothing_heavy(tmp_path: Path) -> None:
    script = f"""
import sys
from lhy_lightning.cli import __main__ as cli
assert cli.main(["--help"]) == cli.main([]) == cli.main(["--version"]) == cli.main(["recipes"]) == 0
assert cli.main(["recipes", "quickstart"]) == cli.main(["copy", "quickstart", "mine.yaml"]) == 0
assert cli.main(["trian"]) == 2
print("imported:", sorted({HEAVY!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported: []"
    assert (tmp_path / "mine.yaml").read_bytes() == find_recipe("quickstart").read_bytes()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 0
    out = capsys.readouterr().out
    for command in (*cli.TRAINING_COMMANDS, "recipes", "copy"):
        assert f"\n  {command} " in out


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"lhy_lightning {lhy_lightning.__version__}\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("fitt", "did you mean 'fit'"),
        ("train", "did you mean 'fit'"),
        ("recipe", "'recipes'"),
        ("xyz", "commands: fit"),
    ],
)
def test_an_unknown_command_is_one_line_with_the_nearest(
    command: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_options_before_the_command_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--config", "quickstart", "fit"]) == 2
    assert "options come after the command" in capsys.readouterr().err


def test_training_commands_go_to_the_training_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from lhy_lightning.cli import training as training_cli

    seen: list[list[str]] = []
    monkeypatch.setattr(training_cli, "main", lambda argv: seen.append(argv) or 3)
    assert cli.main(["fit", "--config", "quickstart"]) == 3
    assert seen == [["fit", "--config", "quickstart"]]


def test_recipes_shows_one_recipes_header(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipes", "quickstart"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert not lines[0].startswith("#")
    assert lines[-1] == str(find_recipe("quickstart"))


def test_copy_takes_a_folder_and_makes_missing_ones(tmp_path: Path) -> None:
    assert cli.main(["copy", "quickstart", str(tmp_path)]) == 0
    assert cli.main(["copy", "quickstart", str(tmp_path / "a/b/c.yaml")]) == 0
    assert (tmp_path / "quickstart.yaml").read_bytes() == (tmp_path / "a/b/c.yaml").read_bytes()


def test_copy_overwrites_only_by_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("my work")
    assert cli.main(["copy", "quickstart", str(mine)]) == 2
    assert "--force" in capsys.readouterr().err
    assert mine.read_text() == "my work"
    assert cli.main(["copy", "quickstart", str(mine), "--force"]) == 0
    assert mine.read_bytes() == find_recipe("quickstart").read_bytes()


def test_a_copy_that_fails_half_way_leaves_the_old_file_and_no_partial_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("my work")

    def full_disk(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    assert cli.main(["copy", "quickstart", str(mine), "--force"]) == 2
    assert "No space left" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]
    assert mine.read_text() == "my work"


@pytest.mark.parametrize("arguments", [["copy", "quikstart", "x.yaml"], ["recipes", "quikstart"]])
def test_an_unknown_recipe_is_one_line_with_the_nearest(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert "nearest: quickstart" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [["recipes"], ["--help"], ["recipes", "quickstart"]])
def test_a_reader_that_leaves_early_is_no_error(arguments: list[str]) -> None:
    command = subprocess.Popen(
        [sys.executable, "-c", f"import sys; from lhy_lightning.cli.__main__ import main; sys.exit(main({arguments}))"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert command.stdout is not None
    assert command.stderr is not None
    command.stdout.close()  # as `| head -0` does
    assert command.stderr.read() == b""
    assert command.wait(60) == 0


@pytest.mark.parametrize(
    "words", [["recipes", "quickstart", "b"], ["recipes", "--foo"], ["copy"], ["copy", "quickstart"]]
)
def test_arguments_that_do_not_fit_are_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("lhy: error: ")
    assert said.count("\n") == 1
    assert f"usage: lhy {words[0]}" in said
