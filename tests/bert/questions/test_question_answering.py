"""Answers to questions about texts of any length: out of a Trainer, a checkpoint, the command line, a folder."""

import csv
import json
import shutil
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from lhy_lightning.bert.classifier import BertClassifier
from lhy_lightning.bert.fine_tuning import FineTuningModule
from lhy_lightning.bert.module import BertModule
from lhy_lightning.bert.questions.answers import Answered, Span, whole_characters
from lhy_lightning.bert.questions.ensemble import QuestionAnsweringEnsemble, merge
from lhy_lightning.bert.questions.homework import Homework7Csv
from lhy_lightning.bert.questions.question_answering import BertQuestionAnswering
from lhy_lightning.data.questions.question_data import QuestionAnsweringDataModule
from lhy_lightning.metrics.texts.answer_texts import DEFINITIONS
from lhy_lightning.training.checkpoints import class_path
from tests.bert.question_files import DATA, MODEL, long_text, write_homework

pytestmark = pytest.mark.usefixtures("undrawn_figures")

Trained = tuple[BertQuestionAnswering, Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_homework(tmp_path_factory.mktemp("hw7"))


def trainer(root: Path, **settings: Any) -> Trainer:
    return Trainer(
        default_root_dir=root, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, **settings,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[BertQuestionAnswering, Path]:
    """A module after a few steps, and its checkpoint."""
    root = tmp_path_factory.mktemp("run")
    seed_everything(0, verbose=False)
    module = BertQuestionAnswering(**MODEL)
    fitting = trainer(root, max_steps=12)
    fitting.fit(module, QuestionAnsweringDataModule(str(folder), **DATA))
    fitting.save_checkpoint(root / "last.ckpt")
    return module.eval(), root / "last.ckpt"


# --- answers ----------------------------------------------------------------------------------------------------------


def every_span_of_every_window(module: BertQuestionAnswering, question: str, text: str) -> dict[tuple[int, int], float]:
    """Slowly, with transformers' own tokenizer: every window, every pair of tokens, the best score of each place."""
    tokenizer = module.vocabulary.transformers()
    asked = tokenizer(question, add_special_tokens=False)["input_ids"][: module.max_question_length]
    pieces = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, places = pieces["input_ids"], pieces["offset_mapping"]
    assert module.max_length is not None
    assert module.window_overlap is not None
    room = module.max_length - len(asked) - 3
    found: dict[tuple[int, int], float] = {}
    first = 0
    while True:
        window = ids[first : first + room]
        sequence = [tokenizer.cls_token_id, *asked, tokenizer.sep_token_id, *window, tokenizer.sep_token_id]
        types = [0] * (len(asked) + 2) + [1] * (len(window) + 1)
        with torch.no_grad():
            output = module.network(input_ids=torch.tensor([sequence]), token_type_ids=torch.tensor([types]))
        start, end = output.start_logits[0].tolist(), output.end_logits[0].tolist()
        for s in range(len(window)):
            for e in range(s, min(s + module.max_answer_length, len(window))):
                score = start[len(asked) + 2 + s] + end[len(asked) + 2 + e]
                if module.window_score == "span_minus_null":
                    score -= start[0] + end[0]
                place = (places[first + s][0], places[first + e][1])
                found[place] = max(found.get(place, -1e9), score)
        if first + room >= len(ids):
            return found
        first += room - module.window_overlap


@pytest.mark.parametrize("window_score", ["span", "span_minus_null"])
def test_an_answer_is_the_best_span_of_all_windows_cut_out_of_the_text(
    trained: Trained, folder: Path, monkeypatch: pytest.MonkeyPatch, window_score: str
) -> None:
    module, text, question = trained[0], long_text(folder), "威廉·瓊斯去了哪裡？"
    monkeypatch.setattr(module, "window_score", window_score)
    answer = module.answer(question, text, n_best=7, batch_size=3)
    wanted = every_span_of_every_window(module, question, text)
    best = sorted(wanted.values(), reverse=True)[:7]
    assert [span.score for span in answer.n_best] == pytest.approx(best, abs=1e-4)
    for span in answer.n_best:
        assert span.text == text[span.start : span.end]
        assert wanted[span.start, span.end] == pytest.approx(span.score, abs=1e-4)
    assert sum(span.probability for span in answer.n_best) == pytest.approx(1)
    assert answer[:3] == answer.n_best[0][:3]
    json.dumps(answer.to_dict())


def test_several_questions_are_answered_as_one_by_one(trained: Trained, folder: Path) -> None:
    module, text = trained[0], long_text(folder)
    questions = ["Ada去了哪裡？", "漢斯去了哪裡？" * 9, "who?"]
    together = module.answer(questions, text)
    for question, answer in zip(questions, together, strict=True):
        alone = module.answer(question, text)
        assert alone.text == answer.text
        assert alone.score == pytest.approx(answer.score, abs=1e-4)


def test_answering_leaves_the_mode_as_it_was_and_takes_strange_text(
    trained: Trained,
) -> None:
    module = trained[0]
    module.train()
    for text in ("half \ud83d surrogate", "👨‍👩‍👧 de\u0301ja\u0300", "ＦＵＬＬ　ｗｉｄｔｈ", "x"):
        answer = module.answer("誰？ \ud83d", text)
        assert answer.text == text[answer.start : answer.end] != ""
    assert module.training
    module.eval()


def test_nothing_to_read_is_an_error(trained: Trained) -> None:
    with pytest.raises(ValueError, match="question 1 is empty"):
        trained[0].answer(["a", " "], "text")
    with pytest.raises(ValueError, match="the text is empty"):
        trained[0].answer("a", "\n")
    with pytest.raises(ValueError, match="the question is empty"):
        trained[0].answer("", "text")
    assert trained[0].answer([], "text") == []


@pytest.mark.parametrize(
    ("question", "text", "message"),
    [
        (None, "text", "the question is None, not text"),
        (b"who?", "text", r"the question is b'who\?', not text"),
        (["who?", None], "text", "question 1 is None, not text"),
        ("who?", None, "the text is None, not text"),
        ("who?", ["one", "two"], r"the text is \['one', 'two'\], not text: .* once for each"),
    ],
)
def test_what_is_no_text_is_named(trained: Trained, question: Any, text: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        trained[0].answer(question, text)


@pytest.mark.parametrize("number", ["n_best", "batch_size"])
def test_numbers_of_a_call_are_at_least_one(trained: Trained, number: str) -> None:
    with pytest.raises(ValueError, match=f"{number}=0"):
        trained[0].answer("who?", "text", **{number: 0})


def test_a_module_that_has_learned_nothing_says_so() -> None:
    with pytest.raises(RuntimeError, match="no network yet: fit first, or load a checkpoint"):
        BertQuestionAnswering().answer("who?", "text")


@pytest.mark.parametrize(
    ("text", "start", "end", "wanted"),
    [
        ("a café b", 2, 6, "café"),
        ("a cafe\u0301 b", 2, 6, "cafe\u0301"),  # the tokenizer drops the accent, which is a character of its own
        ("de\u0301ja\u0300", 2, 5, "e\u0301ja\u0300"),  # from within a letter
        ("👨‍👩‍👧!", 0, 1, "👨‍👩‍👧"),
        ("👍🏽!", 0, 1, "👍🏽"),
        (" a b ", 0, 5, "a b"),
        ("ab", 1, 1, ""),
        ("\u3000中　", 0, 3, "中"),
    ],
)
def test_spans_have_whole_characters_and_no_spaces_round_them(text: str, start: int, end: int, wanted: str) -> None:
    begin, behind = whole_characters(text, start, end)
    assert text[begin:behind] == wanted


def test_no_answer_where_the_null_score_is_higher_by_the_threshold(
    trained: Trained, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, text = trained[0], long_text(folder)
    answer = module.answer("Ada去了哪裡？", text)
    margin = answer.null_score - answer.score
    for threshold, given in ((margin - 0.01, ""), (margin + 0.01, answer.text)):
        monkeypatch.setattr(module, "null_threshold", threshold)
        other = module.answer("Ada去了哪裡？", text)
        assert other.text == given
        assert (other.start is None) == (given == "")
        assert other.n_best == answer.n_best


# --- evaluation -------------------------------------------------------------------------------------------------------


def test_figures_are_those_of_the_answers_one_by_one(trained: Trained, folder: Path, tmp_path: Path) -> None:
    module = trained[0]
    data = QuestionAnsweringDataModule(str(folder), **DATA)
    (figures,) = trainer(tmp_path).validate(module, data, verbose=False)
    questions = data.opened("val").questions
    scores = []
    for question in questions.questions:
        answer = module.answer(question.text, questions.paragraphs[question.paragraph])
        scores.append(DEFINITIONS["homework"].scores(answer.text, [a.text for a in question.answers]))
    exact, f1 = (sum(column) / len(scores) for column in zip(*scores, strict=True))
    assert figures["val/exact_match"] == pytest.approx(exact)
    assert figures["val/f1"] == pytest.approx(f1)
    assert 0 < figures["val/loss"] < 10
    assert module.metric == "homework"


def test_training_makes_the_loss_smaller(trained: Trained, folder: Path, tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    data = QuestionAnsweringDataModule(str(folder), **DATA)
    fresh = BertQuestionAnswering(**MODEL)
    before = trainer(tmp_path).validate(fresh, data, verbose=False)[0]["val/loss"]
    after = trainer(tmp_path).validate(trained[0], data, verbose=False)[0]["val/loss"]
    assert after < before - 0.3


def test_the_datas_settings_choose_how_windows_compare(trained: Trained, folder: Path) -> None:
    assert trained[0].window_score == "span_minus_null"
    for settings, score, threshold in (({}, "span", None), ({"unanswerable": True}, "span_minus_null", 0.0)):
        module = BertQuestionAnswering(**MODEL)
        data = QuestionAnsweringDataModule(str(folder), **{**DATA, "no_answer_share": 0.0, **settings})
        trainer(folder, fast_dev_run=1).fit(module, data)
        assert (module.window_score, module.null_threshold) == (score, threshold)
        assert module.hparams["window_score"] == score


def test_each_split_is_scored_as_its_own_data_is(trained: Trained, folder: Path, tmp_path: Path) -> None:
    rows = [
        {
            "id": "T_QUERY_0",
            "question": "谁？",
            "context": "，陸特，",
            "answers": [{"text": "，陸特", "answer_start": 0}],
        }
    ]
    (tmp_path / "test.json").write_text(json.dumps(rows), "utf8")
    data = QuestionAnsweringDataModule(str(folder), test_source=str(tmp_path / "test.json"), **DATA)
    evaluating = trainer(tmp_path)
    evaluating.validate(trained[0], data, verbose=False)
    assert trained[0].scores.definition == "homework"
    evaluating.test(trained[0], data, verbose=False)
    assert trained[0].scores.definition == "cmrc"
    evaluating.validate(trained[0], data, verbose=False)
    assert trained[0].scores.definition == "homework"


# --- checkpoints and folders ------------------------------------------------------------------------------------------


def test_a_checkpoint_answers_without_data_and_encoder(
    trained: Trained, folder: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    loaded = BertQuestionAnswering.load_from_checkpoint(trained[1], weights_only=True)
    text = long_text(folder)
    assert loaded.answer("Ada去了哪裡？", text) == trained[0].answer("Ada去了哪裡？", text)

    encoder, questions = tmp_path / "encoder", tmp_path / "hw7"
    shutil.copytree(tiny_encoder, encoder)
    shutil.copytree(folder, questions)
    module = BertQuestionAnswering(encoder=str(encoder))
    fitting = trainer(tmp_path, max_steps=1)
    fitting.fit(module, QuestionAnsweringDataModule(str(questions), **DATA))
    fitting.save_checkpoint(tmp_path / "last.ckpt")
    shutil.rmtree(encoder)
    shutil.rmtree(questions)
    loaded = BertQuestionAnswering.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert loaded.answer("who ?", text).n_best == module.answer("who ?", text).n_best


def test_a_checkpoint_of_another_class_is_called_so(trained: Trained, tmp_path: Path) -> None:
    checkpoint = {
        "state_dict": {},
        "class_path": class_path(BertQuestionAnswering),
        "pytorch-lightning_version": "2.6.0",
    }
    torch.save({**checkpoint, "hyper_parameters": dict(trained[0].hparams)}, tmp_path / "best.ckpt")
    with pytest.raises(TypeError, match=r"best\.ckpt was made by .*BertQuestionAnswering, not by .*BertClassifier"):
        BertClassifier.load_from_checkpoint(tmp_path / "best.ckpt")
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_bests'"):
        BertQuestionAnswering.load_from_checkpoint(tmp_path / "best.ckpt", n_bests=3)
    with pytest.raises(TypeError, match="cannot be called on an instance"):
        trained[0].load_from_checkpoint(tmp_path / "best.ckpt")


def test_a_saved_folder_opens_in_transformers_with_equal_logits(trained: Trained, tmp_path: Path) -> None:
    module = trained[0]
    module.save_pretrained(tmp_path)
    network, tokenizer = (kind.from_pretrained(tmp_path) for kind in (AutoModelForQuestionAnswering, AutoTokenizer))
    inputs = tokenizer("Ada去了哪裡？", "在1900年，Ada去了東京。", return_tensors="pt")
    with torch.no_grad():
        theirs = network.eval()(**inputs)
        start_logits, end_logits = module(**{name: inputs[name] for name in module.inputs(inputs)})
    torch.testing.assert_close(theirs.start_logits, start_logits)
    torch.testing.assert_close(theirs.end_logits, end_logits)
    again = BertQuestionAnswering.from_pretrained(tmp_path)
    assert again.answer("Ada?", "Ada去了東京。") == module.answer("Ada?", "Ada去了東京。")


# --- ensembles --------------------------------------------------------------------------------------------------------


def other(folder: Path, root: Path, seed: int, **settings: Any) -> BertQuestionAnswering:
    seed_everything(seed, verbose=False)
    module = BertQuestionAnswering(**MODEL)
    trainer(root, max_steps=6).fit(module, QuestionAnsweringDataModule(str(folder), **{**DATA, **settings}))
    return module.eval()


def predicted(module: Any, folder: Path, root: Path) -> list[Answered]:
    batches = trainer(root).predict(module, QuestionAnsweringDataModule(str(folder), **DATA))
    assert batches is not None
    found = {
        int(row): answer for batch in batches for row, answer in zip(batch["index"], batch["answers"], strict=True)
    }
    return [found[row] for row in sorted(found)]


def test_members_that_read_the_same_windows_average_their_logits(
    trained: Trained, folder: Path, tmp_path: Path
) -> None:
    first = trained[0]
    alone, twice = (predicted(m, folder, tmp_path) for m in (first, QuestionAnsweringEnsemble([first, first])))
    assert [answer.text for answer in alone] == [answer.text for answer in twice]
    second = other(folder, tmp_path, 1)
    assert second.tokenizer == first.tokenizer
    ensemble = QuestionAnsweringEnsemble([first, second])
    assert len(ensemble.groups) == 1
    data = QuestionAnsweringDataModule(str(folder), **DATA)
    data.setup("predict")
    batch = next(iter(data.predict_dataloader()))
    mean = [
        [torch.stack(pair).mean(0) for pair in zip(*(logits for _, logits in members), strict=True)]
        for members in zip(first.chunks(batch), second.chunks(batch), strict=True)
    ]
    spans = [
        first.best_spans((m[0], m[1]), batch, slice(a, b), 5)
        for m, (a, b, _) in zip(mean, batch["chunks"], strict=True)
    ]
    wanted = first.read(first.combine(spans, batch, 5), data.opened("predict"), batch["index"].tolist())
    found = predicted(ensemble, folder, tmp_path)
    assert [found[row].n_best for row in batch["index"].tolist()] == [answer.n_best for answer in wanted]


def test_members_of_different_tokenizers_add_up_by_places_of_characters(
    trained: Trained, folder: Path, tmp_path: Path
) -> None:
    first, second = trained[0], other(folder, tmp_path, 1, vocab_size=200, max_length=40)
    ensemble = QuestionAnsweringEnsemble([first, second])
    assert len(ensemble.groups) == 2
    found = predicted(ensemble, folder, tmp_path)
    questions = QuestionAnsweringDataModule(str(folder), **DATA)
    questions.setup("predict")
    asked = questions.opened("predict").questions
    for row, answer in enumerate(found):
        text = asked.paragraphs[asked.questions[row].paragraph]
        each = [member.answer(asked.questions[row].text, text, n_best=20) for member in (first, second)]
        wanted = merge(each, n_best=5)
        assert answer.text == wanted.text == text[wanted.start : wanted.end]
        assert answer.score == pytest.approx(wanted.score, abs=1e-3)


def test_an_ensemble_of_one_module_twice_has_the_scores_of_that_module(
    trained: Trained, folder: Path, tmp_path: Path
) -> None:
    data = QuestionAnsweringDataModule(str(folder), **{**DATA, "test_source": str(folder / "hw7_dev.json")})
    alone = trainer(tmp_path).test(trained[0], data, verbose=False)[0]
    together = trainer(tmp_path).test(QuestionAnsweringEnsemble([trained[0], trained[0]]), data, verbose=False)[0]
    assert together
    assert together == {name: value for name, value in alone.items() if name != "test/loss"}


def candidates(*spans: tuple[int, float], null: float = 0.0) -> Answered:
    listed = tuple(Span(f"span {start}", start, start + 6, score, 0.0) for start, score in spans)
    return Answered(listed[0].text, listed[0].start, listed[0].end, listed[0].score, null, listed)


def test_merging_means_probabilities() -> None:
    one = candidates((0, 1.0), (10, 0.0))
    two = candidates((10, 2.0), (20, 1.0), (0, -9.0))
    merged = merge([one, two], n_best=2)
    shares = torch.softmax(torch.tensor([1.0, 0.0]), 0), torch.softmax(torch.tensor([2.0, 1.0, -9.0]), 0)
    assert merged.text == "span 10"
    assert merged.score == pytest.approx(float(shares[0][1] + shares[1][0]) / 2)
    assert [span.start for span in merged.n_best] == [10, 0]
    assert sum(span.probability for span in merged.n_best) == pytest.approx(1)
    assert merge([one, candidates((0, 0.0), null=9.0)], n_best=1, null_threshold=1.0).text == "span 0"
    assert merge([one, candidates((0, 0.0), null=9.0)], n_best=1, null_threshold=0.5).text == ""


def test_what_cannot_be_one_ensemble_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one member"):
        QuestionAnsweringEnsemble([])
    with pytest.raises(ValueError, match="cannot have a Linear as a member"):
        QuestionAnsweringEnsemble([torch.nn.Linear(1, 1)])


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"span_search": "greedy"}, "span_search is one of joint, independent, not 'greedy'"),
        ({"window_score": "null"}, "window_score is one of span, span_minus_null, not 'null'"),
        ({"max_answer_length": 0}, "max_answer_length=0"),
        ({"metric": "rouge"}, "metric is one of squad, cmrc, drcd, homework, not 'rouge'"),
    ],
)
def test_arguments_that_cannot_be_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BertQuestionAnswering(**settings)


def test_hyperparameters_are_the_arguments_of_the_class_and_its_base() -> None:
    classes = (BertQuestionAnswering, BertModule, FineTuningModule)
    given = {name for cls in classes for name in signature(cls).parameters} - {"arguments"}
    assert set(BertQuestionAnswering().hparams) == given


def test_a_trainer_without_paragraphs_is_told_where_they_come_from(
    trained: Trained, folder: Path, tmp_path: Path
) -> None:
    data = QuestionAnsweringDataModule(str(folder), **DATA)
    data.setup("predict")
    with pytest.raises(ValueError, match=r"give the Trainer one, or call answer\(question, text\)"):
        trainer(tmp_path).predict(trained[0], data.predict_dataloader())


# --- the homework -----------------------------------------------------------------------------------------------------


def test_the_submission_has_one_row_a_question_without_commas_and_none_empty() -> None:
    def found(*texts: str) -> dict[str, Any]:
        return {"text": texts[0] if texts else "", "n_best": [{"text": text} for text in texts]}

    answers = [found("1,234人"), found(",", "次"), found("full，width"), found('a "b"'), found("two\nlines"), found()]
    answers += [found("a\x00b\r\n\tc"), found(",\x00", "d")]
    with pytest.warns(UserWarning, match="1 questions have no answer, 5 first"):
        content = Homework7Csv().content(list("01234567"), ["?"] * 8, answers)
    rows = list(csv.reader(content.splitlines()))
    assert rows == [
        ["ID", "Answer"], ["0", "1234人"], ["1", "次"], ["2", "full，width"], ["3", 'a "b"'], ["4", "two lines"],
        ["5", "。"], ["6", "a b c"], ["7", "d"],
    ]  # fmt: skip
