"""Windows cover every paragraph, and those that claim an answer hold it."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from lhy_lightning.data.questions.question_set import Answer, Question, QuestionSet
from lhy_lightning.data.questions.window_batches import IGNORED, EvaluationWindows, TrainingWindows, WindowMaker
from lhy_lightning.data.questions.windows import (
    AnswerTokens,
    WindowSettings,
    answer_tokens,
    centred,
    places_with_answer,
    places_without_answer,
    window_grid,
)
from lhy_lightning.data.texts.encoded_texts import EncodedTexts
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer
from tests.data.labelled_texts.test_tagging_data import byte_level

Texts = tuple[EncodedTexts, EncodedTexts]

PARAGRAPHS = [
    "one two three four five six seven eight nine ten eleven twelve",
    "猫坐在垫子上，服务很好。",
    "naïve café de\u0301ja\u0300 vu 👨‍👩‍👧 ＦＵＬＬ　ｗｉｄｔｈ 😀 end",
    "",
]


def asked(paragraph: int, answer: str | None, *, text: str = "who ?", impossible: bool = False) -> Question:
    answers = () if answer is None else (Answer(answer, PARAGRAPHS[paragraph].index(answer)),)
    return Question("q", text, paragraph, answers, impossible)


QUESTIONS = QuestionSet(
    PARAGRAPHS,
    [
        asked(0, "three four"),
        asked(0, "twelve", text="who did what to whom ?"),
        asked(1, "垫子"),
        asked(2, "café"),
        asked(0, None, impossible=True),
        asked(3, None),
        asked(0, "one two three four five six seven eight nine ten"),
    ],
    "squad",
    "here",
)


@pytest.fixture(scope="module")
def tokenizer() -> EncoderTokenizer:
    return EncoderTokenizer.train([*PARAGRAPHS[:3], "who did what to whom ?"] * 3, vocabulary_size=200)


@pytest.fixture(scope="module")
def texts(tokenizer: EncoderTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Texts:
    folder = tmp_path_factory.mktemp("texts")
    asked = EncodedTexts([question.text for question in QUESTIONS.questions], tokenizer, folder=folder)
    return asked, EncodedTexts(PARAGRAPHS, tokenizer, folder=folder)


def maker(tokenizer: EncoderTokenizer, texts: Texts, settings: WindowSettings) -> WindowMaker:
    paragraph = np.array([question.paragraph for question in QUESTIONS.questions])
    return WindowMaker(texts[0].ids, texts[1].ids, paragraph, tokenizer, settings)


# --- tokenised texts --------------------------------------------------------------------------------------------------


def test_every_piece_of_text_lies_where_its_offsets_say(tokenizer: EncoderTokenizer, tmp_path: Path) -> None:
    strange = [*PARAGRAPHS, "half \ud83d surrogate", "a\u200bb \x00c", "ﬁn ½ ①"]
    encoded = EncodedTexts(strange, tokenizer, folder=tmp_path)
    for row, text in enumerate(strange):
        starts, ends = encoded.starts.row(row), encoded.ends.row(row)
        assert (starts <= ends).all()
        assert (np.diff(starts) >= 0).all()
        assert len(starts) == 0 or ends[-1] <= len(text)
        covered = {place for start, end in zip(starts, ends, strict=True) for place in range(start, end)}
        left_out = "".join(text[place] for place in range(len(text)) if place not in covered)
        assert not any(character.isalnum() for character in left_out), "nothing but spaces, accents and controls"
    with_accents = encoded.starts.row(2), encoded.ends.row(2)
    words = [strange[2][start:end] for start, end in zip(*with_accents, strict=True)]
    assert "😀" in words
    assert "".join(words).startswith("naïvecafé")


def test_texts_are_tokenised_once_and_mapped(
    tokenizer: EncoderTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = EncodedTexts(PARAGRAPHS, tokenizer, folder=tmp_path)
    monkeypatch.setattr(EncoderTokenizer, "encode_with_offsets", lambda *_: pytest.fail("tokenised again"))
    again = pickle.loads(pickle.dumps(EncodedTexts(PARAGRAPHS, tokenizer, folder=tmp_path)))
    assert again.ids.values.tolist() == made.ids.values.tolist()
    assert not again.ids.values.flags.owndata, "a view of the file"
    made.path.write_bytes(made.path.read_bytes()[:-100])
    monkeypatch.undo()
    assert EncodedTexts(PARAGRAPHS, tokenizer, folder=tmp_path).ids.row(0).tolist() == again.ids.row(0).tolist()


# --- the grid ---------------------------------------------------------------------------------------------------------


def test_windows_cover_each_paragraph_and_share_the_overlap() -> None:
    chosen = np.random.default_rng(0)
    lengths = np.concatenate([[0, 1, 9, 10, 11], chosen.integers(0, 200, 300)])
    room = np.concatenate([[10] * 5, chosen.integers(8, 40, 300)])
    for overlap in (0, 3, 7):
        grid = window_grid(lengths, room, overlap)
        assert (grid.count <= room[grid.question]).all()
        for row, length in enumerate(lengths):
            first, count = grid.first[grid.question == row], grid.count[grid.question == row]
            ends = first + count
            assert first[0] == 0
            assert ends[-1] == length
            assert (ends[:-1] - first[1:] == overlap).all()
            assert (count[:-1] == room[row]).all(), "only the last one is shorter"
            assert (count > 0).all() or length == 0


def test_a_span_no_longer_than_the_overlap_is_whole_in_some_window() -> None:
    grid = window_grid(np.array([57]), np.array([10]), 4)
    for first in range(57 - 4):
        assert any((grid.first <= first) & (first + 4 <= grid.first + grid.count))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"max_length": 67, "max_question_length": 64},
            "no room for a paragraph beside a question of max_question_length=64",
        ),
        ({"max_length": 100, "max_question_length": 64, "window_overlap": 33}, "window_overlap=33.*only 33 tokens"),
        ({"window": 150, "window_overlap": 150}, "window_overlap=150.*only 150 tokens"),
        ({"window": 0}, "window=0: a number of tokens, at least 1"),
        ({"window_overlap": -1}, "window_overlap=-1: .* at least 0"),
        ({"max_question_length": -3}, "max_question_length=-3"),
        ({"max_length": -5}, "max_length=-5"),
        ({"window": 400}, "window=400, but max_length=384 holds 380 tokens of the paragraph at most"),
    ],
)
def test_settings_that_contradict_each_other_are_errors(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WindowSettings(**settings).check(3)


def test_homework_windows_have_so_many_tokens_of_the_paragraph() -> None:
    room = WindowSettings(193, 40, 150, 0).room(np.array([5, 40, 90]), 3)
    assert room.tolist() == [150, 150, 150]
    assert WindowSettings(193, 40).room(np.array([5, 40, 90]), 3).tolist() == [185, 150, 150]


# --- answers ----------------------------------------------------------------------------------------------------------


def test_answers_come_back_out_of_their_tokens(texts: Texts) -> None:
    found = answer_tokens(QUESTIONS, texts[1].starts, texts[1].ends)
    for row, question in enumerate(QUESTIONS.questions):
        if not question.answers:
            assert (found.first[row], found.last[row]) == (-1, -1)
            continue
        starts, ends = texts[1].starts.row(question.paragraph), texts[1].ends.row(question.paragraph)
        text = PARAGRAPHS[question.paragraph][starts[found.first[row]] : ends[found.last[row]]]
        assert text == question.answers[0].text
    assert found.impossible.tolist() == [False] * 4 + [True, False, False]


def test_bytes_of_a_character_come_back_as_the_character_and_pairs_as_roberta_has_them(tmp_path: Path) -> None:
    levels = byte_level()
    encoded = EncodedTexts(PARAGRAPHS, levels, folder=tmp_path)
    found = answer_tokens(QUESTIONS, encoded.starts, encoded.ends)
    for row in (0, 2, 3):
        question = QUESTIONS.questions[row]
        starts, ends = encoded.starts.row(question.paragraph), encoded.ends.row(question.paragraph)
        text = PARAGRAPHS[question.paragraph][starts[found.first[row]] : ends[found.last[row]]]
        assert text.strip() == question.answers[0].text
    asked = EncodedTexts([question.text for question in QUESTIONS.questions], levels, folder=tmp_path)
    batch = EvaluationWindows(maker(levels, (asked, encoded), WindowSettings(400, 50, None, 4)))[[2]]
    pair = levels.transformers()(QUESTIONS.questions[2].text, PARAGRAPHS[1])
    assert batch["input_ids"][0, : len(pair["input_ids"])].tolist() == pair["input_ids"]
    assert "token_type_ids" not in batch, "RoBERTa has no segments"


def test_wrong_and_untokenisable_answers_are_not_found_and_the_next_right_one_is_taken(
    texts: Texts,
) -> None:
    wrong = Answer("three", 0)
    questions = [
        Question("", "", 0, (wrong,)),
        Question("", "", 0, (wrong, Answer("two", 4))),
        Question("", "", 0, (Answer(" ", 3),)),
        Question("", "", 3, (Answer("a", 0),)),
    ]
    found = answer_tokens(QuestionSet(PARAGRAPHS, questions, "squad", ""), texts[1].starts, texts[1].ends)
    assert found.first.tolist() == [-1, 1, -1, -1]


def random_answers(rows: int) -> tuple[AnswerTokens, np.ndarray, np.ndarray]:
    chosen = np.random.default_rng(1)
    lengths = chosen.integers(1, 60, rows)
    first = (chosen.random(rows) * lengths).astype(np.int64)
    last = np.minimum(first + chosen.integers(0, 15, rows), lengths - 1)
    unknown = chosen.random(rows) < 0.1
    answers = AnswerTokens(np.where(unknown, -1, first), np.where(unknown, -1, last), unknown)
    return answers, lengths, chosen.integers(1, 40, rows)


def test_places_with_and_without_the_answer_are_all_places() -> None:
    answers, lengths, room = random_answers(400)
    holding, lacking = places_with_answer(answers, lengths, room), places_without_answer(answers, lengths, room)
    for row in range(400):
        places = set(range(max(0, lengths[row] - room[row]) + 1))
        first, last = answers.first[row], answers.last[row]
        whole = {place for place in places if place <= first and last < place + room[row]} if first >= 0 else set()
        for kind, wanted in ((holding, whole), (lacking, places - whole)):
            number = int(kind.number[row])
            uniform = (np.arange(number) + 0.5) / max(number, 1)
            assert set(kind.draw(np.full(number, row), uniform).tolist()) == wanted
            assert number == len(wanted)


def test_the_centred_window_is_the_homeworks_and_holds_the_answer() -> None:
    answers, lengths, room = random_answers(400)
    holding = places_with_answer(answers, lengths, room)
    fits = holding.number > 0
    place = centred(answers, room, holding)
    assert ((place <= answers.first) & (answers.last < place + room))[fits].all()
    middle = (answers.first + answers.last) // 2
    homework = np.maximum(0, np.minimum(middle - room // 2, lengths - room))
    holds = (homework <= answers.first) & (answers.last < homework + room) & fits
    assert (place == homework)[holds].all()
    assert holds[fits].mean() > 0.9


# --- batches ----------------------------------------------------------------------------------------------------------


def test_a_training_window_that_claims_an_answer_holds_it(tokenizer: EncoderTokenizer, texts: Texts) -> None:
    made = maker(tokenizer, texts, WindowSettings(16, 6, None, 2))
    answers = answer_tokens(QUESTIONS, texts[1].starts, texts[1].ends)
    data = TrainingWindows(made, answers)
    for row, question in enumerate(QUESTIONS.questions):
        places = range(max(0, int(made.lengths[row] - made.room[row])) + 1)
        batch = data[[[row, place] for place in places]]
        assert batch["input_ids"].shape[1] <= 16
        whole = answers.last[row] - answers.first[row] < made.room[row]
        claimed = 0
        for place, ids, start, end in zip(
            places, batch["input_ids"], batch["start_positions"], batch["end_positions"], strict=True
        ):
            if start == 0:
                assert end == 0, "aimed at [CLS]"
                continue
            claimed += 1
            wanted = texts[1].ids.row(question.paragraph)[answers.first[row] : answers.last[row] + 1]
            assert ids[start : end + 1].tolist() == wanted.tolist()
            assert place <= answers.first[row]
        assert (claimed > 0) == bool(answers.found[row] and whole)


def test_sequences_are_what_the_tokenizer_itself_makes_of_a_pair(tokenizer: EncoderTokenizer, texts: Texts) -> None:
    made = maker(tokenizer, texts, WindowSettings(64, 20, None, 4))
    batch = EvaluationWindows(made)[list(range(len(QUESTIONS)))]
    theirs = tokenizer.transformers()
    for row, question in enumerate(batch["question"].tolist()):
        asked = QUESTIONS.questions[question]
        if not PARAGRAPHS[asked.paragraph]:
            continue  # transformers takes an empty second text for none at all
        pair = theirs(asked.text, PARAGRAPHS[asked.paragraph])
        length = len(pair["input_ids"])
        for name in ("input_ids", "token_type_ids", "attention_mask"):
            assert batch[name][row, :length].tolist() == pair[name]
        assert (batch["input_ids"][row, length:] == tokenizer.pad_id).all()
        assert batch["attention_mask"][row, length:].sum() == 0
    assert batch["input_ids"].shape[1] % 8 == 0


def test_an_evaluation_batch_has_all_windows_of_its_questions_in_chunks_of_like_length(
    tokenizer: EncoderTokenizer, texts: Texts
) -> None:
    made = maker(tokenizer, texts, WindowSettings(16, 6, None, 2))
    answers = answer_tokens(QUESTIONS, texts[1].starts, texts[1].ends)
    data = EvaluationWindows(made, answers, at_once=4)
    rows = [6, 1, 5, 0]
    batch = data[rows]
    assert batch["index"].tolist() == rows
    assert batch["chunks"][0][0] == 0
    assert batch["chunks"][-1][1] == len(batch["question"])
    for (first, end, width), following in zip(batch["chunks"], [*batch["chunks"][1:], None], strict=True):
        assert 0 < end - first <= 4
        assert batch["attention_mask"][first:end, width:].sum() == 0, "nothing is cut off"
        assert following is None or following[0] == end
    for row in rows:
        chosen = batch["question"] == row
        seen: set[int] = set()
        for window in chosen.nonzero().flatten().tolist():
            start, count = int(batch["context_start"][window]), int(batch["context_length"][window])
            first = int(batch["first"][window])
            wanted = texts[1].ids.row(QUESTIONS.questions[row].paragraph)[first : first + count].tolist()
            assert batch["input_ids"][window, start : start + count].tolist() == wanted
            seen |= set(range(first, first + count))
        assert seen == set(range(made.lengths[row]))
    assert data.tokens[1] == int(batch["attention_mask"][batch["question"] == 1].sum())


def test_windows_without_the_answer_are_left_out_of_the_loss_or_aim_at_cls(
    tokenizer: EncoderTokenizer, texts: Texts
) -> None:
    made = maker(tokenizer, texts, WindowSettings(16, 6, None, 2))
    answers = answer_tokens(QUESTIONS, texts[1].starts, texts[1].ends)
    rows = [0, 4, 5]  # answered in one of several windows, known to be unanswerable, unknown
    for null_windows, lacking in ((False, IGNORED), (True, 0)):
        batch = EvaluationWindows(made, answers, null_windows=null_windows)[rows]
        targets = {row: set(batch["start_positions"][batch["question"] == row].tolist()) for row in rows}
        assert lacking in targets[0]
        assert max(targets[0]) > 0
        assert targets[4] == {lacking}
        assert targets[5] == {IGNORED}
