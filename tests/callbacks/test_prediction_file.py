"""Files of predictions: homework's and ours, on rows in any order, and rows that are missing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from lightning.pytorch import Trainer

from lhy_lightning.autoencoders.anomaly.homework import AnomalyTable, Homework8Csv
from lhy_lightning.autoencoders.predictions import ErrorsCsv
from lhy_lightning.callbacks.prediction_file import UNREADABLE, PredictionFile
from lhy_lightning.callbacks.prediction_tables import PredictionsCsv
from lhy_lightning.cnn.predictions import Homework3Csv
from lhy_lightning.seq2seq import predictions
from lhy_lightning.seq2seq.predictions import Homework5Txt, TranslationsFile


def written(
    callback: PredictionFile, folder: Path, batches: list[dict[str, Any]], unreadable: tuple[int, ...] = ()
) -> str:
    """What a callback writes of the outputs of `predict_step`."""
    data = SimpleNamespace(
        bad_rows={"predict": [*unreadable]},
        paths=lambda split: ["a.png", "b.png", "c.png"],
        sources=lambda split: ["one", "two\tthree", "four"],
        predict_source=None,
    )
    module = SimpleNamespace(hparams={"class_names": ["00", "01"]})
    trainer = SimpleNamespace(
        world_size=1, is_global_zero=True, datamodule=data, loggers=[], default_root_dir=str(folder),
        fast_dev_run=0, limit_predict_batches=1.0,
    )  # fmt: skip
    callback.on_predict_start(cast(Trainer, trainer), cast(Any, module))
    for number, outputs in enumerate(batches):
        callback.on_predict_batch_end(cast(Trainer, trainer), cast(Any, module), outputs, None, number)
    callback.on_predict_end(cast(Trainer, trainer), cast(Any, module))
    return (folder / callback.filename).read_text("utf8")


PICTURES = [
    {"index": torch.tensor([2, 0]), "probabilities": torch.tensor([[0.25, 0.75], [0.5, 0.5]])},
    {"index": torch.tensor([1]), "probabilities": torch.tensor([[0.875, 0.125]])},
]
LINES = [
    {"index": torch.tensor([2, 0]), "text": ["vier", " "], "score": torch.tensor([-0.5, -1.0])},
    {"index": torch.tensor([1]), "text": ["zwei\ndrei"], "score": torch.tensor([-0.25])},
]


@pytest.mark.parametrize("limit", [1, 2, 0.5])
def test_a_part_of_the_inputs_is_refused_before_it_is_predicted(limit: float) -> None:
    unlabelled = SimpleNamespace(has_test=True, test_labelled=False)
    settings = {"fast_dev_run": 0, "limit_predict_batches": limit, "limit_test_batches": 1.0}
    trainer = cast(Trainer, SimpleNamespace(datamodule=unlabelled, **settings))
    line = f"--trainer.limit_predict_batches {limit}: predict.csv has a row for every input"
    with pytest.raises(ValueError, match=line):
        Homework3Csv().on_predict_start(trainer, cast(Any, None))
    with pytest.raises(ValueError, match=line):  # which would predict when it is trained
        Homework3Csv().on_fit_start(trainer, cast(Any, None))
    unlabelled.test_labelled = True
    Homework3Csv().on_fit_start(trainer, cast(Any, None))


def test_pictures_stand_in_the_order_of_their_paths(tmp_path: Path) -> None:
    assert written(Homework3Csv(), tmp_path, PICTURES) == "Id,Category\n0,0\n1,0\n2,1\n"
    assert written(Homework3Csv(ids="names"), tmp_path, PICTURES) == "Id,Category\na,0\nb,0\nc,1\n"
    with pytest.raises(ValueError, match=r"ids is one of rows, names, not 'name': did you mean 'names'\?"):
        Homework3Csv(ids="name")  # type: ignore[arg-type]
    lines = written(PredictionsCsv(), tmp_path, PICTURES).splitlines()
    assert lines[0] == "path,class,probability,class_2,probability_2"
    assert lines[2:] == ["b.png,00,0.875000,01,0.125000", "c.png,01,0.750000,00,0.250000"]


def test_a_row_that_could_not_be_read_is_marked_and_stays_as_it_is_in_a_submission(tmp_path: Path) -> None:
    lines = written(PredictionsCsv(), tmp_path, PICTURES, unreadable=(1,)).splitlines()
    assert lines[0] == "path,class,probability,class_2,probability_2,note"
    assert lines[2:] == [f"b.png,00,0.875000,01,0.125000,{UNREADABLE}", "c.png,01,0.750000,00,0.250000,"]
    scores = [{"index": torch.tensor([1, 0, 2]), "score": torch.tensor([0.5, 2.0, 1.0]), "anomaly": torch.ones(3)}]
    table = f"path,score,anomaly,note\na.png,2,1,\nb.png,0.5,1,{UNREADABLE}\nc.png,1,1,\n"
    assert written(AnomalyTable(), tmp_path, scores, unreadable=(1,)) == table
    errors = [{"index": torch.tensor([0, 1, 2]), "error": torch.tensor([0.5, 2.0, 1.0])}]
    assert written(ErrorsCsv(), tmp_path, errors, unreadable=(1,)).splitlines()[2] == f"b.png,2,{UNREADABLE}"
    assert written(Homework3Csv(), tmp_path, PICTURES, unreadable=(1,)) == "Id,Category\n0,0\n1,0\n2,1\n"
    assert written(Homework8Csv(), tmp_path, scores, unreadable=(1,)) == "ID,score\n0,2\n1,0.5\n2,1\n"


def test_the_scores_of_homework_8_have_each_years_header(tmp_path: Path) -> None:
    scores = [{"index": torch.tensor([1, 0, 2]), "score": torch.tensor([0.5, 2.0, 1.0]), "anomaly": torch.zeros(3)}]
    assert written(Homework8Csv(), tmp_path, scores) == "ID,score\n0,2\n1,0.5\n2,1\n"
    assert written(Homework8Csv(header=("Id", "Predicted")), tmp_path, scores).startswith("Id,Predicted\n0,2\n")


def test_a_translation_is_one_line_and_a_submission_has_no_empty_one(tmp_path: Path) -> None:
    expected = " \tone\t-1.0000\nzwei drei\ttwo three\t-0.2500\nvier\tfour\t-0.5000\n"
    assert written(TranslationsFile(), tmp_path, LINES) == expected
    with pytest.warns(UserWarning, match="1 translations are empty, line 1 first"):
        assert written(Homework5Txt(), tmp_path, LINES) == "。\nzwei drei\nvier\n"


def test_a_submission_too_large_for_the_judge_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "LEADERBOARD_LIMIT", 10)
    with pytest.warns(UserWarning, match="has 19 bytes; the homework takes at most 10"):
        written(Homework5Txt(), tmp_path, LINES)


def test_a_missing_row_writes_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"2 predictions for 3 inputs: predictions\.csv is not written"):
        written(PredictionsCsv(), tmp_path, PICTURES[:1])
    assert not list(tmp_path.iterdir())


def test_no_input_gives_a_header_alone(tmp_path: Path) -> None:
    class Nothing(Homework3Csv):
        def inputs(self, datamodule: Any) -> list[str]:
            return []

    assert written(Nothing(), tmp_path, []) == "Id,Category\n"
