"""The data module of question answering: what is trained on, what is left out, and what is said about it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lhy_lightning.core.arguments.signatures import constructor_arguments
from lhy_lightning.data import samplers
from lhy_lightning.data.questions.question_batches import QuestionBatches
from lhy_lightning.data.questions.question_data import QuestionAnsweringDataModule
from tests.bert.conftest import tiny_encoder, tokenizer  # noqa: F401
from tests.bert.question_files import homework_split, write_homework

SMALL: dict[str, Any] = {
    "max_length": 32,
    "max_question_length": 10,
    "window_overlap": 6,
    "batch_size": 4,
    "vocab_size": 300,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_homework(tmp_path_factory.mktemp("hw7"))


def opened(source: Path | str, stage: str = "fit", **settings: Any) -> QuestionAnsweringDataModule:
    data = QuestionAnsweringDataModule(str(source), **{**SMALL, **settings})
    data.setup(stage)
    return data


def sampler(data: QuestionAnsweringDataModule) -> QuestionBatches:
    found = data.train_dataloader().sampler
    assert isinstance(found, QuestionBatches)
    return found


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(rows, ensure_ascii=False), "utf8")
    return path


def row(question: str, context: str, answer: str | None = None, start: int | None = None) -> dict[str, Any]:
    answers = (
        [] if answer is None else [{"text": answer, "answer_start": context.find(answer) if start is None else start}]
    )
    return {"question": question, "context": context, "answers": answers}


# --- splits -----------------------------------------------------------------------------------------------------------


def test_the_homeworks_folder_has_three_splits_and_a_metric(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = opened(folder)
    said = capsys.readouterr().out
    assert "scored as homework: 48 training questions, 48 windows with an answer an epoch, 0 without." in said
    assert "20 val questions" in said
    assert data.metric == "homework"
    assert data.has_test
    assert not data.test_labelled
    predicted = opened(folder, "predict")
    assert "12 predict questions, 12 of them without a known answer" in capsys.readouterr().out
    assert len(predicted.opened("predict").questions) == 12


def test_the_metric_is_the_datas_unless_one_is_named(folder: Path) -> None:
    assert opened(folder, metric="drcd").metric == "drcd"


def test_held_out_questions_take_their_paragraph_along(folder: Path) -> None:
    data = opened(folder / "hw7_train.json", val_fraction=0.25)
    train, val = ({q.paragraph for q in data.opened(split).questions.questions} for split in ("train", "val"))
    assert not train & val
    assert len(val) == 3
    same = opened(folder / "hw7_train.json", val_fraction=0.25)
    assert {q.paragraph for q in same.opened("val").questions.questions} == val


def test_training_questions_about_a_paragraph_of_validation_are_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, dev = homework_split(0, 6), homework_split(1, 2)
    train["paragraphs"][3] = dev["paragraphs"][1]
    for question, other in zip(train["questions"][12:16], dev["questions"][4:8], strict=True):
        question |= {**other, "id": question["id"], "paragraph_id": 3}
    for name, content in (("train", train), ("dev", dev)):
        (tmp_path / f"hw7_{name}.json").write_text(json.dumps(content))
    data = opened(tmp_path)
    assert len(data.opened("train").questions) == 20
    assert "4 training questions dropped whose paragraph is in validation or test" in capsys.readouterr().out
    assert len(opened(tmp_path, drop_leaks=False).opened("train").questions) == 24


# --- what is trained on -----------------------------------------------------------------------------------------------


def test_bad_training_rows_are_skipped_and_counted_and_every_evaluated_row_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = " ".join(["word"] * 30)
    rows = [
        row("Who?", "Ada met Bob in Berlin.", "Ada"),
        row("Where?", "Ada met Bob in Berlin.", "Berlin"),
        row("Who?", "Ada met Bob in Berlin.", "Bob", start=3),
        row("", "Ada met Bob in Berlin.", "Ada"),
        row("Who?", "", "Ada"),
        row("What?", long, long),
        row("Why?", "Ada met Bob in Berlin."),
        row("Who was it that did " + "all " * 20, "Ada did.", "Ada"),
    ]
    source, other = (
        write(tmp_path / "train.json", rows),
        write(tmp_path / "val.json", [*rows[:5], row("?", "b c", "b")]),
    )
    data = opened(source, val_source=str(other), drop_leaks=False)
    said = capsys.readouterr().out
    assert "8 training questions, 3 windows with an answer an epoch, 0 without." in said
    assert (
        "Training skips questions: 2 without text, 1 whose answer does not stand where it should, 1 whose answer is "
        "longer than a window, 1 without an answer (question 2: answer 'Bob', answer_start 3, where ' me' stands)."
        in said
    )
    assert "1 training questions cut to 10 tokens (longest 25)." in said
    assert "6 val questions, 6 windows." in said
    assert "2 val rows have no question or no paragraph." in said
    assert "2 val answers do not stand where they should (question 2: answer 'Bob'" in said
    assert "; their text still counts." in said
    assert sorted(question for batch in sampler(data).epoch_batches(0) for question, _ in batch) == [0, 1, 7]
    evaluated = [index for batch in data.val_dataloader() for index in batch["index"].tolist()]
    assert sorted(evaluated) == [0, 1, 2, 3, 4, 5]


def test_ends_that_do_not_count_themselves_are_told_and_do_no_harm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = homework_split(0, 4)
    for asked in content["questions"]:
        asked["answer_end"] += 1
    (tmp_path / "hw7_train.json").write_text(json.dumps(content), "utf8")
    data = opened(tmp_path, val_fraction=0.25)
    assert "train: 12 answers end elsewhere than answer_end says (question " in capsys.readouterr().out
    assert data.opened("train").answers.found.all()


def test_nothing_to_train_on_is_an_error(tmp_path: Path) -> None:
    source = write(
        tmp_path / "a.json", [row("Who?", "Ada did.", "Ada", start=2), row("Who?", "Bob did.", "Bob", start=2)]
    )
    with pytest.raises(
        ValueError, match=r"a.json: no answer stands where it should, 2 do not \(question 0: .*'Ada'.*'a d'"
    ):
        opened(source, val_source=str(source), drop_leaks=False)
    unlabelled = write(tmp_path / "b.json", [row("Who?", "Ada did.")])
    with pytest.raises(ValueError, match=r"b.json: no answer of its 1 questions is known"):
        opened(unlabelled)
    long = write(tmp_path / "c.json", [row("Who?", "so " * 60, "so " * 60)])
    with pytest.raises(ValueError, match=r"no training question .* 1 of 1 have an answer, the longest of 60 tokens"):
        opened(long, val_source=str(long), drop_leaks=False)


def test_a_folder_that_lacks_a_split_is_told_which(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hw7_test.json").write_bytes((folder / "hw7_test.json").read_bytes())
    with pytest.raises(ValueError, match=r"has no training questions, only test: .* hw7_train.json"):
        opened(tmp_path)
    with pytest.raises(ValueError, match=r"hw7_test.json: no answer of its 12 questions is known, and validation"):
        opened(folder, val_source=str(folder / "hw7_test.json"), drop_leaks=False)
    (tmp_path / "hw7_train.json").write_bytes((folder / "hw7_train.json").read_bytes())
    opened(tmp_path)
    assert "has no val questions of its own: 10% of training held out." in capsys.readouterr().out


def test_a_file_of_questions_is_no_training_split_to_one_who_wants_them_answered(
    folder: Path,
    tiny_encoder: Path,  # noqa: F811
) -> None:
    with pytest.raises(ValueError, match=r"no test questions to answer, only train: .* --data\.predict_source"):
        opened(folder / "hw7_test.json", "predict", tokenizer_file=str(tiny_encoder))


def test_questions_to_answer_need_ids_of_their_own_before_training_starts(folder: Path, tmp_path: Path) -> None:
    for name in ("train", "dev", "test"):
        content = json.loads((folder / f"hw7_{name}.json").read_text("utf8"))
        content["questions"][1]["id"] = 0
        (tmp_path / f"hw7_{name}.json").write_text(json.dumps(content), "utf8")
    with pytest.raises(ValueError, match=r"hw7_test.json: 1 ids stand for several questions, '0' for 2"):
        opened(tmp_path)
    with pytest.raises(ValueError, match=r"hw7_dev.json: 1 ids stand for several"):
        opened(folder, "predict", predict_source=str(tmp_path / "hw7_dev.json"))


def test_a_test_without_answers_says_so_before_a_network_reads_it(folder: Path) -> None:
    data = opened(folder)
    with pytest.raises(ValueError, match=r"hw7_test\.json: no answer of its 12 questions is known.*`lhy predict`"):
        data.setup("test")
    data.setup("predict")
    assert len(data.opened("predict").questions) == 12


def test_unanswerable_questions_are_trained_on_when_asked_for(tmp_path: Path) -> None:
    rows = [row("Who?", f"Ada met {name}.", name) for name in ("Bob", "Eve")] + [row("Why?", "Ada met Al.")]
    source = write(tmp_path / "train.json", rows)
    plain = opened(source, val_source=str(source), drop_leaks=False)
    assert (sampler(plain).with_answer, sampler(plain).without_answer) == (2, 0)
    data = opened(source, val_source=str(source), drop_leaks=False, unanswerable=True)
    assert (sampler(data).with_answer, sampler(data).without_answer) == (2, 1)
    (batch,) = data.train_dataloader()
    assert (batch["start_positions"] == 0).sum() == 1


def test_a_share_of_the_windows_aims_at_cls(folder: Path) -> None:
    data = opened(folder, no_answer_share=0.4)
    assert (sampler(data).with_answer, sampler(data).without_answer) == (48, 32)
    claimed = [int(start > 0) for batch in data.train_dataloader() for start in batch["start_positions"]]
    assert (claimed.count(1), claimed.count(0)) == (48, 32)
    assert data.null_windows


@pytest.mark.parametrize("position", ["random", "centre"])
def test_every_training_window_of_an_answered_question_holds_its_answer(folder: Path, position: Any) -> None:
    data = opened(folder, window_position=position)
    answers = {question.answers[0].text for question in data.opened("train").questions.questions}
    spans = [ids.tolist() for ids in data.tokenizer.encode(sorted(answers))]
    places = set()
    for batch in data.train_dataloader():
        for ids, start, end in zip(batch["input_ids"], batch["start_positions"], batch["end_positions"], strict=True):
            assert ids[start : end + 1].tolist() in spans
            places.add(int(start))
    assert 0 not in places
    assert len(places) > 3


# --- order ------------------------------------------------------------------------------------------------------------


def test_windows_differ_by_epoch_and_are_the_same_for_the_same_epoch(folder: Path) -> None:
    first, second = sampler(opened(folder)), sampler(opened(folder))
    assert first.epoch_batches(0) == second.epoch_batches(0)
    assert first.epoch_batches(1) == second.epoch_batches(1)
    assert first.epoch_batches(0) != first.epoch_batches(1)
    flat = [dict(window for batch in first.epoch_batches(epoch) for window in batch) for epoch in (0, 1)]
    assert set(flat[0]) == set(flat[1]) == set(range(48)), "each question once an epoch"
    assert flat[0] != flat[1], "other windows of the same questions"


def test_two_ranks_share_the_questions_of_an_epoch_and_the_windows_of_one_stay_together(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = opened(folder)
    batches = sampler(data).epoch_batches(3)
    whole = {tuple(window) for batch in batches for window in batch}
    trained, evaluated = [], []
    for rank in (0, 1):
        monkeypatch.setattr(samplers, "rank_and_world", lambda rank=rank: (rank, 2))
        own = sampler(data)
        assert len(own.epoch_batches(3)) == len(own) == len(batches) // 2
        trained += [tuple(window) for batch in own.epoch_batches(3) for window in batch]
        evaluated += [set(batch["index"].tolist()) for batch in data.val_dataloader()]
        for batch in data.val_dataloader():
            assert set(batch["question"].tolist()) == set(batch["index"].tolist())
    assert sorted(trained) == sorted(whole)
    assert sorted(row for rows in evaluated for row in rows) == list(range(20))


def test_batches_by_tokens_never_exceed_them(folder: Path) -> None:
    data = opened(folder, max_tokens=96)
    rows = 0
    for batch in data.train_dataloader():
        assert batch["input_ids"].numel() <= 96
        rows += len(batch["input_ids"])
    assert rows == 48
    for batch in data.val_dataloader():
        assert all((end - first) * width <= 96 for first, end, width in batch["chunks"])


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"window_position": "center"},
            "window_position is one of random, centre, not 'center'",
        ),
        ({"no_answer_share": 1.0}, r"no_answer_share=1.0: a share of the windows in \[0, 1\)"),
        ({"metric": "rouge"}, "metric is one of squad, cmrc, drcd, homework, not 'rouge'"),
        ({"batch_size": 0}, "batch_size=0: must be at least 1"),
        ({"num_workers": -1}, "num_workers=-1: must be at least 0"),
        ({"window": 33}, "window=33, but max_length=32 holds"),
        ({"max_tokens": 31}, "max_tokens=31 is less than a sequence of max_length=32"),
        ({"val_fraction": 0.6, "test_fraction": 0.5}, "must leave something to train on"),
        ({"max_question_length": 29}, "has no room for a paragraph beside a question of max_question_length=29"),
        ({"window_overlap": 19}, "would never move on"),
    ],
)
def test_arguments_that_cannot_be_are_errors(folder: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        opened(folder, **settings)


def test_the_fields_two_meanings_of_doc_stride_are_not_taken(folder: Path) -> None:
    with pytest.raises(TypeError, match="doc_stride"):
        QuestionAnsweringDataModule(str(folder), doc_stride=128)  # type: ignore[call-arg]


def test_hyperparameters_are_the_arguments() -> None:
    assert set(QuestionAnsweringDataModule().hparams) == set(constructor_arguments(QuestionAnsweringDataModule))


def test_evaluation_batches_carry_no_targets_in_prediction(folder: Path) -> None:
    batch = next(iter(opened(folder, "predict").predict_dataloader()))
    assert "start_positions" not in batch
    assert np.isin(batch["question"].numpy(), batch["index"].numpy()).all()
