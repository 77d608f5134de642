"""Does this sentence hold the answer? Balanced pairs out of questions, negatives from the same paragraph."""

import json
from collections import Counter
from pathlib import Path

import pytest

from lhy_lightning.data.labelled_texts.answer_sentences import LABELS, answer_sentences, sentences_of
from lhy_lightning.data.labelled_texts.text_data import TextDataModule
from lhy_lightning.data.questions.question_set import Answer, Question, QuestionSet

PARAGRAPH = "范廷颂是越南枢机。1963年被任为主教；1990年升为总主教！他于2009年离世"


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (PARAGRAPH, ["范廷颂是越南枢机。", "1963年被任为主教；", "1990年升为总主教！", "他于2009年离世"]),
        ("It cost 3.50 euros. Mr. X paid.", ["It cost 3.50 euros.", "Mr.", "X paid."]),
        ("他说：“走吧。”然后走了。", ["他说：“走吧。”", "然后走了。"]),
        ("one line\n\n two lines ", ["one line", "two lines"]),
        ("", []),
        ("。", ["。"]),
    ],
)
def test_sentences_end_at_marks_of_both_scripts(text: str, sentences: list[str]) -> None:
    assert [text[start:end] for start, end in sentences_of(text)] == sentences


def questions(*rows: tuple[str, str], paragraph: str = PARAGRAPH) -> QuestionSet:
    asked = [
        Question(str(n), text, 0, (Answer(answer, paragraph.find(answer)),) if answer else ())
        for n, (text, answer) in enumerate(rows)
    ]
    return QuestionSet([paragraph], asked, "cmrc", "here")


def test_each_question_has_the_sentence_with_its_answer_and_one_without() -> None:
    rows = answer_sentences(questions(("何时任主教？", "1963年"), ("他是谁？", "越南枢机")))
    assert rows.first == ["何时任主教？"] * 2 + ["他是谁？"] * 2
    assert rows.second is not None
    assert rows.labels == [1, 0, 1, 0]
    assert rows.names == LABELS == ("no_answer", "answer")
    for row in (0, 2):
        answer = ("1963年", "越南枢机")[row // 2]
        assert answer in rows.second[row]
        assert answer not in rows.second[row + 1]
        assert rows.second[row + 1] in PARAGRAPH
    assert rows.groups == [PARAGRAPH] * 4


def test_questions_without_a_pair_are_counted() -> None:
    asked = questions(
        ("何时？", "1963年"), ("没有答案", ""), ("不在文中", "2011年"), ("跨两句", "枢机。1963年"), ("到处都是", "年"),
    )  # fmt: skip
    rows = answer_sentences(asked)
    assert rows.first == ["何时？"] * 2 + ["到处都是"] * 2  # 年 is not in the first sentence
    assert rows.second is not None
    assert rows.second[3] == "范廷颂是越南枢机。"
    assert rows.told == "3 of 5 questions give no pair"


def test_no_pair_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="here: none of 1 questions has an answer in one sentence"):
        answer_sentences(questions(("谁？", "他"), paragraph="只有一句，关于他。"))


def test_the_other_sentence_is_drawn_alike_every_time() -> None:
    asked = questions(*[(f"问{n}", "1963年") for n in range(20)])
    first, second = answer_sentences(asked), answer_sentences(asked)
    assert first.second == second.second
    assert first.second is not None
    assert len(set(first.second[1::2])) == 3  # every other sentence is used


def test_questions_in_cmrcs_form_become_a_task_of_pairs(tmp_path: Path) -> None:
    def paragraph(number: int) -> dict[str, object]:
        context = f"第{number}号楼有{number}层。它建于{1900 + number}年。附近有公园。"
        start = context.index(str(1900 + number))
        answers = [{"text": str(1900 + number), "answer_start": start}]
        return {"context": context, "qas": [{"id": f"Q{number}", "question": "建于何时？", "answers": answers}]}

    data = [{"paragraphs": [paragraph(number)]} for number in range(1, 41)]
    (tmp_path / "cmrc.json").write_text(json.dumps({"version": "v1.0", "data": data}, ensure_ascii=False), "utf8")
    module = TextDataModule(str(tmp_path / "cmrc.json"), task="answer_sentences", val_fraction=0.2, vocab_size=60)
    module.setup("fit")
    assert module.class_names == LABELS
    assert module.pairs
    labels = [label for name in ("train", "val") for label in module._open(name).batches.labels.tolist()]  # type: ignore[union-attr, arg-type]
    assert Counter(labels) == {0: 40, 1: 40}
    sides = [set(module._open(name).text.groups or ()) for name in ("train", "val")]  # type: ignore[arg-type]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == 8


def test_the_embedded_questions_serve_too() -> None:
    module = TextDataModule("embedded:questions", task="answer_sentences")
    module.setup("fit")
    assert module.pairs
    batch = module._open("train").batches[[0, 1]]
    assert batch["labels"].tolist() == [1, 0]
