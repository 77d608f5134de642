"""Tokenised pairs in a mapped file, and the batches that are cut out of it."""

import pickle
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from lhy_lightning.data.tokenizers.special_tokens import BOS, EOS, PAD, TAG, UNK
from lhy_lightning.data.tokenizers.text_tokenizer import TextTokenizer
from lhy_lightning.data.translation.extended_vocabulary import KnownWords
from lhy_lightning.data.translation.token_pairs import TokenPairs
from lhy_lightning.data.translation.token_store import TokenStore

SOURCE = ["a b c", "b", "", "a a c b b", "c zebra a yak zebra"]
TARGET = ["C A", "B B B", "A", "A A C zebra", "yak A ibis"]


@pytest.fixture(scope="module")
def words() -> tuple[TextTokenizer, TextTokenizer]:
    """Source vocabulary a, b, c and target vocabulary A, B, C, each after the five special tokens."""
    return (
        TextTokenizer.train(["a a a b b c"] * 9, kind="word", vocab_size=8),
        TextTokenizer.train(["A A A B B C"] * 9, kind="word", vocab_size=8),
    )


def store(words: tuple[TextTokenizer, TextTokenizer], folder: Path, **options: object) -> TokenStore:
    return TokenStore(SOURCE, TARGET, *words, folder=folder, **options)  # type: ignore[arg-type]


def ids(tokenizer: TextTokenizer, text: str) -> list[int]:
    return [tokenizer.id_of(word) or UNK for word in text.split()]


# --- the file ---------------------------------------------------------------------------------------------------------


def test_tokens_and_lengths_are_those_of_the_tokenizer_and_come_from_a_map(
    words: tuple[TextTokenizer, TextTokenizer], tmp_path: Path
) -> None:
    made = store(words, tmp_path)
    assert made.target is not None
    for row, (source, target) in enumerate(zip(SOURCE, TARGET, strict=True)):
        assert made.source.row(row).tolist() == ids(words[0], source)
        assert made.target.row(row).tolist() == ids(words[1], target)
    assert made.source.lengths.tolist() == [3, 1, 0, 5, 5]
    assert made.target.lengths.tolist() == [2, 3, 1, 4, 3]
    assert not made.source.values.flags.owndata, "a view, not a copy"
    assert [path.suffix for path in tmp_path.iterdir()] == [".arrow"]


def test_text_is_tokenised_once(words: tuple[TextTokenizer, TextTokenizer], tmp_path: Path) -> None:
    store(words, tmp_path)
    with patch.object(TextTokenizer, "encode", side_effect=AssertionError("tokenised again")):
        store(words, tmp_path)
        with pytest.raises(AssertionError, match="tokenised again"):
            TokenStore(SOURCE[:-1], TARGET[:-1], *words, folder=tmp_path)
        with pytest.raises(AssertionError, match="tokenised again"):
            store((words[0], words[0]), tmp_path)
        with pytest.raises(AssertionError, match="tokenised again"):
            store(words, tmp_path, tagged_from=3)


def test_a_truncated_file_is_made_anew(words: tuple[TextTokenizer, TextTokenizer], tmp_path: Path) -> None:
    whole = store(words, tmp_path).source.values.copy()
    [file] = tmp_path.iterdir()
    for length in (0, 7, file.stat().st_size // 2, file.stat().st_size - 3):
        content = file.read_bytes()
        file.write_bytes(content[:length])
        assert store(words, tmp_path).source.values.tolist() == whole.tolist()
        assert file.read_bytes() == content


def test_a_write_that_fails_leaves_no_file_and_says_what_to_do(
    words: tuple[TextTokenizer, TextTokenizer], tmp_path: Path
) -> None:
    full = OSError(28, "No space left on device")
    with (
        patch("pyarrow.ipc.RecordBatchFileWriter.write_batch", side_effect=full),
        pytest.raises(OSError, match=r"No space left on device.*--data\.cache_dir"),
    ):
        store(words, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_pickled_store_opens_its_file_in_the_worker(
    words: tuple[TextTokenizer, TextTokenizer], tmp_path: Path
) -> None:
    pairs = TokenPairs(store(words, tmp_path, copying=True))
    sent = pickle.dumps(pairs.store)
    assert len(sent) < 2000, "no tokens in it"
    received: TokenPairs = pickle.loads(pickle.dumps(pairs))
    assert torch.equal(received[[3, 4]]["copy_ids"], pairs[[3, 4]]["copy_ids"])
    assert received[[4]]["unknown_words"] == [["c", "zebra", "a", "yak"]]
    next(tmp_path.iterdir()).unlink()
    with pytest.raises(OSError, match="gone or damaged"):
        pickle.loads(sent)


# --- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_has_end_of_sentence_and_padding_where_the_contract_says(
    words: tuple[TextTokenizer, TextTokenizer], tmp_path: Path
) -> None:
    batch = TokenPairs(store(words, tmp_path), pad_to_multiple=1)[[0, 1]]
    a, b, c = ids(words[0], "a b c")
    big_a, big_b, big_c = ids(words[1], "A B C")
    assert batch["source_ids"].tolist() == [[a, b, c, EOS], [b, EOS, PAD, PAD]]
    assert batch["target_ids"].tolist() == [[BOS, big_c, big_a, EOS, PAD], [BOS, big_b, big_b, big_b, EOS]]
    assert batch["source_ids"].dtype == batch["target_ids"].dtype == torch.int64
    assert "index" not in batch


@pytest.mark.parametrize("multiple", [1, 4, 8])
def test_both_sides_are_padded_to_a_multiple(
    multiple: int, words: tuple[TextTokenizer, TextTokenizer], tmp_path: Path
) -> None:
    batch = TokenPairs(store(words, tmp_path), pad_to_multiple=multiple, index=True)[[3, 0]]
    assert batch["source_ids"].shape == (2, -(-6 // multiple) * multiple)
    assert batch["target_ids"].shape == (2, -(-6 // multiple) * multiple)
    assert batch["index"].tolist() == [3, 0]


def test_an_empty_line_is_a_row_of_its_own(words: tuple[TextTokenizer, TextTokenizer], tmp_path: Path) -> None:
    batch = TokenPairs(store(words, tmp_path), pad_to_multiple=4)[[2]]
    assert batch["source_ids"].tolist() == [[EOS, PAD, PAD, PAD]]


def test_long_rows_are_cut_and_still_end(words: tuple[TextTokenizer, TextTokenizer], tmp_path: Path) -> None:
    pairs = TokenPairs(store(words, tmp_path), max_length=2, pad_to_multiple=1)
    batch, (a, _, c) = pairs[[3, 0]], ids(words[0], "a b c")
    assert batch["source_ids"].tolist()[0] == [a, a, EOS]
    assert batch["target_ids"].shape == (2, 4)
    assert pairs.source_lengths.tolist() == [3, 2, 1, 3, 3]
    assert c not in batch["source_ids"]


def test_chosen_rows_are_numbered_through(words: tuple[TextTokenizer, TextTokenizer], tmp_path: Path) -> None:
    pairs = TokenPairs(store(words, tmp_path), rows=np.array([1, 3]), pad_to_multiple=1, index=True)
    assert len(pairs) == 2
    assert pairs.source_lengths.tolist() == [2, 6]
    batch = pairs[[1]]
    assert batch["source_ids"].tolist()[0][:-1] == ids(words[0], SOURCE[3])
    assert batch["index"].tolist() == [1]


def test_tagged_rows_start_with_the_tag(words: tuple[TextTokenizer, TextTokenizer], tmp_path: Path) -> None:
    made = store(words, tmp_path, tagged_from=3, copying=True)
    batch = TokenPairs(made, pad_to_multiple=1)[[0, 3]]
    assert batch["source_ids"][:, 0].tolist() == [ids(words[0], "a")[0], TAG]
    assert batch["copy_ids"][1, 0] == TAG
    assert batch["copy_ids"].shape == batch["source_ids"].shape
    assert made.source.lengths.tolist() == [3, 1, 0, 6, 6]


def test_rows_without_target(words: tuple[TextTokenizer, TextTokenizer], tmp_path: Path) -> None:
    pairs = TokenPairs(TokenStore(SOURCE, None, *words, folder=tmp_path, copying=True))
    assert set(pairs[[0]]) == {"source_ids", "copy_ids", "unknown_words"}
    assert pairs.target_lengths is None


def test_a_batch_of_100_rows_of_20_tokens_takes_less_than_a_millisecond(
    words: tuple[TextTokenizer, TextTokenizer], tmp_path: Path
) -> None:
    texts = ["a b c b " * 5] * 1000
    pairs = TokenPairs(TokenStore(texts, texts, *words, folder=tmp_path))
    rows, times = list(range(0, 1000, 10)), []
    for _ in range(20):
        start = time.perf_counter()
        pairs[rows]
        times.append(time.perf_counter() - start)
    assert min(times) < 1e-3


# --- copying ----------------------------------------------------------------------------------------------------------


def test_unknown_words_are_numbered_from_the_size_of_the_vocabulary(
    words: tuple[TextTokenizer, TextTokenizer], tmp_path: Path
) -> None:
    """Row 4: the source "c zebra a yak zebra" has no word of the target's vocabulary (A, B, C)."""
    joint = TextTokenizer.train(["a a a b b c"] * 9, kind="word", vocab_size=8)
    made = TokenStore(["c zebra a yak zebra"], ["yak a ibis zebra"], joint, joint, folder=tmp_path, copying=True)
    batch, size = TokenPairs(made, pad_to_multiple=8)[[0]], len(joint)
    a, c = ids(joint, "a c")
    assert size == 8
    assert batch["unknown_words"] == [["zebra", "yak"]]
    assert batch["source_ids"].tolist() == [[c, UNK, a, UNK, UNK, EOS, PAD, PAD]]
    assert batch["copy_ids"].tolist() == [[c, 8, a, 9, 8, EOS, PAD, PAD]]
    assert batch["target_ids"].tolist() == [[BOS, UNK, a, UNK, UNK, EOS, PAD, PAD]]
    assert batch["copy_targets"].tolist() == [[BOS, 9, a, UNK, 8, EOS, PAD, PAD]]  # no ibis in the source
    assert joint.decode(batch["copy_targets"][0].tolist(), batch["unknown_words"][0]).split()[0] == "yak"


def test_with_two_vocabularies_source_words_are_known_by_the_targets(
    words: tuple[TextTokenizer, TextTokenizer], tmp_path: Path
) -> None:
    made = store(words, tmp_path, copying=True)
    batch, size = TokenPairs(made, pad_to_multiple=1)[[3]], len(words[1])
    assert batch["unknown_words"] == [["a", "c", "b"]]
    assert batch["copy_ids"].tolist() == [[size, size, size + 1, size + 2, size + 2, EOS]]
    big_a, big_c = ids(words[1], "A C")
    assert batch["copy_targets"].tolist() == [[BOS, big_a, big_a, big_c, UNK, EOS]]
    assert made.unknown_words(4) == ["c", "zebra", "a", "yak"]


def test_a_special_token_written_out_in_a_text_is_a_word_like_others(tmp_path: Path) -> None:
    known = KnownWords(TextTokenizer.train(["a b"] * 9, kind="word", vocab_size=8))
    assert known["<s>"] is None
    assert known["<pad>"] is None
    assert known["a"] is not None
