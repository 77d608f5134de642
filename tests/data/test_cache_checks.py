"""Caches that a disk has damaged are made anew with a word, and hold then what they held before."""

import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lhy_lightning.data import cache_checks
from lhy_lightning.data.cache_checks import BLOCK, BlockSums, chosen_blocks, same_bytes
from lhy_lightning.data.images.image_store import ImageStore, read_headers
from lhy_lightning.data.images.reading.readers import FilePictures
from lhy_lightning.data.texts.encoded_texts import EncodedTexts
from lhy_lightning.data.tokenizers.encoder_choice import TokenizerChoice
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer
from lhy_lightning.data.tokenizers.text_tokenizer import TextTokenizer
from lhy_lightning.data.translation.token_store import TokenStore
from lhy_lightning.metrics.generation.feature_statistics import real_statistics

Writer = Callable[..., Path]
TEXTS = [f"a b c d{row % 7} e{row}" for row in range(300)]

# --- what is cached --------------------------------------------------------------------------------------------------


def pictures(folder: Path, cache: Path) -> Any:
    found = FilePictures(folder, [f"{row}.png" for row in range(10)])
    store = ImageStore(found, size=(6, 8), channels=3, resize="stretch", folder=cache, keep=True)
    return [store.take(np.arange(10)).tolist(), store.content.tolist(), read_headers(found, cache).tolist()]


def pairs(folder: Path, cache: Path) -> Any:
    words = TextTokenizer.train(TEXTS[:20], kind="word", vocab_size=20)
    store = TokenStore(TEXTS, TEXTS[::-1], words, words, folder=cache, copying=True)
    assert store.target is not None
    rows = [(store.source.row(row).tolist(), store.target.row(row).tolist()) for row in range(len(TEXTS))]
    return [rows, [store.unknown_words(row) for row in range(len(TEXTS))]]


def texts(folder: Path, cache: Path) -> Any:
    pieces = EncoderTokenizer.train(TEXTS[:20], vocabulary_size=60)
    store = EncodedTexts(TEXTS, pieces, folder=cache)
    return [(store.ids.row(row).tolist(), store.starts.row(row).tolist()) for row in range(len(TEXTS))]


def tokenizer(folder: Path, cache: Path) -> Any:
    return TokenizerChoice(None, 60, True).choose(None, lambda: TEXTS[:20], cache).to_json()


def statistics(folder: Path, cache: Path) -> Any:
    batches = [torch.linspace(-1, 1, 8 * 4).view(8, 1, 2, 2)]
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    torch.nn.init.constant_(network[1].weight, 0.5)
    torch.nn.init.zeros_(network[1].bias)
    found = real_statistics(batches, network, cache_dir=cache)
    return [found.mean.tolist(), found.covariance.tolist(), found.count]


# --- what happens to it ----------------------------------------------------------------------------------------------


def flip(content: bytearray, share: float) -> None:
    content[int(share * (len(content) - 1))] ^= 0x04


DAMAGE: dict[str, Callable[[bytearray], None]] = {
    **{f"a byte at {share}": (lambda content, share=share: flip(content, share)) for share in (0.35, 0.5, 0.65)},
    "cut": lambda content: content.__delitem__(slice(len(content) * 2 // 3, None)),
    "zeros": lambda content: content.__setitem__(
        slice(len(content) // 3, len(content) // 2), bytes(len(content) // 2 - len(content) // 3)
    ),
    "empty": bytearray.clear,
}  # fmt: skip


@pytest.mark.parametrize("cached", [pictures, pairs, texts, tokenizer, statistics])
def test_a_damaged_cache_is_made_anew_with_a_word(
    cached: Callable[[Path, Path], Any], tmp_path: Path, write_picture: Writer
) -> None:
    for row in range(10):
        write_picture(tmp_path / f"set/{row}.png", row)
    cache = tmp_path / "cache"
    before = cached(tmp_path / "set", cache)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cached(tmp_path / "set", cache) == before
    files = sorted(cache.iterdir())
    assert files
    for file in files:
        good = file.read_bytes()
        for name, damage in DAMAGE.items():
            content = bytearray(good)
            damage(content)
            file.write_bytes(content)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                again = cached(tmp_path / "set", cache)
            assert again == before, (file.name, name)
            told = any(f"{file.name} is damaged, so it is made anew" in str(one.message) for one in caught)
            # some bytes of an archive's own, such as its times, may be any
            assert told or (file.suffix == ".npz" and name.startswith("a byte")), (file.name, name)
            assert sorted(cache.iterdir()) == files
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert cached(tmp_path / "set", cache) == before


# --- blocks ----------------------------------------------------------------------------------------------------------


def test_sums_are_of_blocks_however_the_stream_comes() -> None:
    content = bytes(range(250)) * 7
    for piece in (1, 13, 100, 999, 5000):
        sums = BlockSums(block=100)
        for first in range(0, len(content), piece):
            sums.add(content[first : first + piece])
        assert sums.sums().tolist() == [zlib.crc32(content[at : at + 100]) for at in range(0, len(content), 100)]


def test_a_large_file_is_compared_in_64_places_the_ends_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_blocks(0) == []
    assert chosen_blocks(3) == [0, 1, 2]
    chosen = chosen_blocks(1000)
    assert (len(chosen), chosen[0], chosen[-1]) == (64, 0, 999)
    monkeypatch.setattr(cache_checks, "AT_START", 3)
    pixels, sums = np.arange(5 * BLOCK, dtype=np.int64).astype(np.uint8), BlockSums()
    sums.add(pixels.tobytes())
    for block, found in ((0, True), (1, False), (2, True), (4, True)):
        changed = pixels.copy()
        changed[block * BLOCK + 9] += 1
        assert same_bytes(changed, sums.sums()) is not found
