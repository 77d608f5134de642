"""Questions about paragraphs, as SQuAD, DRCD, CMRC, homework 7 and tables write them down."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from lhy_lightning.core.messages import short
from lhy_lightning.data.questions.question_set import Answer, Kind, Question, QuestionSet
from lhy_lightning.data.sources.tables import TABLES, read_table
from lhy_lightning.data.texts.encoded_texts import without_surrogates
from lhy_lightning.data.texts.text_sources import Split, files_by_split, open_embedded, open_splits

Made = TypeVar("Made")

_DRCD_ID = re.compile(r"^\d+-\d+-\d+$")
_HAN = re.compile("[\u3400-\u9fff]")


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
        from lhy_lightning.data.questions.embedded_questions import EMBEDDED

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
    if ending == ".csv":  # it cannot tell an empty text from none, and each row is to be answered
        return _from_rows(({**row, **_blank(row)} for row in read_table(path)), str(path))
    if ending != ".json":
        return _from_rows(read_table(path), str(path))
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}, byte {error.start}: not UTF-8 ({error.reason}): save it as UTF-8.") from error
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

        def read(row: Any) -> Question:
            paragraph = _whole(_of(row, "paragraph_id"), "paragraph_id")
            if not 0 <= paragraph < len(paragraphs):
                raise ValueError(f"paragraph_id {paragraph} of {len(paragraphs)} paragraphs, counted from 0")
            start, last, text = (row.get(key) for key in ("answer_start", "answer_end", "answer_text"))
            if text is None and start is not None:
                begin, end = _whole(start, "answer_start"), _whole(_of(row, "answer_end"), "answer_end")
                text = paragraphs[paragraph][begin : end + 1]
            unknown = text is None or (text == "" and start is None)  # tables write an empty text for none
            answers = () if unknown else (self.answer(text, start, last),)
            return Question(
                str(_of(row, "id")), self.text(_of(row, "question_text"), "question_text"), paragraph, answers
            )

        self.questions = self.each(content["questions"], read)
        return self.done("homework", paragraphs)

    def nested(self, content: Mapping[str, Any]) -> QuestionSet:
        """SQuAD 1 and 2, DRCD, CMRC in SQuAD's form. Without the key `answers` a row is to be predicted."""

        def read(article: Any) -> None:
            place_of_article = self.where
            for number, paragraph in enumerate(_list(_of(article, "paragraphs"), "paragraphs")):
                self.where = f"{place_of_article}, paragraph {number}"
                place = self.paragraph(_of(paragraph, "context"))
                for row in _list(_of(paragraph, "qas"), "qas"):
                    name, listed = self.named(row, "id"), self.answers(row.get("answers"))
                    answers, impossible = _or_impossible(listed, row)
                    text = self.text(_of(row, "question"), "question")
                    self.questions.append(Question(name, text, place, answers, impossible))

        self.each(content["data"], read, named="article")
        return self.done(self.kind())

    def cmrc(self, content: Sequence[Any]) -> QuestionSet:
        """CMRC's own release: answers without a place, so their first occurrence is meant."""

        def read(context: Any) -> None:
            text = self.text(_of(context, "context_text"), "context_text")
            place = self.paragraph(text)
            for row in _list(_of(context, "qas"), "qas"):
                name = self.named(row, "query_id")
                told = [self.text(answer, "answer") for answer in _list(row.get("answers") or (), "answers")]
                answers = tuple(self.answer(answer, text.find(answer)) for answer in told)
                asked = self.text(_of(row, "query_text"), "query_text")
                self.questions.append(Question(name, asked, place, answers))

        self.each(content, read)
        return self.done("cmrc")

    def rows(self, rows: Iterable[Any]) -> QuestionSet:
        """A table: `question`, `context`, and where known `id` and `answers` {text: [], answer_start: []}.

        A column `answer` serves too; without `answer_start` its first occurrence is meant.
        """

        def read(row: Any) -> None:
            context = self.text(_of(row, "context"), "context")
            listed = self.answers(row.get("answers"))
            if not listed and row.get("answer"):
                answer, start = self.text(row["answer"], "answer"), row.get("answer_start")
                listed = (self.answer(answer, context.find(answer) if start is None else start),)
            name = len(self.questions) if row.get("id") is None else row["id"]
            listed, impossible = _or_impossible(listed, row)
            text = self.text(_of(row, "question"), "question")
            self.questions.append(Question(str(name), text, self.paragraph(context), listed, impossible))

        self.each(rows, read)
        if any(question.answers for question in self.questions):  # SQuAD 2 on the hub says so by an empty list alone
            self.questions = [q if q.labelled else replace(q, impossible=True) for q in self.questions]
        return self.done(self.kind())

    # --- parts ---

    def each(self, rows: Any, read: Callable[[Any], Made], *, named: str = "row") -> list[Made]:
        if rows is None or isinstance(rows, str | int | float | Mapping):
            raise ValueError(f"{self.origin}: the {named}s are {short(rows)}, not a list of them.")
        made = []
        for number, row in enumerate(rows):
            self.where = f"{named} {number}"
            try:
                made.append(read(row))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{self.origin}, {self.where}: {error}.") from error
        return made

    def named(self, row: Any, key: str) -> str:
        """The name of a question, which errors from here on call it by."""
        if isinstance(row, Mapping):
            self.where = f"question {row.get(key, '?')}"
        return str(_of(row, key))

    def text(self, value: Any, name: str) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{name} is {short(value)}, not text")
        return without_surrogates(value)

    def answer(self, text: Any, start: Any, last: Any = None) -> Answer:
        """A start that is missing is a wrong one: -1."""
        begin = -1 if start is None else _whole(start, "answer_start")
        return Answer(self.text(text, "answer"), begin, None if last is None else _whole(last, "answer_end"))

    def answers(self, found: Any) -> tuple[Answer, ...]:
        """A list of {text, answer_start}, or {text: [], answer_start: []} as the hub's tables have them."""
        if isinstance(found, Mapping):
            texts, starts = (_list(_of(found, key), key) for key in ("text", "answer_start"))
            if len(texts) != len(starts):
                raise ValueError(f"{len(texts)} texts of answers and {len(starts)} answer_start: they belong together")
            return tuple(map(self.answer, texts, starts))
        listed = _list(found or (), "answers")
        return tuple(self.answer(_of(one, "text"), _of(one, "answer_start")) for one in listed)

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


def _of(row: Any, key: str) -> Any:
    """What a row has under a key."""
    if not isinstance(row, Mapping):
        raise TypeError(f"{short(row)} is no object with keys such as {key!r}")
    if key not in row:
        raise ValueError(f"no {key!r}; it has {', '.join(map(str, row)) or 'no key'}")
    return row[key]


def _list(value: Any, name: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name} is {short(value)}, not a list")
    return value


def _whole(value: Any, name: str) -> int:
    """A whole number, however the file writes it: 7, 7.0 (tables with gaps), "7" or "7.0"."""
    try:
        if isinstance(value, bool) or (isinstance(value, str) and "_" in value):  # Python would read 1 and 1_5 as 15
            raise ValueError
        value = float(value) if isinstance(value, str) and not value.strip().lstrip("-").isdecimal() else value
        number = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} is {short(value)}, not a whole number") from error
    if isinstance(value, float) and number != value:
        raise ValueError(f"{name} is {value}, not a whole number")
    return number


def _flag(value: Any, name: str) -> bool:
    """Yes or no, however the file writes it: true, 1, "True", "0"; no where there is nothing."""
    told = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False, "": False, "none": False}
    if (said := str(value).strip().lower()) not in told:
        raise ValueError(f"{name} is {short(value)}, not true or false")
    return told[said]


def _or_impossible(answers: tuple[Answer, ...], row: Mapping[str, Any]) -> tuple[tuple[Answer, ...], bool]:
    """The answers, and whether the row says that there is none, which some files write as an empty answer besides.

    Raises:
        ValueError: it says both.
    """
    if not _flag(row.get("is_impossible"), "is_impossible"):
        return answers, False
    if told := next((answer.text for answer in answers if answer.text.strip()), None):
        raise ValueError(f"is_impossible is true, and there is the answer {short(told)}: which is meant")
    return (), True


def _blank(row: Mapping[str, Any]) -> dict[str, str]:
    return {key: "" for key in ("question", "context") if key in row and row[key] is None}


def _from_rows(rows: Iterable[Any], origin: str) -> QuestionSet:
    return _Builder(origin).rows(rows)
