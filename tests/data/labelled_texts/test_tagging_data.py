"""Tagged sentences: every word has at least one piece and exactly one tag, whatever the tokenizer makes of it."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Sequence as Listed
from jsonargparse import ArgumentParser
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from lhy_lightning.data.embedded.mentions import NAMES, SIZES, mentions
from lhy_lightning.data.labelled_texts.tag_batches import IGNORED, TagBatches
from lhy_lightning.data.labelled_texts.tagged_files import open_tagged_text
from lhy_lightning.data.labelled_texts.tagging_data import TaggingDataModule
from lhy_lightning.data.labelled_texts.word_pieces import joined, parts_of_sentences, pieces_of_words
from lhy_lightning.data.sequences.ragged import ragged
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer
from tests.bert.conftest import tokenizer  # noqa: F401

CONLLU = """\
# sent_id = 1
# text = I don't, really.
1\tI\tI\tPRON\tPRP\t_\t3\tnsubj\t_\t_
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
2\tdo\tdo\tAUX\tVBP\t_\t0\troot\t_\t_
3\tn't\tnot\tPART\tRB\t_\t2\tadvmod\t_\t_
3.1\telided\t_\tVERB\t_\t_\t_\t_\t_\t_
4\t,\t,\tPUNCT\t,\t_\t2\tpunct\t_\t_
5\treally\treally\tADV\tRB\t_\t2\tadvmod\t_\t_

# sent_id = 2
1\t10 000\t10000\tNUM\tCD\t_\t0\troot\t_\t_
"""
BIO = "-DOCSTART- -X- O O\n\nWolff NNP B-NP B-PER\n, , O O\nBuenos NNP B-NP B-LOC\nAires NNP I-NP I-LOC\n\n\n. . O O"

ODD = [
    ["The", "unbelievably", "uncomfortable", "café"],
    ["\u200b", "\u0301", "猫坐", "😀👨‍👩‍👧", "…", "\x00"],  # a tokenizer drops some of these altogether
    ["10 000", "a\u00a0b", "[SEP]", "x" * 150],
    ["one"],
]


def byte_level() -> EncoderTokenizer:
    """RoBERTa's kind: a piece takes the space before its word with it."""
    backend = Tokenizer(models.BPE({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, **{
        piece: number for number, piece in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()), 4)
    }}, [], unk_token="<unk>"))  # fmt: skip
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True)
    backend.decoder = decoders.ByteLevel()
    return _wrapped(backend)


def spaces_apart() -> EncoderTokenizer:
    """XLM-RoBERTa's kind: the space before a word may be a piece of its own."""
    backend = Tokenizer(models.Unigram([("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -99.0), ("▁", -1.0),
        *((character, -2.0) for character in "abcdefghijklmnopqrstuvwxyzTO0123456789")], unk_id=3))  # fmt: skip
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    return _wrapped(backend)


def _wrapped(backend: Tokenizer) -> EncoderTokenizer:
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=["input_ids"], **names)
    settings = {"specials": names, "model_input_names": ["input_ids"], "padding_side": "right", "max_length": None}
    state = {"tokenizer": json.loads(wrapped.backend_tokenizer.to_str()), "settings": settings}
    return EncoderTokenizer(json.dumps(state))


@pytest.fixture(params=["wordpiece", "byte_level", "spaces_apart"])
def kind(request: pytest.FixtureRequest, tokenizer: EncoderTokenizer) -> EncoderTokenizer:  # noqa: F811
    return {"wordpiece": lambda: tokenizer, "byte_level": byte_level, "spaces_apart": spaces_apart}[request.param]()


def pieces(sentences: list[list[str]], with_: EncoderTokenizer) -> Any:
    ids, _, ends = with_.encode_with_offsets(list(map(joined, sentences)))
    return pieces_of_words(sentences, ragged(ids), ragged(ends), with_.unk_id)


# --- alignment --------------------------------------------------------------------------------------------------------


def test_every_odd_word_has_a_piece_and_pieces_stay_in_order(kind: EncoderTokenizer) -> None:
    found = pieces(ODD, kind)
    counts = np.diff(found.word_ends)
    assert len(counts) == sum(map(len, ODD))
    assert (counts >= 1).all()
    assert found.sentence_ends.tolist() == [0, 4, 10, 14, 15]
    for sentence, words in enumerate(ODD):
        first, end = found.word_ends[found.sentence_ends[[sentence, sentence + 1]]]
        whole = kind.encode([joined(words)])[0].tolist()
        mine = found.ids[first:end].tolist()
        place = -1
        for number in whole:  # the sentence's own pieces, in order; only unknown tokens may stand between them
            place = mine.index(number, place + 1)
        assert len(mine) - len(whole) == sum(piece == kind.unk_id for piece in mine) - whole.count(kind.unk_id)


def test_a_words_pieces_are_those_it_has_alone_where_words_are_cut_alone(tokenizer: EncoderTokenizer) -> None:  # noqa: F811
    words = ["The", "unbelievably", "猫坐", "café", "don't"]
    found = pieces([words], tokenizer)
    for place, word in enumerate(words):
        ids = found.ids[found.word_ends[place] : found.word_ends[place + 1]]
        assert ids.tolist() == tokenizer.encode([word])[0].tolist()


def test_a_piece_that_is_a_space_belongs_to_the_word_behind_it() -> None:
    with_spaces = spaces_apart()
    found = pieces([["ab", "c"], ["d"]], with_spaces)
    shown = [with_spaces.pieces(found.ids[a:b]) for a, b in zip(found.word_ends[:-1], found.word_ends[1:], strict=True)]
    assert shown == [["▁", "a", "b"], ["▁", "c"], ["▁", "d"]]
    levels = byte_level()
    found = pieces([["ab", "c"]], levels)
    shown = [levels.pieces(found.ids[a:b]) for a, b in zip(found.word_ends[:-1], found.word_ends[1:], strict=True)]
    assert shown == [["a", "b"], ["Ġ", "c"]]


def test_tags_are_on_the_first_pieces_and_nowhere_else(kind: EncoderTokenizer) -> None:
    found, tags = pieces(ODD, kind), np.arange(15)
    batches = TagBatches(found, tags, kind, max_length=400, index=True)
    batch = batches[[3, 0, 2, 1]]
    assert batch["sentence"].tolist() == batch["index"].tolist() == [3, 0, 2, 1]
    order = [14, *range(4), *range(10, 14), *range(4, 10)]
    assert batch["labels"][batch["first_pieces"]].tolist() == order
    assert (batch["labels"][~batch["first_pieces"]] == IGNORED).all()
    first_ids = batch["input_ids"][batch["first_pieces"]].tolist()
    assert first_ids == [int(found.ids[found.word_ends[word]]) for word in order]
    for row, length in enumerate(batch["attention_mask"].sum(1).tolist()):
        assert batch["input_ids"][row, 0] == kind.cls_id
        assert batch["input_ids"][row, length - 1] == kind.sep_id
        assert (batch["input_ids"][row, length:] == kind.pad_id).all()
        assert not batch["first_pieces"][row, length - 1 :].any()
    assert batch["input_ids"].shape[1] % 8 == 0


def test_a_long_sentence_is_cut_between_words_and_no_word_is_lost(kind: EncoderTokenizer) -> None:
    sentences = [["unbelievably"] * 9, ["one"], ["x" * 60, "b", "c"]]
    found, total = pieces(sentences, kind), 13
    batches = TagBatches(found, np.arange(total), kind, max_length=10, index=True)
    assert (batches.lengths <= 10).all()
    everything = [batches[[row]] for row in range(len(batches))]
    assert [int(tag) for batch in everything for tag in batch["labels"][batch["first_pieces"]]] == list(range(total))
    assert [int(batch["sentence"]) for batch in everything] == sorted(int(batch["sentence"]) for batch in everything)
    assert len(batches) > 3


def test_parts_are_as_long_as_they_can_be(tokenizer: EncoderTokenizer) -> None:  # noqa: F811
    found = pieces([["one"] * 10], tokenizer)
    each = int(found.word_ends[1])
    assert parts_of_sentences(found, 4 * each).tolist() == [[0, 0, 4], [0, 4, 8], [0, 8, 10]]
    assert parts_of_sentences(found, 10 * each).tolist() == [[0, 0, 10]]


# --- sources ----------------------------------------------------------------------------------------------------------


def ready(source: object, stage: str = "fit", **options: Any) -> TaggingDataModule:
    data = TaggingDataModule(str(source), **{"vocab_size": 80, **options})
    data.setup(stage)
    return data


def test_conllu_has_the_words_with_whole_numbers(tmp_path: Path) -> None:
    (tmp_path / "en.conllu").write_text(CONLLU, "utf8")
    found = open_tagged_text(str(tmp_path / "en.conllu"))["train"]
    assert found.words == [["I", "do", "n't", ",", "really"], ["10 000"]]
    assert found.tags == [["PRON", "AUX", "PART", "PUNCT", "ADV"], ["NUM"]]
    assert open_tagged_text(str(tmp_path / "en.conllu"), tag_column="xpos")["train"].tags == [
        ["PRP", "VBP", "RB", ",", "RB"], ["CD"],
    ]  # fmt: skip
    with pytest.raises(ValueError, match="tag_column='pos': a CoNLL-U file has id, form"):
        open_tagged_text(str(tmp_path / "en.conllu"), tag_column="pos")


def test_bio_takes_the_last_column_or_the_one_asked_for(tmp_path: Path) -> None:
    (tmp_path / "ner.bio").write_text(BIO, "utf8")
    found = open_tagged_text(str(tmp_path / "ner.bio"))["train"]
    assert found.words == [["Wolff", ",", "Buenos", "Aires"], ["."]]
    assert found.tags == [["B-PER", "O", "B-LOC", "I-LOC"], ["O"]]
    chunks = open_tagged_text(str(tmp_path / "ner.bio"), tag_column="2")["train"]
    assert chunks.tags == [["B-NP", "O", "B-NP", "I-NP"], ["O"]]


def test_a_folder_of_universal_dependencies_is_read_gzipped_or_not(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "en_ewt-ud-train.rebuilt.conllu.gz", "wt", encoding="utf8") as file:
        file.write(CONLLU)
    for split in ("dev", "test"):
        (tmp_path / f"en_ewt-ud-{split}.conllu").write_text(CONLLU, "utf8")
    data = ready(tmp_path)
    data.setup("test")
    assert data.tag_names == ("ADV", "AUX", "NUM", "PART", "PRON", "PUNCT")
    assert data.has_test
    assert data.test_labelled
    assert data.sentences("test") == data.sentences("train")


def test_a_table_of_lists_has_the_names_of_its_tags(tmp_path: Path) -> None:
    names = ClassLabel(names=["O", "B-PER", "I-PER"])
    features = Features({"tokens": Listed(Value("string")), "ner_tags": Listed(names)})
    rows = {"tokens": [[f"w{n}", "x"] for n in range(20)], "ner_tags": [[n % 3, 0] for n in range(20)]}
    Dataset.from_dict(rows, features).to_parquet(str(tmp_path / "ner.parquet"))
    found = open_tagged_text(str(tmp_path / "ner.parquet"))["train"]
    assert found.tags is not None
    assert found.tags[1] == ["B-PER", "O"]


def test_embedded_mentions_are_tagged_in_both_languages_and_share_no_name() -> None:
    for side in (0, 1):
        found = mentions(side)
        people = {}
        for split, size in SIZES.items():
            assert len(found[split]) == size
            pairs = [pair for sentence in found[split] for pair in zip(*sentence, strict=True)]
            people[split] = {word for word, tag in pairs if tag == "B-PERSON"}
            assert {"O", "B-PERSON", "B-PLACE", "B-MONEY", "I-MONEY", "B-DATE", "B-DURATION"} <= {
                tag for _, tag in pairs
            }
            assert len(people[split]) <= NAMES[split]
        assert not people["train"] & {*people["val"], *people["test"]}
    words, tags = mentions(0)["train"][0]
    assert list(zip(words, tags, strict=True))[:5] == [
        ("Sitroko", "B-PERSON"), ("waited", "O"), ("17", "B-DURATION"), ("minutes", "I-DURATION"), ("for", "O"),
    ]  # fmt: skip


def test_equal_sentences_stay_on_one_side(tmp_path: Path) -> None:
    rows = "".join(f"word{n % 40} N\nend V\n\n" for n in range(200))
    (tmp_path / "t.bio").write_text(rows, "utf8")
    data = ready(tmp_path / "t.bio", val_fraction=0.25)
    sides = [{joined(words) for words in data.sentences(split)} for split in ("train", "val")]  # type: ignore[arg-type]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == 10


def test_sentences_to_tag_are_lines_of_words_or_conllu(tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("one two\n\nthree\n", "utf8")
    (tmp_path / "new.conllu").write_text(CONLLU, "utf8")
    data = ready("embedded:mentions", "predict", predict_source=str(tmp_path / "new.txt"), max_length=16)
    assert data.sentences("predict") == [["one", "two"], [], ["three"]]
    assert [(sentence, start, end) for sentence, start, end in data.parts("predict")] == [(0, 0, 2), (2, 0, 1)]
    batch = next(iter(data.predict_dataloader()))
    assert "labels" not in batch
    data = ready("embedded:mentions", "predict", predict_source=str(tmp_path / "new.conllu"))
    assert data.sentences("predict")[1] == ["10 000"]


def test_bad_input_names_its_line_or_sentence(tmp_path: Path) -> None:
    def opened(text: str, name: str = "t.bio") -> Any:
        (tmp_path / name).write_text(text, "utf8")
        return open_tagged_text(str(tmp_path / name))

    with pytest.raises(ValueError, match=r"line 2: 'alone' has no tag"):
        opened("one N\nalone\n")
    with pytest.raises(ValueError, match=r"line 1: 3 tab-separated columns, CoNLL-U has 10"):
        opened("1\tone\tN\n", "t.conllu")
    with pytest.raises(ValueError, match=r"line 1: 'one N' is no line of CoNLL-U"):
        opened("one N\n", "t.conllu")
    with pytest.raises(ValueError, match="has no sentences"):
        opened("# nothing\n", "t.conllu")
    with pytest.raises(FileNotFoundError, match="no embedded source"):
        open_tagged_text("embedded:none")
    with pytest.raises(ValueError, match="tag_column='upos': files of columns have places"):
        open_tagged_text(str(tmp_path / "t.bio"), tag_column="upos")
    train, dev = tmp_path / "train.bio", tmp_path / "dev.bio"
    train.write_text("one N\ntwo V\n", "utf8")
    dev.write_text("one N\n\ntwo X\n", "utf8")
    with pytest.raises(ValueError, match=r"sentence 1: the tag 'X' of 'two' is none of the 2 tags .*\(N, V\)"):
        ready(train, val_source=str(dev))


def test_hyperparameters_equal_the_signature_and_every_argument_is_a_flag() -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(TaggingDataModule, "data")
    assert set(parser.parse_args([]).data.as_dict()) == set(TaggingDataModule().hparams)


def test_every_sentence_is_evaluated_once(tmp_path: Path) -> None:
    data = ready("embedded:mentions", "test", max_length=12, vocab_size=300)
    rows = torch.cat([batch["index"] for batch in data.test_dataloader()])
    assert sorted(rows.tolist()) == list(range(len(data.parts("test"))))
    assert len(data.parts("test")) > SIZES["test"]  # some are cut at so few tokens
