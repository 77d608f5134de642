"""The tokenizer of an encoder: its pieces and their places, special tokens, one string that holds all of it."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lhy_lightning.data.tokenizers.encoder_choice import TokenizerChoice
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer
from lhy_lightning.data.tokenizers.wordpiece import SPECIALS
from tests.bert.conftest import TEXTS, tiny_encoder, tokenizer  # noqa: F401


def test_pieces_stand_where_their_offsets_say(tokenizer: EncoderTokenizer) -> None:  # noqa: F811
    for text in (*TEXTS, "The 猫 sat.😀 Café", "ＡＢ全角　空", "e\u0301galite\u0301", "👨‍👩‍👧 family", ""):
        (ids,), (starts,), (ends,) = tokenizer.encode_with_offsets([text])
        assert (starts < ends).all()
        assert (ends <= len(text)).all()
        assert (starts[1:] >= starts[:-1]).all()
        assert tokenizer.encode([text])[0].tolist() == ids.tolist()
    (_,), (starts,), (ends,) = tokenizer.encode_with_offsets(["😀猫 Café"])
    assert ["😀猫 Café"[s:e] for s, e in zip(starts[:2], ends[:2], strict=True)] == ["😀", "猫"]
    assert ends[-1] == len("😀猫 Café")  # counted in characters, not in bytes


def test_kept_words_of_chinese_characters_are_cut_as_all_others_are() -> None:
    """An encoder from scratch sees by `##` where the words of a treebank go on, whatever script they are in."""
    texts = ["北京 是 首都", "北 是 北"] * 5
    kept = EncoderTokenizer.train(texts, vocabulary_size=60, keep_words=True)
    apart = EncoderTokenizer.train(texts, vocabulary_size=60)
    words = ["北京", "是", "北"]
    assert [piece.startswith("##") for piece in apart.pieces(apart.encode([" ".join(words)])[0])] == [False] * 4
    pieces = [kept.pieces(kept.encode([word])[0]) for word in words]
    assert ["".join(piece.removeprefix("##") for piece in parts) for parts in pieces] == words
    assert all(not parts[0].startswith("##") and all(p.startswith("##") for p in parts[1:]) for parts in pieces)
    latin = dict(zip("北京是首都", "abcde", strict=True))
    mapped = EncoderTokenizer.train(
        ["".join(latin.get(character, character) for character in line) for line in texts],
        vocabulary_size=60, keep_words=True,
    )  # fmt: skip
    assert len(mapped) == len(kept)  # the script makes no difference


def test_special_tokens_are_never_found_in_text(tokenizer: EncoderTokenizer) -> None:  # noqa: F811
    ids = tokenizer.encode(["a [SEP] b [CLS] [PAD] [MASK]"])[0]
    assert not set(ids.tolist()) & {tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id}


def test_special_tokens_round_one_text_and_two_are_berts(tokenizer: EncoderTokenizer) -> None:  # noqa: F811
    cls, sep = tokenizer.cls_id, tokenizer.sep_id
    assert [part.tolist() for part in tokenizer.pair_template.ids] == [[cls], [sep], [sep]]
    assert [part.tolist() for part in tokenizer.pair_template.types] == [[0], [0], [1]]
    assert tokenizer.pair_template.text_types == (0, 1)
    assert (tokenizer.single_template.added, tokenizer.pair_template.added) == (2, 3)


def roberta_like(folder: Path) -> Path:
    """Another family's tokenizer: other names and ids, two separators between texts, no segments."""
    vocabulary = {name: number for number, name in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "b"])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>"}
    PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", mask_token="<mask>", model_max_length=77,
        model_input_names=["input_ids", "attention_mask"], **names,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def test_another_familys_special_tokens_are_read_off(tmp_path: Path) -> None:
    found = EncoderTokenizer.from_pretrained(roberta_like(tmp_path))
    assert [part.tolist() for part in found.pair_template.ids] == [[0], [2, 2], [2]]
    assert (found.pad_id, found.unk_id, found.cls_id, found.sep_id, found.mask_id) == (1, 3, 0, 2, 4)
    assert not found.token_types
    assert found.max_length == 77


def test_one_string_holds_all_of_it(tokenizer: EncoderTokenizer, tmp_path: Path) -> None:  # noqa: F811
    for one in (tokenizer, EncoderTokenizer.from_pretrained(roberta_like(tmp_path))):
        for again in (EncoderTokenizer.from_json(one.to_json()), pickle.loads(pickle.dumps(one))):
            assert again.to_json() == one.to_json()
            assert np.array_equal(again.encode(["a b"])[0], one.encode(["a b"])[0])


def test_transformers_opens_what_was_saved_and_gives_the_same_ids(
    tokenizer: EncoderTokenizer,  # noqa: F811
    tmp_path: Path,
) -> None:
    tokenizer.transformers().save_pretrained(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    for first, second in zip(TEXTS, reversed(TEXTS), strict=True):
        given = theirs(first, second)
        before, between, after = (part.tolist() for part in tokenizer.pair_template.ids)
        ids = [part.tolist() for part in tokenizer.encode([first, second])]
        assert given["input_ids"] == [*before, *ids[0], *between, *ids[1], *after]
        assert sum(given["token_type_ids"]) == len(ids[1]) + 1
    assert theirs.model_max_length == 512
    assert EncoderTokenizer.from_pretrained(tmp_path).to_json() == tokenizer.to_json()


TRAINED = """
import json, sys
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer
print(EncoderTokenizer.train(json.load(open(sys.argv[1])), vocabulary_size=70).to_json(), end="")
"""


def test_equal_texts_give_equal_pieces_in_another_process_and_order(tmp_path: Path) -> None:
    rare = [chr(0x4E00 + place) for place in range(300)]  # equally rare: more than there is room for
    texts = [*TEXTS, *rare]
    (tmp_path / "texts.json").write_text(json.dumps(texts[::-1]))
    command = [sys.executable, "-c", TRAINED, str(tmp_path / "texts.json")]
    elsewhere = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    here = EncoderTokenizer.train(texts, vocabulary_size=70)
    assert elsewhere == here.to_json()
    assert len(here) <= 70
    assert [here.pieces([number])[0] for number in range(5)] == list(SPECIALS)


def test_every_chinese_character_is_a_piece_of_its_own(tokenizer: EncoderTokenizer) -> None:  # noqa: F811
    assert tokenizer.pieces(tokenizer.encode(["猫坐在"])[0]) == ["猫", "坐", "在"]


def test_case_is_kept_where_it_is_asked_for() -> None:
    kept = EncoderTokenizer.train(["Apple apple", "Éa éa"] * 3, vocabulary_size=60, lowercase=False)
    first, second = (kept.encode([text])[0].tolist() for text in ("Apple", "apple"))
    assert first != second
    assert kept.unk_id not in kept.encode(["É"])[0]


def test_bad_input_says_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no text to train a tokenizer on"):
        EncoderTokenizer.train(["", " "])
    with pytest.raises(ValueError, match="vocab_size=5 has no room"):
        EncoderTokenizer.train(["a"], vocabulary_size=5)
    with pytest.raises(
        FileNotFoundError, match=r"'nobody/nothing' is no folder here.*point --model.encoder to a local"
    ):
        EncoderTokenizer.from_pretrained("nobody/nothing")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no tokenizer that transformers can read"):
        EncoderTokenizer.from_pretrained(tmp_path)


def test_a_folder_without_a_tokenizer_is_an_error_and_no_tokenizer_of_unknown_pieces(
    tiny_encoder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    (tmp_path / "config.json").write_text((tiny_encoder / "config.json").read_text())
    with pytest.raises(ValueError, match=r"has no tokenizer: .* special tokens alone\. Put .*tokenizer\.json"):
        EncoderTokenizer.from_pretrained(tmp_path)


def test_the_checkpoints_tokenizer_comes_first_then_a_given_one_then_the_encoders_then_a_new_one(
    tokenizer: EncoderTokenizer,  # noqa: F811
    tiny_encoder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    class Module:
        def __init__(self, **hparams: str | None) -> None:
            self.hparams = hparams

    def texts() -> list[str]:
        assert wanted_training, "a tokenizer is at hand, none is to be trained"
        return TEXTS

    wanted_training = False
    given = roberta_like(tmp_path / "given")
    choice = TokenizerChoice(None, 60, True)
    stored = EncoderTokenizer.train(["x y z"]).to_json()
    both = Module(tokenizer=stored, encoder=str(tiny_encoder))
    assert TokenizerChoice(str(given), 60, True).choose(both, texts, tmp_path).to_json() == stored
    fresh = Module(tokenizer=None, encoder=str(tiny_encoder))
    assert len(TokenizerChoice(str(given), 60, True).choose(fresh, texts, tmp_path)) == 7
    assert choice.choose(fresh, texts, tmp_path).to_json() == tokenizer.to_json()
    wanted_training = True
    new = choice.choose(None, texts, tmp_path)
    assert len(new) <= 60
    for file in tmp_path.glob("*.tokenizer"):
        file.write_text("{damaged")
    assert choice.choose(None, texts, tmp_path).to_json() == new.to_json()
