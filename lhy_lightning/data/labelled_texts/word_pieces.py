"""Words and their pieces: every word has at least one, and a long sentence is cut between words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lhy_lightning.data.sequences.ragged import Ragged


@dataclass(frozen=True)
class WordPieces:
    """The pieces of all words of all sentences, end to end.

    Attributes:
        ids: (P,) int64.
        word_ends: (W + 1,) int64: word w has the pieces from `word_ends[w]` to `word_ends[w + 1]`.
        sentence_ends: (N + 1,) int64, the same of the words of sentences.
    """

    ids: np.ndarray
    word_ends: np.ndarray
    sentence_ends: np.ndarray


def joined(words: Sequence[str]) -> str:
    """A sentence as it is tokenised: its words with a space between, without which some tokenizers go on a word."""
    return " ".join(words)


def pieces_of_words(sentences: Sequence[Sequence[str]], ids: Ragged, ends: Ragged, unk_id: int) -> WordPieces:
    """Finds the word that each piece belongs to, by where the piece ends.

    Some pieces take the space before their word with them, and some are nothing but that space: both belong to the word
    behind it. A word that a tokenizer drops (a control character, a lone accent) gets the unknown token, as every word
    has a tag to be told.

    Args:
        sentences: N lists of words.
        ids, ends: pieces of the `joined` sentences and where each ends, in characters.
        unk_id: the unknown token.
    """
    counts = np.fromiter(map(len, sentences), dtype=np.int64, count=len(sentences))
    sentence_ends = np.concatenate([[0], np.cumsum(counts)])
    lengths = np.fromiter((len(word) for words in sentences for word in words), dtype=np.int64, count=int(counts.sum()))
    # where each word's own space begins, in one text of all sentences with a space before every word
    begins = np.concatenate([[0], np.cumsum(lengths + 1)])
    before = begins[sentence_ends[:-1]]
    pieces_each = ids.lengths.astype(np.int64)
    last = ends.values[: int(pieces_each.sum())].astype(np.int64) + np.repeat(before, pieces_each)
    # a joined sentence has no space before its first word: its character c is character c + 1 here, so that the last
    # character of a piece, e - 1, is e
    word = np.searchsorted(begins, last, side="right") - 1
    word = np.clip(word, np.repeat(sentence_ends[:-1], pieces_each), np.repeat(sentence_ends[1:], pieces_each) - 1)
    values = ids.values[: len(word)].astype(np.int64)
    without = np.flatnonzero(np.bincount(word, minlength=len(lengths)) == 0)
    word, values = np.concatenate([word, without]), np.concatenate([values, np.full(len(without), unk_id)])
    order = np.argsort(word, kind="stable")
    word_ends = np.concatenate([[0], np.cumsum(np.bincount(word, minlength=len(lengths)))])
    return WordPieces(values[order], word_ends, sentence_ends)


def parts_of_sentences(pieces: WordPieces, room: int) -> np.ndarray:
    """Cuts sentences between words so that no part has more than `room` pieces; a longer word is a part of its own.

    Returns:
        (R, 3) int64: sentence, first word, end of its words, in order.
    """
    parts = []
    for sentence, (first, end) in enumerate(zip(pieces.sentence_ends[:-1], pieces.sentence_ends[1:], strict=True)):
        start = int(first)
        while start < end:
            limit = pieces.word_ends[start] + room
            stop = int(np.searchsorted(pieces.word_ends[: end + 1], limit, side="right")) - 1
            stop = max(stop, start + 1)
            parts.append((sentence, start, stop))
            start = stop
    return np.array(parts, dtype=np.int64).reshape(-1, 3)
