import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lhy_lightning.cli.cross_validation import run_folds
from lhy_lightning.cli.flags import option


def resolve(argv: list[str]) -> dict[str, Any]:
    """Stands in for the settings of a `fit`."""
    data = {"folds": int(option(argv, "--data.folds")[0] or 0), "fold": int(option(argv, "--data.fold")[0] or 0)}
    return {"model": {"lr": option(argv, "--model.lr")[0]}, "data": {"init_args": data}}


class Fits:
    """Stands in for a fit: notes its command line and writes the results that a fit writes."""

    def __init__(self, root: Path, fail_at: str = "") -> None:
        self.root, self.fail_at, self.calls = root, fail_at, list[list[str]]()

    def __call__(self, argv: list[str]) -> int:
        self.calls.append(argv)
        name, fold = argv[argv.index("--name") + 1], argv[argv.index("--data.fold") + 1]
        if fold == self.fail_at:
            (self.root / name / "checkpoints").mkdir(parents=True)
            (self.root / name / "checkpoints" / "last.ckpt").write_bytes(b"")
            (self.root / name / "config.yaml").write_text(yaml.safe_dump(resolve(argv)))
            return 137
        (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / name / "config.yaml").write_text(yaml.safe_dump(resolve(argv)))
        body = {"step": 1, "checkpoint": "best.ckpt", "results": {"val/accuracy": 0.8 + 0.1 * int(fold)}}
        (self.root / name / "results.json").write_text(json.dumps(body))
        return 0


def command(root: Path, *more: str) -> list[str]:
    return ["fit", "--config", "quickstart", "--trainer.default_root_dir", str(root), "--data.folds", "3", *more]


def test_a_cross_validation_that_was_cut_off_skips_what_is_done_and_resumes_the_rest(tmp_path: Path) -> None:
    first = Fits(tmp_path, fail_at="1")
    assert run_folds(command(tmp_path), first, resolve) == 137
    assert len(first.calls) == 2
    assert not (tmp_path / "quickstart-folds" / "folds.csv").exists()

    again = Fits(tmp_path)
    assert run_folds(command(tmp_path), again, resolve) == 0
    assert [call[call.index("--data.fold") + 1] for call in again.calls] == ["1", "2"]
    assert again.calls[0][-2] == "--ckpt_path"
    assert again.calls[0][-1].endswith("fold-1/checkpoints/last.ckpt")
    assert again.calls[1][-2:] == ["--data.fold", "2"]

    table = list(csv.DictReader((tmp_path / "quickstart-folds" / "folds.csv").open()))
    assert [row["fold"] for row in table] == ["0", "1", "2", "mean", "deviation"]
    assert float(table[3]["val/accuracy"]) == pytest.approx(0.9)
    assert float(table[4]["val/accuracy"]) == pytest.approx(0.1)  # n - 1 in the denominator


def test_folds_of_other_settings_are_not_averaged_with_these(tmp_path: Path) -> None:
    assert run_folds(command(tmp_path, "--model.lr", "1"), Fits(tmp_path), resolve) == 0
    again = Fits(tmp_path)
    with pytest.raises(ValueError, match=r"fold-0 was made with other settings: model\.lr is '1', not '2'"):
        run_folds(command(tmp_path, "--model.lr", "2"), again, resolve)
    with pytest.raises(ValueError, match=r"data\.folds is 3, not 4"):
        run_folds(command(tmp_path, "--model.lr", "1", "--data.folds", "4"), again, resolve)
    assert not again.calls
    assert run_folds(command(tmp_path, "--model.lr", "2", "--overwrite"), again, resolve) == 0
    assert [call[-2:] for call in again.calls] == [["--overwrite", "true"]] * 3
    assert run_folds(command(tmp_path, "--model.lr", "2"), again, resolve) == 0
    assert len(again.calls) == 3
    results = tmp_path / "quickstart-folds/fold-1/results.json"
    results.write_text('{"step": 0, "checkpoint": "best.ckpt", "results": {}}')  # a run of no steps
    assert run_folds(command(tmp_path, "--model.lr", "2"), again, resolve) == 0
    assert len(again.calls) == 4


def test_one_fold_and_other_commands_are_left_to_the_ordinary_way(tmp_path: Path) -> None:
    never = Fits(tmp_path)
    assert run_folds(command(tmp_path, "--data.fold", "1"), never, resolve) is None
    assert run_folds(["test", "--data.folds", "3"], never, resolve) is None
    assert run_folds(["fit", "--config", "quickstart"], never, resolve) is None
    assert not never.calls


def test_what_cannot_be_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="leave --ckpt_path out"):
        run_folds(command(tmp_path, "--ckpt_path", "last"), Fits(tmp_path), resolve)
    with pytest.raises(ValueError, match=r"--data\.folds 1: give at least 2"):
        run_folds(["fit", "--data.folds", "1"], Fits(tmp_path), resolve)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    with pytest.raises(ValueError, match=r"name one by --data\.fold"):
        run_folds(command(tmp_path), Fits(tmp_path), resolve)
