"""Files of tagged words as people have them: comments, headers, blanks, empty and missing tags, odd rows."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from lhy_lightning.data.labelled_texts.tagged_files import open_tagged_text
from lhy_lightning.data.labelled_texts.tagging_data import TaggingDataModule
from tests.bad_input.case import BadInput, set_up, text

Pairs = list[list[tuple[str, str]]]

SENTENCE = "we _ _ O\nsaw _ _ O\nOslo _ _ B-LOC\n. _ _ O\n\n"
READ: Pairs = [[("we", "O"), ("saw", "O"), ("Oslo", "B-LOC"), (str(n), "O")] for n in range(20)]


def fit(name: str, **arguments: object) -> Callable[[Path], None]:
    return set_up(TaggingDataModule, name, vocab_size=60, **arguments)


def finds(name: str, expected: Pairs) -> Callable[[Path], None]:
    """Asserts the words and tags of the training sentences, and that they can be trained on."""

    def read(folder: Path) -> None:
        found = open_tagged_text(str(folder / name))["train"]
        assert found.tags is not None
        read = [list(zip(*sentence, strict=True)) for sentence in zip(found.words, found.tags, strict=True)]
        assert read[: len(expected)] == expected
        assert {tag for row in found.tags for tag in row} <= {"O", "B-LOC"}
        fit(name)(folder)

    return read


def commented(comment: str, sentences: int = 20) -> str:
    return "".join(f"{comment.format(n)}\n{SENTENCE.replace('. ', f'{n} ')}" for n in range(sentences))


def two_columns(mark: str, words: Sequence[str] = ("we", "saw", "Oslo")) -> str:
    """Sentences of a word and a tag, with a number as a word of each own."""
    rows = "".join(f"{word}{mark}{'B-LOC' if word == 'Oslo' else 'O'}\n" for word in words)
    return "".join(f"{rows}{n}{mark}O\n\n" for n in range(20))


def rows_of(name: str, rows: list[dict[str, object]]) -> Callable[[Path], object]:
    if name.endswith(".parquet"):
        return lambda folder: pd.DataFrame(rows).to_parquet(folder / name)
    return text(name, "".join(json.dumps(row) + "\n" for row in rows))


def in_tables(form: str) -> list[BadInput]:
    good: list[dict[str, object]] = [{"tokens": [f"w{n}", "x"], "tags": ["A", "B"]} for n in range(20)]
    faults: dict[str, tuple[dict[str, object], str]] = {
        "a row of words is missing": ({"tokens": None, "tags": ["A"]}, r"row 20: 'tokens' is missing, not a list"),
        "a row of tags is missing": ({"tokens": ["a"], "tags": None}, r"row 20: 'tags' is missing, not a list"),
        "a word is null": ({"tokens": ["a", None], "tags": ["A", "B"]}, r"row 20: word 1 is missing"),
        "a tag is null": ({"tokens": ["a", "b"], "tags": [None, "B"]}, r"row 20: tag 0 is missing"),
        "a tag is empty": ({"tokens": ["a", "b"], "tags": ["A", " "]}, r"row 20: tag 1 is empty"),
        "more words than tags": ({"tokens": ["a", "b"], "tags": ["A"]}, r"row 20: 2 words and 1 tags"),
    }
    name = f"t.{form}"
    return [
        BadInput(f"{what} ({form})", rows_of(name, [*good, row]), fit(name), says, kind="tagged words")
        for what, (row, says) in faults.items()
    ]


CONLLU_ROW = "{}\t{}\t_\t{}\t_\t_\t_\t_\t_\t_\n"


def conllu(tags: Sequence[str]) -> str:
    return "".join(
        f"# sent_id = {n}\n" + "".join(CONLLU_ROW.format(k, f"w{n}{k}", tag) for k, tag in enumerate(tags, 1)) + "\n"
        for n in range(20)
    )


def case(what: str, content: str, read: Callable[[Path], None], says: str = "", *, name: str = "c.conll") -> BadInput:
    ends = "right" if read.__qualname__.startswith("finds") else "line"
    return BadInput(what, text(name, content), read, says, ends=ends, kind="tagged words")  # type: ignore[arg-type]


INPUTS = [
    case(
        "comments with a blank",
        commented("# id {} domain=en"),
        finds("c.conll", READ),
        r"20 comment lines passed over \('# id 0 domain=en'",
    ),
    case("comments with a tab", commented("# id {}\tdomain=en"), finds("c.conll", READ), "20 comment lines passed"),
    case("comments of other lengths", commented("#text = we saw Oslo {}"), finds("c.conll", READ), "20 comment"),
    case(
        "comments in a file of two columns",
        two_columns(" ").replace("we ", "# en\nwe "),
        finds("c.conll", [[("we", "O"), ("saw", "O"), ("Oslo", "B-LOC"), ("0", "O")]]),
        "20 comment lines",
    ),
    case(
        "the word # inside and at the beginning of a sentence",
        two_columns(" ", ("#", "we", "#", "Oslo")),
        finds("c.conll", [[("#", "O"), ("we", "O"), ("#", "O"), ("Oslo", "B-LOC"), ("0", "O")]]),
    ),
    case(
        "a header",
        "word tag\n" + two_columns(" "),
        finds("c.conll", [[("we", "O"), ("saw", "O"), ("Oslo", "B-LOC"), ("0", "O")]]),
        r"line 1 read as a header \(word tag\)",
    ),
    case(
        "tags with blanks behind",
        two_columns("\t").replace("B-LOC\n", "B-LOC \n"),
        finds("c.conll", [[("we", "O"), ("saw", "O"), ("Oslo", "B-LOC"), ("0", "O")]]),
    ),
    *(
        case(
            f"the word U+{ord(blank):04X} between {kind}",
            two_columns(mark, ("we", blank, "Oslo")),
            finds("c.conll", [[("we", "O"), (blank, "O"), ("Oslo", "B-LOC"), ("0", "O")]]),
        )
        for blank in ("\u00a0", "\u3000", " ")
        for mark, kind in ((" ", "blanks"), ("\t", "tabs"))
    ),
    case(
        "a row with a column too many",
        SENTENCE * 5 + "Oslo is _ _ B-LOC\n",
        fit("c.conll"),
        r"c\.conll, line 26: 'Oslo is _ _ B-LOC' has 5 columns where most lines have 4",
    ),
    case(
        "a row with a column too few",
        SENTENCE * 5 + "Oslo _ B-LOC\n",
        fit("c.conll"),
        r"line 26: 'Oslo _ B-LOC' has no tag in column last: it has 3 columns, most lines have 4",
    ),
    case("an empty tag", two_columns("\t") + "we\t\n", fit("c.conll"), r"line 101: the tag of 'we' is empty"),
    case("a tag without its word", two_columns("\t") + "\tO\n", fit("c.conll"), r"line 101: '\\tO' has no word"),
    case(
        "one tag for all words",
        two_columns(" ").replace("B-LOC", "O"),
        fit("c.conll"),
        r"all \d+ training words have the tag 'O'.*--data\.tag_column",
    ),
    case("words without tags", "we\nsaw\n\n" * 20, fit("c.conll"), r"has no tags: set --data\.tag_column"),
    case(
        "an empty UPOS",
        conllu(["NOUN", "", "VERB"]),
        fit("t.conllu"),
        r"t\.conllu, line 3: the upos of 'w02' is empty",
        name="t.conllu",
    ),
    case("no UPOS at all", conllu(["_", "_"]), fit("t.conllu"), "has no tags", name="t.conllu"),
    case(
        "csv has no lists",
        "tokens,tags\na b,A B\n",
        fit("t.csv"),
        r"row 0: 'tokens' is 'a b', not a list; csv has none",
        name="t.csv",
    ),
    *in_tables("jsonl"),
    *in_tables("parquet"),
]


def without_tags(folder: Path) -> None:
    """The test file has a column less: its words are to be tagged."""
    data = TaggingDataModule(str(folder), vocab_size=60)
    data.setup("fit")
    assert data.has_test
    assert not data.test_labelled
    data.setup("predict")
    assert data.sentences("predict")[0] == ["we", "saw", "Oslo", "."]


def make_without_tags(folder: Path) -> None:
    (folder / "train.conll").write_text(SENTENCE * 20)
    (folder / "dev.conll").write_text(SENTENCE)
    (folder / "test.conll").write_text(SENTENCE.replace(" O\n", "\n").replace(" B-LOC\n", "\n"))


def make_unknown_tag(folder: Path) -> None:
    make_without_tags(folder)
    (folder / "test.conll").write_text(SENTENCE.replace("B-LOC", "B-PER"))


INPUTS += [
    BadInput("a test file without the tags", make_without_tags, without_tags, ends="right", kind="tagged words"),
    BadInput(
        "a tag of the test file that training lacks",
        make_unknown_tag,
        lambda folder: TaggingDataModule(str(folder), vocab_size=60).setup("fit"),
        r"test\.conll, sentence 0: the tag 'B-PER' of 'Oslo' is none of the 2 tags",
        kind="tagged words",
    ),
]
