"""Questions out of the files that people have."""

import json
from pathlib import Path
from typing import Any

import pytest

from lhy_lightning.data.questions.embedded_questions import EMBEDDED
from lhy_lightning.data.questions.question_files import open_question_file, open_questions, read_questions
from lhy_lightning.data.questions.question_set import Answer, QuestionSet

PARAGRAPH = "梵語由陸特開創，1786年，威廉·瓊斯在加爾各答發表言論。"


def squad(answers: Any, **more: Any) -> dict[str, Any]:
    row = {"id": "1-1-1", "question": "誰？", "answers": answers, **more}
    return {"version": "1.3", "data": [{"title": "t", "paragraphs": [{"context": PARAGRAPH, "qas": [row]}]}]}


def homework(**answer: Any) -> dict[str, Any]:
    row = {"id": 0, "paragraph_id": 1, "question_text": "誰？", "answer_text": None, "answer_start": None,
           "answer_end": None, **answer}  # fmt: skip
    return {"questions": [row], "paragraphs": ["無", PARAGRAPH]}


def only(questions: QuestionSet) -> tuple[str, tuple[Answer, ...]]:
    (question,) = questions.questions
    return questions.paragraphs[question.paragraph], question.answers


# --- forms ------------------------------------------------------------------------------------------------------------


def test_squad_form_is_read_with_all_answers() -> None:
    found = read_questions(squad([{"text": "陸特", "answer_start": 3}, {"text": "特", "answer_start": 4}]), "here")
    assert only(found) == (PARAGRAPH, (Answer("陸特", 3), Answer("特", 4)))
    assert found.kind == "drcd", "known by its ids"
    assert found.labelled


def test_answer_end_of_the_homework_is_the_last_characters_own_place() -> None:
    found = read_questions(homework(answer_text="陸特", answer_start=3, answer_end=4), "here")
    paragraph, (answer,) = only(found)
    assert answer.is_in(paragraph)
    without_text = read_questions(homework(answer_start=3, answer_end=4), "here")
    assert only(without_text)[1] == (answer,)
    assert found.kind == "homework"


def test_an_answer_end_behind_the_last_character_is_counted() -> None:
    def read(text: str | None, end: int) -> QuestionSet:
        row = {
            "id": 0,
            "paragraph_id": 0,
            "question_text": "?",
            "answer_text": text,
            "answer_start": 1,
            "answer_end": end,
        }
        return read_questions({"questions": [row], "paragraphs": ["去台北了"]}, "here.json")

    assert read("台北", 2).wrong_ends() == read(None, 2).wrong_ends() == ""
    assert "answer '台北', answer_end 3, but its last character stands at 2" in read("台北", 3).wrong_ends()
    assert "answer_end 9, but its last character stands at 3" in read(None, 9).wrong_ends(), "behind the paragraph"


def test_null_answers_of_the_homework_are_rows_to_predict() -> None:
    found = read_questions(homework(), "here")
    assert only(found) == (PARAGRAPH, ())
    assert not found.labelled
    assert not found.questions[0].impossible
    assert found.wrong_answers() == 0


def test_an_empty_answer_of_the_homework_is_a_row_to_predict_too() -> None:
    row = {
        "id": 0,
        "paragraph_id": 0,
        "question_text": "?",
        "answer_text": "",
        "answer_start": None,
        "answer_end": None,
    }
    assert not read_questions({"questions": [row], "paragraphs": ["去台北了"]}, "here").labelled


def test_squad_2_says_what_cannot_be_answered() -> None:
    (impossible,) = read_questions(squad([], is_impossible=True), "here").questions
    assert impossible.impossible
    assert impossible.labelled
    (to_predict,) = read_questions(squad(None), "here").questions
    assert not to_predict.labelled


def test_cmrcs_own_release_means_the_first_occurrence() -> None:
    content = [{"context_id": "T", "context_text": PARAGRAPH, "title": "t",
                "qas": [{"query_id": "T_QUERY_0", "query_text": "谁？", "answers": ["陸特"]}]}]  # fmt: skip
    found = read_questions(content, "here")
    assert only(found) == (PARAGRAPH, (Answer("陸特", 3),))
    assert found.kind == "cmrc"


def test_rows_of_question_and_context_need_no_more(tmp_path: Path) -> None:
    rows = [{"question": "Who?", "context": "Ada did."}, {"question": "What?", "context": "Ada did."}]
    (tmp_path / "ask.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = open_question_file(tmp_path / "ask.jsonl")
    assert found.paragraphs == ["Ada did."], "each different paragraph once"
    assert [question.id for question in found.questions] == ["0", "1"]
    assert not found.labelled
    assert [q.text for q in read_questions(rows, "here").questions] == ["Who?", "What?"]


def test_an_empty_cell_is_an_empty_text_and_its_row_stays(tmp_path: Path) -> None:
    path = tmp_path / "ask.csv"
    path.write_text("id,question,context\na,who?,Ada went.\nb,,Ada went.\nc,who?,\n", "utf-8-sig")
    found = open_question_file(path)
    asked = [(question.id, question.text, found.paragraphs[question.paragraph]) for question in found.questions]
    assert asked == [("a", "who?", "Ada went."), ("b", "", "Ada went."), ("c", "who?", "")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"ask\.csv \(0 bytes\) has no rows"),
        (b"question,context\n", r"ask\.csv \(17 bytes\) has no rows"),
        ("question,context\ncafé?,café\n".encode("latin1"), r"ask\.csv is not UTF-8 .*: save it as UTF-8"),
        (b"q,text\na,b\n", r"ask\.csv, row 0: no 'context'; it has q, text"),
    ],
)
def test_a_table_that_holds_no_questions_says_why(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "ask.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        open_question_file(tmp_path / "ask.csv")


def test_rows_of_the_hub_without_answers_among_answered_ones_are_unanswerable() -> None:
    rows = [
        {"id": "a", "question": "Who?", "context": "Ada did.", "answers": {"text": ["Ada"], "answer_start": [0]}},
        {"id": "b", "question": "Why?", "context": "Ada did.", "answers": {"text": [], "answer_start": []}},
    ]
    found = read_questions(rows, "here")
    assert [question.impossible for question in found.questions] == [False, True]
    assert found.kind == "squad"


def test_wrong_places_are_counted_and_kept() -> None:
    found = read_questions(squad([{"text": "陸特", "answer_start": 3}, {"text": "陸特", "answer_start": 4}]), "here")
    assert found.wrong_answers() == 1
    assert len(found.questions[0].answers) == 2
    missing = read_questions(homework(answer_text="陸特"), "here")
    assert missing.wrong_answers() == 1, "no place is a wrong place"
    beyond = read_questions(squad([{"text": "。", "answer_start": -1}]), "here")
    assert beyond.wrong_answers() == 1, "-1 is not counted from the end"


def test_half_surrogates_become_the_replacement_character_one_for_one(tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text('[{"question": "\\ud83d?", "context": "a\\ud83d b \\ud83d\\ude00 c"}]')
    found = open_question_file(tmp_path / "q.json")
    assert found.questions[0].text == "\ufffd?"
    assert found.paragraphs == ["a\ufffd b 😀 c"], "a whole pair is one character"


# --- files ------------------------------------------------------------------------------------------------------------


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), "utf8")


def test_files_of_a_folder_are_told_apart_by_their_names(tmp_path: Path) -> None:
    for name in ("hw7_train", "hw7_dev", "hw7_test"):
        write(tmp_path / f"{name}.json", homework(answer_text="陸特", answer_start=3))
    (tmp_path / "notes.json").write_text("[]")
    assert set(open_questions(str(tmp_path))) == {"train", "val", "test"}


def test_two_files_of_one_split_are_an_error(tmp_path: Path) -> None:
    for name in ("train-v1.1", "train-v2.0"):
        write(tmp_path / f"{name}.json", squad([]))
    with pytest.raises(ValueError, match=r"train-v1.1.json and train-v2.0.json both look like the train split"):
        open_questions(str(tmp_path))


def test_one_file_is_a_training_split(tmp_path: Path) -> None:
    write(tmp_path / "DRCD_dev.json", squad([]))
    assert set(open_questions(str(tmp_path / "DRCD_dev.json"))) == {"train"}


def qa(name: str, answers: Any) -> dict[str, Any]:
    return {"id": name, "question": "who?", "answers": answers}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"rows": []}, "none of the known forms"),
        ({"questions": [], "paragraphs": []}, "has no question"),
        ({"questions": [{"id": 0}], "paragraphs": []}, "row 0: no 'paragraph_id'"),
        ({"questions": [{"id": 0, "paragraph_id": 5}], "paragraphs": ["a"]}, "paragraph_id 5 of 1 paragraphs"),
        (
            {"questions": [{"id": 0, "paragraph_id": "x"}], "paragraphs": ["a"]},
            "row 0: paragraph_id is 'x', not a whole number",
        ),
        ({"questions": [{"id": 0, "paragraph_id": 0.5}], "paragraphs": ["a"]}, "paragraph_id is 0.5, not a whole"),
        ({"questions": [{"number": 0}], "paragraphs": ["a"]}, "row 0: no 'paragraph_id'; it has number"),
        ({"questions": {"a": 1}, "paragraphs": ["a"]}, r"here.json: the rows are {'a': 1}, not a list"),
        ({"questions": ["who?"], "paragraphs": ["a"]}, "row 0: 'who\\?' is no object with keys"),
        ({"questions": [], "paragraphs": None}, "here.json: the paragraphs are None, not a list"),
        ({"questions": [], "paragraphs": ["a", {"text": "b" * 500}]}, "here.json, paragraph 1: .{10,80}… *, not text"),
        ([{"question": None, "context": "a"}], "row 0: question is None, not text"),
        ([{"question": "a"}], "row 0: no 'context'"),
        (
            {"data": [{"paragraphs": [{"context": "a", "qas": [{"id": "q7"}]}]}]},
            r"question q7: no 'question'; it has id\.$",
        ),
        ({"data": [{"title": "a"}]}, "article 0: no 'paragraphs'; it has title"),
        ({"data": [{"paragraphs": ["a"]}]}, "article 0, paragraph 0: 'a' is no object with keys such as 'context'"),
        ({"data": [{"paragraphs": [{"context": "a", "qas": {"id": 1}}]}]}, "paragraph 0: qas is {'id': 1}, not a list"),
        (
            {"data": [{"paragraphs": [{"context": "a", "qas": [qa("q", "a")]}]}]},
            "question q: answers is 'a', not a list",
        ),
        (
            {"data": [{"paragraphs": [{"context": "a", "qas": [qa("q", ["a"])]}]}]},
            "question q: 'a' is no object with keys such as 'text'",
        ),
        ([{"context_text": "a", "qas": None}], "row 0: qas is None, not a list"),
        ([{"question": "a", "context": "b", "answer": 7}], "row 0: answer is 7, not text"),
        (
            [{"question": "a", "context": "b", "answers": {"text": ["b", "c"], "answer_start": [0]}}],
            "row 0: 2 texts of answers and 1 answer_start",
        ),
        ([{"question": "a", "context": "b", "answers": {"text": "b", "answer_start": 0}}], "text is 'b', not a list"),
    ],
)
def test_what_is_not_as_it_should_be_is_named(content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_questions(content, "here.json")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"does not exist"):
        open_questions(str(tmp_path / "none.json"))
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ValueError, match=r"broken.json \(1 bytes\) is not JSON: .* Is the file whole"):
        open_questions(str(tmp_path / "broken.json"))
    (tmp_path / "q.txt").write_text("Who?")
    with pytest.raises(ValueError, match=r"questions come from \.parquet"):
        open_questions(str(tmp_path / "q.txt"))
    with pytest.raises(FileNotFoundError, match="has no file of questions"):
        open_questions(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="there is embedded:questions, embedded:questions_zh"):
        open_questions("embedded:question")


# --- the embedded set -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(EMBEDDED))
def test_each_kind_of_fact_is_asked_for_once_a_paragraph_and_stands_in_it_once(name: str) -> None:
    splits = EMBEDDED[name]()
    assert {split: len(found) for split, found in splits.items()} == {"train": 10_000, "val": 1_000, "test": 1_000}
    assert all(found.wrong_answers() == 0 for found in splits.values())
    paragraphs = [set(found.paragraphs) for found in splits.values()]
    assert sum(map(len, paragraphs)) == len(set.union(*paragraphs)) == 2_400, "no paragraph twice, in any split"
    val = splits["val"]
    for row in range(0, 50, 5):
        asked = val.questions[row : row + 5]
        assert len({question.paragraph for question in asked}) == 1
        assert [question.id.rpartition("-")[2] for question in asked] == list("01234")
        for question in asked:
            (answer,) = question.answers
            assert val.paragraphs[question.paragraph].count(answer.text) == 1


def test_numbers_flags_and_words_of_a_csv_are_read_as_they_are_meant(tmp_path: Path) -> None:
    rows = "id,question,context,answer,answer_start,is_impossible\n01,NA,null is null,null,8,False\n02,b,bc,c,1.0,0\n"
    (tmp_path / "ask.csv").write_text(rows + "03,c,cd,,,True\n")
    first, second, third = open_question_file(tmp_path / "ask.csv").questions
    assert (first.id, first.text, first.answers[0].text, first.answers[0].start) == ("01", "NA", "null", 8)
    assert (second.answers[0].start, second.impossible, third.impossible) == (1, False, True)
    (tmp_path / "ask.csv").write_text(rows + "03,c,cd,,,perhaps\n")
    with pytest.raises(ValueError, match=r"row 2: is_impossible is 'perhaps', not true or false"):
        open_question_file(tmp_path / "ask.csv")
