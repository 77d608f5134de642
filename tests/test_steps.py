"""Recipes of several steps: each in its order, done ones skipped, cut-off ones resumed."""

import json
from pathlib import Path

import pytest
import yaml

from lhy_lightning.steps import run_steps
from lhy_lightning.training_cli import prepare

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
            return 137
        folder.mkdir(parents=True, exist_ok=True)
        name = "results.json" if argv[0] == "fit" else "predictions.tsv"
        (folder / name).write_text(json.dumps({"results": {}}))
        return 0


def command(recipe: Path, root: Path) -> list[str]:
    settings = {"--config": recipe, "--trainer.default_root_dir": root, "--data.text": "a b.gz", "--data.source": "x/"}
    return ["fit", *(str(part) for pair in settings.items() for part in pair)]


def test_steps_run_first_with_the_flags_that_concern_them(recipe: Path, tmp_path: Path) -> None:
    root, steps = tmp_path / "runs", Steps(tmp_path / "runs")
    assert run_steps(command(recipe, root), steps) == 0
    fit, predict = steps.calls
    assert fit[:5] == ["fit", "--config", "first", "--name", "second-first"]
    assert fit[5:9] == ["--trainer.default_root_dir", str(root), "--data.source", "x/"]
    assert predict[:5] == ["predict", "--ckpt_path", f"{root}/second-first", "--text", "a b.gz"]
    assert "--data.source" not in predict
    assert run_steps(command(recipe, root), steps) == 0
    assert len(steps.calls) == 2  # both were done


def test_a_step_that_failed_stops_the_recipe_and_goes_on_next_time(recipe: Path, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    assert run_steps(command(recipe, root), Steps(root, fail=True)) == 137
    again = Steps(root)
    assert run_steps(command(recipe, root), again) == 0
    assert again.calls[0][-2:] == ["--ckpt_path", str(root / "second-first/checkpoints/last.ckpt")]


def test_a_setting_that_the_steps_need_is_asked_for(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs --data\.text"):
        run_steps(["fit", "--config", str(recipe)], Steps(tmp_path))


def test_the_training_itself_sees_a_recipe_without_steps_and_with_its_places_filled(
    recipe: Path, tmp_path: Path
) -> None:
    prepared = prepare(command(recipe, tmp_path / "runs"))
    settings = yaml.safe_load(Path(prepared.arguments[prepared.arguments.index("--config") + 1]).read_text())
    assert "before" not in settings
    assert settings["data"]["init_args"]["written"] == f"{tmp_path}/runs/second-first/predictions.tsv"
