import json
import pickle
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from lhy_lightning.data.embedded.cldr import cldr_pairs
from lhy_lightning.data.tokenizers import text_tokenizer
from lhy_lightning.data.tokenizers.special_tokens import BOS, EOS, PAD, SPECIALS, TAG, UNK
from lhy_lightning.data.tokenizers.text_tokenizer import Kind, TextTokenizer

KINDS = get_args(Kind)
SUBWORDS = ("unigram", "bpe")
ENGLISH, CHINESE = (side[:400] for side in cldr_pairs()["train"])


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> TextTokenizer:
    return TextTokenizer.train(ENGLISH + CHINESE, kind=request.param, vocab_size=3000)


def test_special_tokens_come_first_in_every_vocabulary(tokenizer: TextTokenizer) -> None:
    assert (PAD, BOS, EOS, UNK, TAG) == (0, 1, 2, 3, 4)
    assert [tokenizer.id_of(token) for token in SPECIALS] == [0, 1, 2, 3, 4]
    assert min(ids.min() for ids in tokenizer.encode(ENGLISH)) > TAG
    assert max(ids.max() for ids in tokenizer.encode(ENGLISH)) < len(tokenizer)


def test_decoding_what_was_encoded_gives_the_text_back(tokenizer: TextTokenizer) -> None:
    ids = tokenizer.encode(ENGLISH + CHINESE)
    assert all(row.dtype == np.int32 and row.ndim == 1 for row in ids)
    assert [tokenizer.decode(row) for row in ids] == ENGLISH + CHINESE


def test_characters_keep_every_space() -> None:
    tokenizer = TextTokenizer.train(["a b\tc\u3000d"], kind="character", vocab_size=50)
    assert tokenizer.decode(tokenizer.encode(["  a  b\t\u3000"])[0]) == "  a  b\t\u3000"


@pytest.mark.parametrize("kind", SUBWORDS)
def test_subwords_keep_spaces_within_a_text(kind: Kind) -> None:
    tokenizer = TextTokenizer.train(["a bc d"], kind=kind, vocab_size=50)
    assert tokenizer.decode(tokenizer.encode(["a  bc   d"])[0]) == "a  bc   d"


def test_special_tokens_are_left_out_when_decoding_and_unknown_is_shown(tokenizer: TextTokenizer) -> None:
    ids = [BOS, TAG, *tokenizer.encode(["March"])[0].tolist(), EOS, PAD, PAD]
    assert tokenizer.decode(ids) == "March"
    assert "<unk>" in tokenizer.decode([UNK])


def test_ids_beyond_the_vocabulary_stand_for_copied_words() -> None:
    tokenizer = TextTokenizer.train(["to be or not"], kind="word", vocab_size=50)
    known = tokenizer.id_of("be")
    assert (
        tokenizer.decode([known or 0, len(tokenizer) + 1, len(tokenizer)], ["Yorick", "Horatio"]) == "be Horatio Yorick"
    )


def test_tokens_are_the_surface_behind_each_id(tokenizer: TextTokenizer) -> None:
    for text in ("March 5, 1987", "1987年3月5日", "Marchness☃ 5", "☃☃ x", "a </s> b"):
        tokens, ids = tokenizer.tokens(text), tokenizer.encode([text])[0]
        assert len(tokens) == len(ids)
        for token, number in zip(tokens, ids.tolist(), strict=True):
            assert tokenizer.id_of(token) == number if number != UNK else token in text


def test_unknown_words_and_characters_are_seen_as_unknown() -> None:
    word = TextTokenizer.train(["to be or not to be"], kind="word", vocab_size=7)
    assert word.encode(["be or to"])[0].tolist() == [5, UNK, 6]
    assert (word.tokens("be or to"), word.has_unknowns) == (["be", "or", "to"], True)
    for kind in SUBWORDS:
        subword = TextTokenizer.train(ENGLISH, kind=kind, vocab_size=300)
        assert UNK in subword.encode(["March ☃"])[0]
        assert not subword.has_unknowns


def test_words_and_characters_come_most_frequent_first_then_by_code_point() -> None:
    words = TextTokenizer.train(["b a c c", "c a b d"], kind="word", vocab_size=8)
    assert [words.id_of(word) for word in "cabd"] == [5, 6, 7, None]
    characters = TextTokenizer.train(["ba", "ab", "c"], kind="character", vocab_size=7)
    assert [characters.id_of(character) for character in "abc"] == [5, 6, None]


def test_a_special_token_in_a_text_is_text(tokenizer: TextTokenizer) -> None:
    ids = tokenizer.encode(["March </s> 5 <pad>", "<s>", "</s>", "<bt>March"])
    assert all(set(row.tolist()) & {PAD, BOS, EOS, TAG} == set() for row in ids)
    assert all(len(row) for row in ids)


def test_a_vocabulary_trained_on_special_tokens_does_not_confuse_them() -> None:
    for kind in KINDS:
        trained = TextTokenizer.train(["<s> a </s>", "<unk> a </s>"] * 5, kind=kind, vocab_size=100)
        assert [trained.id_of(token) for token in SPECIALS] == [0, 1, 2, 3, 4]
        assert not set(trained.encode(["<s> a </s>"])[0].tolist()) & {PAD, BOS, EOS, TAG}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_texts_give_the_same_json_again(kind: Kind) -> None:
    first, again = (TextTokenizer.train(ENGLISH + CHINESE, kind=kind, vocab_size=400) for _ in range(2))
    assert first.to_json() == again.to_json()


def test_rare_characters_of_a_unigram_vocabulary_do_not_depend_on_hash_order() -> None:
    texts = [*ENGLISH, "".join(map(chr, range(0x4E00, 0x4E00 + 60)))]
    states = {TextTokenizer.train(texts, kind="unigram", vocab_size=300).to_json() for _ in range(3)}
    assert len(states) == 1


def test_the_json_is_the_whole_state(tokenizer: TextTokenizer) -> None:
    for copy in (TextTokenizer.from_json(tokenizer.to_json()), pickle.loads(pickle.dumps(tokenizer))):
        assert (copy.to_json(), copy.kind, len(copy)) == (tokenizer.to_json(), tokenizer.kind, len(tokenizer))
        assert all(map(np.array_equal, copy.encode(CHINESE), tokenizer.encode(CHINESE)))


def test_an_even_sample_of_many_texts_still_knows_every_character(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_tokenizer, "_ENOUGH", 1000)
    for kind in SUBWORDS:
        trained = TextTokenizer.train([*ENGLISH, "☃"], kind=kind, vocab_size=300)
        assert trained.unknown_characters([*ENGLISH, "☃"])[0] == 0


def test_a_line_of_any_length_can_be_trained_on() -> None:
    for kind in SUBWORDS:
        trained = TextTokenizer.train(["ab" * 20_000, *ENGLISH], kind=kind, vocab_size=300)
        assert trained.decode(trained.encode(["ab" * 3000])[0]) == "ab" * 3000


def test_a_size_without_room_for_every_character_is_refused_with_the_number_needed() -> None:
    for kind in SUBWORDS:
        with pytest.raises(ValueError, match=r"vocab_size=8 is too small: the texts have 4 different .* make 9"):
            TextTokenizer.train(["ab cb"], kind=kind, vocab_size=8)
        assert TextTokenizer.train(["ab cb"], kind=kind, vocab_size=9).unknown_characters(["abc"]) == (0, 3)
    for kind in ("word", "character"):
        with pytest.raises(ValueError, match="has no room beside the 5 special tokens"):
            TextTokenizer.train(["ab cb"], kind=kind, vocab_size=5)


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_to_train_on_is_an_error(kind: Kind) -> None:
    with pytest.raises(ValueError, match="no text to train"):
        TextTokenizer.train([], kind=kind, vocab_size=100)
    with pytest.raises(ValueError, match="no text to train"):
        TextTokenizer.train(["", "  "], kind=kind, vocab_size=100)


def test_an_unknown_kind_names_those_that_exist() -> None:
    with pytest.raises(ValueError, match="choose one of unigram, bpe, word, character"):
        TextTokenizer.train(["a"], kind="wordpiece", vocab_size=10)  # type: ignore[arg-type]


# --- language ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_language_the_tokenizer_has_no_characters_for_is_refused(kind: Kind) -> None:
    english = TextTokenizer.train(ENGLISH, kind=kind, vocab_size=500)
    english.check_language(ENGLISH)
    with pytest.raises(ValueError, match=r"\d+% of the characters of the target .* trained on another language"):
        english.check_language(["這裡沒有一個字母", "沒有"], "target")


def test_a_fifth_of_unknown_characters_is_let_through_and_more_is_not() -> None:
    tokenizer = TextTokenizer.train(["abcd"], kind="character", vocab_size=50)
    tokenizer.check_language(["ab cd x"])
    with pytest.raises(ValueError, match="40%"):
        tokenizer.check_language(["abc xy"])


def test_unknown_words_of_known_characters_are_not_another_language() -> None:
    tokenizer = TextTokenizer.train(["to be or not"], kind="word", vocab_size=50)
    tokenizer.check_language(["boot robe eon"])


def test_no_texts_are_no_wrong_language(tokenizer: TextTokenizer) -> None:
    tokenizer.check_language([])
    assert tokenizer.encode([]) == []
    assert tokenizer.encode([""])[0].shape == (0,)


# --- given tokenizers -------------------------------------------------------------------------------------------------


def bert_like(folder: Path) -> Tokenizer:
    """A lower-casing WordPiece tokenizer with BERT's names and places of special tokens."""
    given = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    given.normalizer = normalizers.BertNormalizer()
    given.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    given.decoder = decoders.WordPiece()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    given.train_from_iterator(ENGLISH, trainers.WordPieceTrainer(vocab_size=300, special_tokens=names))
    given.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    given.enable_padding(length=64)
    given.save(str(folder / "tokenizer.json"))
    return given


def test_a_given_bert_tokenizer_cuts_as_before_with_our_special_ids(tmp_path: Path) -> None:
    given = bert_like(tmp_path)
    ours = TextTokenizer.from_file(tmp_path)
    assert [ours.id_of(token) for token in SPECIALS] == [0, 1, 2, 3, 4]
    given.no_padding()
    for text in ENGLISH[:50]:
        pieces = given.encode(text, add_special_tokens=False).tokens
        assert [ours.id_of(piece) for piece in pieces] == ours.encode([text])[0].tolist()
        assert ours.tokens(text) == pieces
    text = "thursday, march 5, 1987"
    assert ours.decode(ours.encode([text])[0]) == text
    assert ours.encode(["☃"])[0].tolist() == [UNK]
    assert TextTokenizer.from_json(ours.to_json()).to_json() == ours.to_json()
    with pytest.raises(ValueError, match="another language"):
        ours.check_language(CHINESE)


def test_a_given_unigram_tokenizer_keeps_its_segmentation(tmp_path: Path) -> None:
    given = Tokenizer(models.Unigram())
    given.pre_tokenizer, given.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    names = ["</s>", "<unk>", "<pad>"]
    given.train_from_iterator(
        ENGLISH, trainers.UnigramTrainer(vocab_size=300, special_tokens=names, unk_token="<unk>", show_progress=False)
    )
    given.save(str(tmp_path / "mine.json"))
    ours = TextTokenizer.from_file(tmp_path / "mine.json")
    for text in ENGLISH[:50]:
        assert ours.tokens(text) == given.encode(text).tokens
        assert ours.decode(ours.encode([text])[0]) == text
    assert ours.encode(["☃"])[0].tolist()[-1] == UNK


def test_a_given_byte_level_tokenizer_knows_every_language(tmp_path: Path) -> None:
    given = Tokenizer(models.BPE())
    given.pre_tokenizer, given.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    given.train_from_iterator(
        ENGLISH,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    given.add_tokens(["Zurich"])
    given.save(str(tmp_path / "tokenizer.json"))
    ours = TextTokenizer.from_file(tmp_path / "tokenizer.json")
    ours.check_language(CHINESE)
    text = "in Zurich 年"
    assert "Zurich" in ours.tokens(text)
    assert ours.decode(ours.encode([text])[0]) == text


def test_a_trained_tokenizer_read_back_from_a_file_is_unchanged(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json(), "utf8")
    again = TextTokenizer.from_file(tmp_path)
    assert again.kind == tokenizer.kind
    assert all(map(np.array_equal, again.encode(ENGLISH), tokenizer.encode(ENGLISH)))


def test_a_given_tokenizer_that_is_not_there_or_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no tokenizer\.json"):
        TextTokenizer.from_file(tmp_path)
    with pytest.raises(FileNotFoundError, match="could not be loaded from the Hugging Face hub"):
        TextTokenizer.from_file("nobody/no-such-tokenizer")
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": 1}))
    with pytest.raises(ValueError, match="is not a tokenizer of the `tokenizers` library"):
        TextTokenizer.from_file(tmp_path)


def test_another_librarys_state_is_not_taken_for_ours(tmp_path: Path) -> None:
    state = bert_like(tmp_path).to_str()
    with pytest.raises(ValueError, match=r"ids 0 to 4 are .*'\[PAD\]'.*TextTokenizer\.from_file renumbers"):
        TextTokenizer.from_json(state)
