"""Recipes of several steps: each in its order, done ones skipped, cut-off ones resumed."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

import lhy_lightning
from lhy_lightning.cli.command_line import prepare
from lhy_lightning.cli.flags import option, overwrites
from lhy_lightning.cli.pipeline import go_on, run_steps
from lhy_lightning.cli.runs.run_lock import release
from lhy_lightning.cli.training import settings_of_fit

RECIPE = {
    "before": ["fit --config first --name {name}-first", "predict --ckpt_path {root}/{name}-first --text {data.text}"],
    "trainer": {"max_epochs": 1},
    "data": {"class_path": "ImageDataModule", "init_args": {"written": "{root}/{name}-first/predictions.tsv"}},
}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "second.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


def resolve(argv: list[str]) -> dict[str, Any]:
    """Stands in for the settings of a `fit`: a source and a width, of which steps have their own."""
    settings = {"source": option(argv, "--data.source")[0] or "y/"}
    width = option(argv, "--model.width")[0] or "16"
    model = {"class_path": "Network", "init_args": {"width": width, "selection": option(argv, "--config")[0]}}
    return {"data": {"class_path": "ImageDataModule", "init_args": settings}, "model": model}


class Steps:
    """Stands in for the steps: notes their command lines and writes what they write."""

    def __init__(self, root: Path, fail: bool = False) -> None:
        self.root, self.fail, self.calls = root, fail, list[list[str]]()

    def __call__(self, argv: list[str]) -> int:
        self.calls.append(argv)
        folder = self.root / "second-first"
        if self.fail:
            (folder / "checkpoints").mkdir(parents=True)
            (folder / "checkpoints/last.ckpt").write_bytes(b"")
            (folder / "config.yaml").write_text(yaml.safe_dump(resolve(argv)))
            return 137
        folder.mkdir(parents=True, exist_ok=True)
        name = "results.json" if argv[0] == "fit" else "predictions.tsv"
        (folder / name).write_text(json.dumps({"results": {}}))
        if argv[0] == "fit":
            (folder / "config.yaml").write_text(yaml.safe_dump(resolve(argv)))
        return 0


def command(recipe: Path, root: Path) -> list[str]:
    settings = {"--config": recipe, "--trainer.default_root_dir": root, "--data.text": "a b.gz", "--data.source": "x/"}
    return ["fit", *(str(part) for pair in settings.items() for part in pair)]


def test_steps_run_first_with_the_flags_that_concern_them(recipe: Path, tmp_path: Path) -> None:
    root, steps = tmp_path / "runs", Steps(tmp_path / "runs")
    assert run_steps(command(recipe, root), steps, resolve) == 0
    fit, predict = steps.calls
    assert fit[:5] == ["fit", "--config", "first", "--name", "second-first"]
    assert fit[5:9] == ["--trainer.default_root_dir", str(root), "--data.source", "x/"]
    assert predict[:5] == ["predict", "--ckpt_path", f"{root}/second-first", "--text", "a b.gz"]
    assert "--data.source" not in predict
    assert run_steps(command(recipe, root), steps, resolve) == 0
    assert len(steps.calls) == 2  # both were done


def test_a_step_that_failed_stops_the_recipe_and_goes_on_next_time(recipe: Path, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    assert run_steps(command(recipe, root), Steps(root, fail=True), resolve) == 137
    again = Steps(root)
    assert run_steps(command(recipe, root), again, resolve) == 0
    assert again.calls[0][-2:] == ["--ckpt_path", str(root / "second-first/checkpoints/last.ckpt")]


def test_a_setting_that_the_steps_need_is_asked_for(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs --data\.text"):
        run_steps(["fit", "--config", str(recipe)], Steps(tmp_path), resolve)


def test_the_training_itself_sees_a_recipe_without_steps_and_with_its_places_filled(
    recipe: Path, tmp_path: Path
) -> None:
    prepared = prepare(command(recipe, tmp_path / "runs"))
    release()
    settings = yaml.safe_load(Path(prepared.arguments[prepared.arguments.index("--config") + 1]).read_text())
    assert "before" not in settings
    assert settings["data"]["init_args"]["written"] == f"{tmp_path}/runs/second-first/predictions.tsv"


def test_a_step_that_was_made_with_other_settings_is_no_step_of_this_run(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, steps = tmp_path / "runs", Steps(tmp_path / "runs")
    assert run_steps(command(recipe, root), steps, resolve) == 0
    printed = capsys.readouterr().out
    for number, words in enumerate(steps.calls, 1):
        assert f"step {number} of 3: lhy {shlex.join(words)}\n" in printed  # what runs, to be copied
    assert f"step 3 of 3: lhy {shlex.join(command(recipe, root))}\n" in printed

    other = [word.replace("x/", "z/") for word in command(recipe, root)]
    again = Steps(root)
    with pytest.raises(ValueError, match=r"second-first .*: data\.source is 'x/', not 'z/'\. .*--overwrite true"):
        run_steps(other, again, resolve)
    assert not again.calls
    assert run_steps([*other, "--overwrite"], again, resolve) == 0
    assert again.calls[0][-2:] == ["--overwrite", "true"]
    assert [call[0] for call in again.calls] == ["fit", "predict"]
    assert run_steps(other, Steps(root, fail=True), resolve) == 0  # done

    # other predictions are asked for, then those of a run that was trained anew
    more = [word.replace("a b.gz", "c.gz") for word in other]
    assert run_steps(more, again, resolve) == 0
    (root / "second-first/results.json").write_text('{"step": 9}')
    assert run_steps(more, again, resolve) == 0
    assert [call[0] for call in again.calls] == ["fit", "predict", "predict", "predict"]
    (root / "second-first/results.json").write_text('{"step": 0, "results": {}}')  # of no steps
    assert run_steps(more, again, resolve) == 0
    assert [call[0] for call in again.calls[4:]] == ["fit", "predict"]


def test_flags_of_the_network_go_where_its_weights_come_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "runs"
    for start, expected in (("{root}/{name}-first/checkpoints/best.ckpt", ["--model.width", "8"]), (None, [])):
        settings = {"before": [*RECIPE["before"]], "model": {"init_args": {"start_from": start}}}
        path = tmp_path / "second.yaml"
        path.write_text(yaml.safe_dump(settings))
        flags = [
            "--model.width",
            "8",
            "--model.selection=last",
            "--model.other",
            "1",
            "--data.folder",
            "f",
            "--seed_everything=1",
        ]
        steps = Steps(root)
        assert run_steps([*command(path, root), *flags, "--overwrite"], steps, resolve) == 0
        assert [word for word in steps.calls[0] if word in ("--model.width", "8")] == expected
        only = "" if expected else "--model.width, "
        told = f"only the last step gets {only}--model.selection, --model.other, --data.folder, --seed_everything\n"
        assert capsys.readouterr().out.startswith(told)


def test_the_same_command_goes_on_in_the_last_step(recipe: Path, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    argv, last = command(recipe, root), root / "second/checkpoints/last.ckpt"
    assert go_on(argv, resolve) == argv
    last.parent.mkdir(parents=True)
    last.write_bytes(b"")
    (root / "second/config.yaml").write_text(yaml.safe_dump(resolve(argv)))
    assert go_on(argv, resolve) == [*argv, "--ckpt_path", str(last)]
    assert go_on([*argv, "--overwrite"], resolve) == [*argv, "--overwrite"]
    assert go_on([*argv, "--ckpt_path", "best"], resolve) == [*argv, "--ckpt_path", "best"]

    other = [word.replace("x/", "z/") for word in argv]
    assert go_on(other, resolve) == other  # gets a number
    named = [*other, "--name", "second"]
    with pytest.raises(ValueError, match=r"cut off in .*second was made with other settings: data\.source is 'x/'"):
        go_on(named, resolve)
    (root / "second/results.json").write_text('{"step": 3, "results": {}}')
    assert go_on(argv, resolve) == argv


def test_flags_for_the_shipped_recipe_of_two_steps_fit_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in lhy_lightning.__all__:
        getattr(lhy_lightning, name)  # as the command line does
    calls: list[list[str]] = []

    def run_one(words: list[str]) -> int:
        calls.append(words)
        return 0

    flags = ["--model.width", "8", "--model.refresh", "5", "--model.selection", "last"]
    argv = ["fit", "--config", "dann/dirt_t", "--trainer.default_root_dir", str(tmp_path), *flags]
    assert run_steps(argv, run_one, settings_of_fit) == 0
    step = ["fit", "--config", "dann/vada", "--name", "dann/dirt_t-vada", "--trainer.default_root_dir", str(tmp_path)]
    assert calls == [[*step, "--model.width", "8"]]
    assert "only the last step gets --model.refresh, --model.selection\n" in capsys.readouterr().out
    with pytest.raises(SystemExit):  # before the first step
        run_steps([*argv, "--model.widht", "8"], run_one, settings_of_fit)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("fit", (False, "fit")), ("fit --overwrite --name a", (True, "fit --name a")),
        ("fit --overwrite false", (False, "fit")), ("fit --overwrite=true x", (True, "fit x")),
        ("--overwrite yes fit", (True, "fit")), ("fit --overwrite", (True, "fit")),
    ],
)  # fmt: skip
def test_overwrite_is_found_in_every_form(words: str, expected: tuple[bool, str]) -> None:
    found, rest = overwrites(words.split())
    assert (found, " ".join(rest)) == expected
