"""Questions about paragraphs, as SQuAD, DRCD, CMRC, homework 7 and tables write them down."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from lhy_lightning.data.encoded_texts import without_surrogates
from lhy_lightning.data.sources import TABLES, read_table
from lhy_lightning.data.text_sources import Split, files_by_split, open_embedded, open_splits

Kind = Literal["squad", "cmrc", "drcd", "homework"]
Row = TypeVar("Row")
Made = TypeVar("Made")

_DRCD_ID = re.compile(r"^\d+-\d+-\d+$")
_HAN = re.compile("[\u3400-\u9fff]")


@dataclass(frozen=True)
class Answer:
    """A span of a paragraph as the data has it, right or wrong: `start` is its first character's place."""

    text: str
    start: int

    def is_in(self, paragraph: str) -> bool:
        """Whether the text stands where it is said to stand."""
        return bool(self.text) and self.start >= 0 and paragraph.startswith(self.text, self.start)


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        id: its name in the file.
        text: what is asked.
        paragraph: place of its paragraph in `QuestionSet.paragraphs`.
        answers: all that count as right; none where the question is to be predicted, or has no answer.
        impossible: the paragraph is known not to answer it (SQuAD 2).
    """

    id: str
    text: str
    paragraph: int
    answers: tuple[Answer, ...] = ()
    impossible: bool = False

    @property
    def labelled(self) -> bool:
        """Whether the answer, or that there is none, is known."""
        return bool(self.answers) or self.impossible


@dataclass
class QuestionSet:
    """The questions of one file, in its order.

    Attributes:
        paragraphs: each different one once.
        questions: rows that point into them.
        kind: whose data it looks like; this chooses the metric.
        origin: where it comes from, for messages.
    """

    paragraphs: list[str]
    questions: list[Question]
    kind: Kind
    origin: str

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def labelled(self) -> bool:
        """Whether any answer is known: not so in homework 7's test file."""
        return any(question.labelled for question in self.questions)

    def take(self, rows: Iterable[int]) -> "QuestionSet":
        """The same paragraphs with some of the questions."""
        return QuestionSet(self.paragraphs, [self.questions[row] for row in rows], self.kind, self.origin)

    def wrong_answers(self) -> int:
        """How many answers do not stand in their paragraph where they are said to."""
        pairs = ((answer, self.paragraphs[q.paragraph]) for q in self.questions for answer in q.answers)
        return sum(not answer.is_in(paragraph) for answer, paragraph in pairs)

    def first_wrong(self) -> str:
        """The first of these answers and what stands in its place, in words; "" if there is none."""
        for question in self.questions:
            paragraph = self.paragraphs[question.paragraph]
            for answer in question.answers:
                if not answer.is_in(paragraph):
                    wanted = f"question {question.id}: answer {short(answer.text)}, answer_start {answer.start}"
                    if answer.start < 0:
                        return f"{wanted}, which is no place"
                    there = paragraph[answer.start : answer.start + max(1, len(answer.text))]
                    return f"{wanted}, where {short(there)} stands" if there else f"{wanted}, behind the paragraph"
        return ""

    def check_ids(self) -> None:
        """Refuses questions that are told apart by nothing, as answers are written by id.

        Raises:
            ValueError: two have the same id.
        """
        ids = Counter(question.id for question in self.questions)
        if twice := [name for name, count in ids.items() if count > 1]:
            raise ValueError(
                f"{self.origin}: {len(twice):,} ids stand for several questions, {twice[0]!r} for {ids[twice[0]]}. "
                "Answers are written by id: give every question one of its own."
            )


# --- opening ----------------------------------------------------------------------------------------------------------


def open_questions(source: str) -> dict[Split, QuestionSet]:
    """Opens questions by name and finds their splits; a source without any is all `train`.

    Args:
        source: `embedded:questions`; a JSON file in the form of SQuAD 1 or 2 (DRCD and CMRC are handed out so), of
            CMRC's own release, of homework 7 (`hw7_train.json`: `answer_end` is inclusive, `null` answers are to be
            predicted), or a list of `{"question", "context"}`; a csv, jsonl or parquet table with these columns and,
            where known, `id` and `answers`; a folder of such files (`hw7_train.json`, `train-v1.1.json`,
            `DRCD_dev.json` … by their names); a hub id.

    Raises:
        FileNotFoundError: there is no such thing, neither here nor, as far as can be seen, on the hub.
        ValueError: the file is not of one of these forms, or has no question.
    """
    if source.startswith("embedded:"):
        from lhy_lightning.data.embedded_questions import EMBEDDED

        return open_embedded(source, EMBEDDED)
    return open_splits(source, files=_question_files, open_file=open_question_file, open_table=_from_rows)


def _question_files(folder: Path) -> dict[Split, Path]:
    endings = sorted(TABLES, key=lambda ending: ending != ".json")  # what nearly all of them end in
    wanted = "file of questions such as hw7_train.json, train.json or dev.parquet"
    return files_by_split(folder, endings, zipped=False, wanted=wanted)


def open_question_file(path: Path) -> QuestionSet:
    """Reads one file of questions, of any form that `open_questions` names.

    Raises:
        ValueError: it is not JSON or not of a known form (says which row), or has no question.
    """
    ending = path.suffix.lower()
    if ending not in TABLES:
        raise ValueError(f"{path}: questions come from {', '.join(TABLES)} files, folders of them, or hub ids.")
    if ending != ".json":
        return _from_rows(read_table(path), str(path))
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}, byte {error.start}: not UTF-8 ({error.reason}).") from error
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path} ({path.stat().st_size:,} bytes) is not JSON: {error}. Is the file whole? Fetch or unzip it again "
            "if it breaks off. Rows of one JSON object a line belong in a .jsonl."
        ) from error
    return read_questions(content, str(path))


def read_questions(content: Any, origin: str) -> QuestionSet:
    """Tells the form of parsed JSON by its keys and reads it.

    Raises:
        ValueError: no known form, a row that lacks what its form needs, or no question.
    """
    if isinstance(content, dict) and {"questions", "paragraphs"} <= content.keys():
        return _Builder(origin).homework(content)
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        return _Builder(origin).nested(content)
    if isinstance(content, list) and content and isinstance(content[0], dict):
        if "context_text" in content[0]:
            return _Builder(origin).cmrc(content)
        return _from_rows(content, origin)
    raise ValueError(
        f"{origin} has none of the known forms: {{questions, paragraphs}} as homework 7, {{data: [{{paragraphs}}]}} as "
        "SQuAD, DRCD and CMRC, or a list of {question, context}."
    )


# --- forms ------------------------------------------------------------------------------------------------------------


class _Builder:
    """Gathers rows; `where` is named when one of them is not as it should be."""

    def __init__(self, origin: str) -> None:
        self.origin, self.where = origin, ""
        self.places: dict[str, int] = {}
        self.questions: list[Question] = []

    def homework(self, content: Mapping[str, Any]) -> QuestionSet:
        """Homework 7: `paragraph_id` is a place in the list, `answer_end` is the last character's own place."""
        paragraphs = self.each(content["paragraphs"], lambda one: self.text(one, "paragraph"), named="paragraph")

        def read(row: Mapping[str, Any]) -> Question:
            paragraph = _whole(row["paragraph_id"], "paragraph_id")
            if not 0 <= paragraph < len(paragraphs):
                raise ValueError(f"paragraph_id {paragraph} of {len(paragraphs)} paragraphs, counted from 0")
            start, text = row.get("answer_start"), row.get("answer_text")
            if text is None and start is not None:
                begin, end = _whole(start, "answer_start"), _whole(row["answer_end"], "answer_end")
                text = paragraphs[paragraph][begin : end + 1]
            answers = () if text is None else (self.answer(text, start),)
            return Question(str(row["id"]), self.text(row["question_text"], "question_text"), paragraph, answers)

        self.questions = self.each(content["questions"], read)
        return self.done("homework", paragraphs)

    def nested(self, content: Mapping[str, Any]) -> QuestionSet:
        """SQuAD 1 and 2, DRCD, CMRC in SQuAD's form. Without the key `answers` a row is to be predicted."""

        def read(paragraph: Mapping[str, Any]) -> None:
            place = self.paragraph(paragraph["context"])
            for row in paragraph["qas"]:
                self.where = f"question {row.get('id', '?')}"
                listed = row.get("answers") or ()
                answers = tuple(self.answer(answer["text"], answer["answer_start"]) for answer in listed)
                impossible = not answers and bool(row.get("is_impossible", False))
                text = self.text(row["question"], "question")
                self.questions.append(Question(str(row["id"]), text, place, answers, impossible))

        self.each((p for article in content["data"] for p in article["paragraphs"]), read)
        return self.done(self.kind())

    def cmrc(self, content: Sequence[Mapping[str, Any]]) -> QuestionSet:
        """CMRC's own release: answers without a place, so their first occurrence is meant."""

        def read(context: Mapping[str, Any]) -> None:
            text = self.text(context["context_text"], "context_text")
            place = self.paragraph(text)
            for row in context["qas"]:
                self.where = f"question {row.get('query_id', '?')}"
                answers = tuple(self.answer(answer, text.find(answer)) for answer in row.get("answers") or ())
                asked = self.text(row["query_text"], "query_text")
                self.questions.append(Question(str(row["query_id"]), asked, place, answers))

        self.each(content, read)
        return self.done("cmrc")

    def rows(self, rows: Iterable[Mapping[str, Any]]) -> QuestionSet:
        """A table: `question`, `context`, and where known `id` and `answers` {text: [], answer_start: []}.

        A column `answer` serves too; without `answer_start` its first occurrence is meant.
        """

        def read(row: Mapping[str, Any]) -> None:
            context = self.text(row["context"], "context")
            found: Any = row.get("answers") or ()
            if isinstance(found, Mapping):
                found = zip(found["text"], found["answer_start"], strict=True)
            elif not found and row.get("answer"):
                start = row.get("answer_start")
                found = [(row["answer"], context.find(row["answer"]) if start is None else start)]
            else:
                found = [(answer["text"], answer["answer_start"]) for answer in found]
            listed = tuple(self.answer(text, start) for text, start in found)
            name = len(self.questions) if row.get("id") is None else row["id"]
            impossible = not listed and bool(row.get("is_impossible", False))
            text = self.text(row["question"], "question")
            self.questions.append(Question(str(name), text, self.paragraph(context), listed, impossible))

        self.each(rows, read)
        if any(question.answers for question in self.questions):  # SQuAD 2 on the hub says so by an empty list alone
            self.questions = [q if q.labelled else replace(q, impossible=True) for q in self.questions]
        return self.done(self.kind())

    # --- parts ---

    def each(self, rows: Iterable[Row], read: Callable[[Row], Made], *, named: str = "row") -> list[Made]:
        if rows is None or isinstance(rows, str | int | float | Mapping):
            raise ValueError(f"{self.origin}: the {named}s are {short(rows)}, not a list of them.")
        made = []
        for number, row in enumerate(rows):
            self.where = f"{named} {number}"
            try:
                if named == "row" and not isinstance(row, Mapping):
                    raise TypeError(f"{short(row)} is no object with keys")
                made.append(read(row))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                what = f"no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
                own = self.where == f"{named} {number}"  # not of a question further inside
                if isinstance(error, KeyError) and own and isinstance(row, Mapping):
                    what += f"; it has {', '.join(map(str, row)) or 'no key'}"
                raise ValueError(f"{self.origin}, {self.where}: {what}.") from error
        return made

    def text(self, value: Any, name: str) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{name} is {short(value)}, not text")
        return without_surrogates(value)

    def answer(self, text: Any, start: Any) -> Answer:
        """A start that is missing is a wrong one: -1."""
        return Answer(self.text(text, "answer"), -1 if start is None else _whole(start, "answer_start"))

    def paragraph(self, context: Any) -> int:
        return self.places.setdefault(self.text(context, "context"), len(self.places))

    def kind(self) -> Kind:
        """By the form of the ids, which each data set has its own, else by the script."""
        names = [question.id for question in self.questions[:20]]
        if names and all("_QUERY_" in name for name in names):
            return "cmrc"
        if names and all(_DRCD_ID.match(name) for name in names):
            return "drcd"
        sample = "".join(question.text for question in self.questions[:20])
        return "cmrc" if len(_HAN.findall(sample)) > len(sample) / 2 else "squad"

    def done(self, kind: Kind, paragraphs: list[str] | None = None) -> QuestionSet:
        if not self.questions:
            raise ValueError(f"{self.origin} has no question.")
        return QuestionSet(list(self.places) if paragraphs is None else paragraphs, self.questions, kind, self.origin)


def _whole(value: Any, name: str) -> int:
    """A whole number, however the file writes it: 7, 7.0 (tables with gaps) or "7"."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} is {short(value)}, not a whole number") from error
    if isinstance(value, float) and number != value:
        raise ValueError(f"{name} is {value}, not a whole number")
    return number


def short(value: Any) -> str:
    """A value in a message, which may be a whole paragraph."""
    written = repr(value)
    return written if len(written) <= 60 else f"{written[:60]} …"


def _from_rows(rows: Iterable[Mapping[str, Any]], origin: str) -> QuestionSet:
    return _Builder(origin).rows(rows)
