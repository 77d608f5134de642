"""Text to numbers and back: subwords (unigram, BPE), words or characters, the whole state in one JSON string.

The JSON is that of the `tokenizers` library, so that a trained tokenizer can be used without this package, too.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from lhy_lightning.data.tokenizers.special_tokens import SPECIALS, UNK
from lhy_lightning.data.tokenizers.tokenizer_files import open_tokenizer

Kind = Literal["unigram", "bpe", "word", "character"]

SPACE = "▁"
"""What subword pieces show for a space, as in SentencePiece (Kudo and Richardson 2018)."""

_LONGEST = 512  # characters: longer lines are cut for training subwords, whose time grows with a line's square
_ENOUGH = 4_000_000  # characters: subwords are trained on an even sample of more; 1.2 million take 15 s of one core
_CHARACTER = r"[\s\S]"
_SPLITS: dict[str, Callable[[], Any]] = {
    "word": pre_tokenizers.WhitespaceSplit,
    "character": lambda: pre_tokenizers.Split(Regex(_CHARACTER), "isolated"),
}


class TextTokenizer:
    """A vocabulary and the way text is cut into its tokens.

    Unknown characters (with `word`: unknown words) become UNK; there is no fallback to bytes, so that text in a
    language the vocabulary has no characters for is noticed. Special tokens are never found *in* text: a line that
    holds `</s>` cannot end a sentence.

    Args:
        state: what `to_json` gave.
    """

    def __init__(self, state: str) -> None:
        self._tokenizer = Tokenizer.from_str(state)
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        specials = [self._tokenizer.id_to_token(number) for number in range(len(SPECIALS))]
        if specials != list(SPECIALS):
            raise ValueError(
                f"the tokenizer's ids 0 to {len(SPECIALS) - 1} are {specials}, expected {list(SPECIALS)}; "
                "TextTokenizer.from_file renumbers another library's tokenizer."
            )
        self.kind: str = _kind_of(state)
        self._ids: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        self._pieces = [""] * (max(self._ids.values()) + 1)
        for piece, number in self._ids.items():
            self._pieces[number] = piece
        self._known = {piece: number for piece, number in self._ids.items() if number >= len(SPECIALS)}

    def __len__(self) -> int:
        """Size of the vocabulary, special tokens included."""
        return len(self._pieces)

    def __reduce__(self) -> tuple[type["TextTokenizer"], tuple[str]]:
        return TextTokenizer, (self.to_json(),)

    @classmethod
    def train(cls, texts: Iterable[str], *, kind: Kind = "unigram", vocab_size: int = 8000) -> "TextTokenizer":
        """Makes a vocabulary from texts: the same texts in the same order, the same vocabulary.

        Args:
            texts: lines of one language, or of both for a joint vocabulary. Subwords are trained on every k-th line
                where there are more than four million characters, but know every character.
            kind: `unigram` (Kudo 2018, https://arxiv.org/abs/1804.10959) or `bpe` (Sennrich et al. 2016,
                https://arxiv.org/abs/1508.07909) subwords; `word` (split at whitespace) or `character`, most
                frequent first, equal counts by code point.
            vocab_size: the most tokens it may have, special ones included.

        Raises:
            ValueError: no texts, an unknown kind, or a size that has no room for the special tokens and, with
                subwords, for every character that occurs.
        """
        if kind not in get_args(Kind):
            raise ValueError(f"tokenizer {kind!r}: choose one of {', '.join(get_args(Kind))}.")
        lines = [text for text in texts if text.strip()]
        if not lines:
            raise ValueError(f"no text to train a {kind} vocabulary on: every line is empty, or there is none.")
        if kind in ("unigram", "bpe"):
            return cls(_train_subwords(lines, kind, vocab_size))
        if vocab_size <= len(SPECIALS):
            raise ValueError(f"vocab_size={vocab_size} has no room beside the {len(SPECIALS)} special tokens.")
        counts = Counter(chain.from_iterable(map(str.split, lines) if kind == "word" else lines))
        for special in SPECIALS:
            counts.pop(special, None)
        frequent = sorted(counts, key=lambda token: (-counts[token], token))[: vocab_size - len(SPECIALS)]
        vocabulary = {token: number for number, token in enumerate([*SPECIALS, *frequent])}
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIALS[UNK]))
        tokenizer.pre_tokenizer = _SPLITS[kind]()
        if kind == "character":
            tokenizer.decoder = decoders.Fuse()
        tokenizer.add_special_tokens(list(SPECIALS))
        return cls(tokenizer.to_str())

    @classmethod
    def from_json(cls, state: str) -> "TextTokenizer":
        """The tokenizer that `to_json` wrote down."""
        return cls(state)

    def to_json(self) -> str:
        """The whole state, as `tokenizers` writes a `tokenizer.json`."""
        return str(self._tokenizer.to_str())

    @classmethod
    def from_file(cls, source: str | Path) -> "TextTokenizer":
        """A given tokenizer, its special tokens renumbered to ours; see `tokenizer_files.open_tokenizer`.

        Args:
            source: a `tokenizer.json`, a folder with one, or a hub id.

        Raises:
            FileNotFoundError: nothing there.
            ValueError: not a tokenizer of the `tokenizers` library.
        """
        return cls(open_tokenizer(source))

    @property
    def has_unknowns(self) -> bool:
        """Whether unknown words are to be expected, for copying: subwords cut every word into known pieces."""
        return self.kind in ("word", "character")

    def id_of(self, token: str) -> int | None:
        """A token's id; None where the vocabulary does not have it. Special tokens are found under their names."""
        return self._ids.get(token)

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids of each text, without BOS and EOS.

        Returns:
            For each text (tokens,) int32.
        """
        if self.kind in _SPLITS:
            find = self._known.get
            return [np.fromiter((find(piece, UNK) for piece in self._cut(text)), dtype=np.int32) for text in texts]
        found = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        encoded = [np.array(encoding.ids, dtype=np.int32) for encoding in found]
        for ids in encoded:
            ids[ids < len(SPECIALS)] = UNK  # a piece that happens to spell a special token is not one
        return encoded

    def tokens(self, text: str) -> list[str]:
        """What stands behind each id of `encode`: the vocabulary's piece, or the text itself where it is unknown."""
        if self.kind in _SPLITS:
            return list(self._cut(text))
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return [
            text[start:end] if number < len(SPECIALS) else piece
            for number, piece, (start, end) in zip(encoding.ids, encoding.tokens, encoding.offsets, strict=True)
        ]

    def decode(self, ids: Iterable[int], unknown_words: Sequence[str] = ()) -> str:
        """Text of ids: the exact opposite of `encode` for known characters.

        Subwords drop spaces before the text, `word` joins with single spaces. PAD, BOS, EOS and TAG are left out,
        UNK is shown as `<unk>`.

        Args:
            ids: one row; stops nowhere, so cut it at EOS first.
            unknown_words: what ids from `len(self)` on stand for (copied words).
        """
        size = len(self)
        pieces = [
            self._pieces[number] if number < size else unknown_words[number - size]
            for number in map(int, ids)
            if number >= len(SPECIALS) or number == UNK
        ]
        decoder = self._tokenizer.decoder
        return str(decoder.decode(pieces)) if decoder is not None else " ".join(pieces)

    def pieces(self, ids: Iterable[int], unknown_words: Sequence[str] = ()) -> list[str]:
        """The tokens of ids, special ones too; ids from `len(self)` on are places in `unknown_words`."""
        size = len(self)
        return [self._pieces[number] if number < size else unknown_words[number - size] for number in ids]

    def unknown_characters(self, texts: Sequence[str]) -> tuple[int, int]:
        """How many characters of `texts` (whitespace left out) the vocabulary has nothing for, and of how many.

        With words, a character counts as known where any word of the vocabulary has it.
        """
        if self.kind in _SPLITS:
            alphabet = set(chain.from_iterable(self._known))
            counts = Counter(chain.from_iterable(texts))
            total = {character: count for character, count in counts.items() if not character.isspace()}
            return sum(count for character, count in total.items() if character not in alphabet), sum(total.values())
        unknown = 0
        for text, encoding in zip(
            texts, self._tokenizer.encode_batch(list(texts), add_special_tokens=False), strict=True
        ):
            spans = (text[s:e] for number, (s, e) in zip(encoding.ids, encoding.offsets, strict=True) if number == UNK)
            unknown += sum(_solid(span) for span in spans)
        return unknown, sum(map(_solid, texts))

    def check_language(self, texts: Sequence[str], what: str = "text") -> None:
        """Refuses texts in a language that the tokenizer has no characters for.

        Args:
            texts: at most 1,000 of them, evenly spread, are looked at.
            what: what they are, for the message.

        Raises:
            ValueError: more than a fifth of the characters are unknown.
        """
        looked_at = list(texts)[:: max(1, len(texts) // 1000)]
        unknown, total = self.unknown_characters(looked_at)
        if unknown > 0.2 * total:
            shown = next(text for text in looked_at if self.unknown_characters([text])[0] > 0)[:40]
            raise ValueError(
                f"{unknown / total:.0%} of the characters of the {what} (as in {shown!r}) are not in the tokenizer's "
                f"vocabulary of {len(self):,}: was it trained on another language?"
            )

    def _cut(self, text: str) -> Iterable[str]:
        return text.split() if self.kind == "word" else text


def _solid(text: str) -> int:
    return sum(not character.isspace() for character in text)


def _kind_of(state: str) -> str:
    """`unigram` and `bpe` for subwords, `word` and `character` for ours, else `given`."""
    settings = json.loads(state)
    model, split = settings["model"].get("type"), settings.get("pre_tokenizer") or {}
    if model == "WordLevel" and settings.get("normalizer") is None:
        ours: dict[str, dict[str, Any]] = {
            "word": {"type": "WhitespaceSplit"},
            "character": {"type": "Split", "pattern": {"Regex": _CHARACTER}},
        }
        return next((kind for kind, how in ours.items() if how.items() <= split.items()), "given")
    return {"Unigram": "unigram", "BPE": "bpe"}.get(str(model), "given")


def _train_subwords(lines: list[str], kind: Kind, vocab_size: int) -> str:
    """Unigram or BPE pieces over SentencePiece's spaces; no piece crosses a space."""
    alphabet = set(chain.from_iterable(lines)) - {" "} | {SPACE}
    needed = len(SPECIALS) + len(alphabet)
    if vocab_size < needed:
        raise ValueError(
            f"vocab_size={vocab_size:,} is too small: the texts have {len(alphabet):,} different characters, which "
            f"with {len(SPECIALS)} special tokens make {needed:,}; subwords need more than that: set --data.vocab_size "
            f"{(2 * needed + 999) // 1000 * 1000}."
        )
    model = models.Unigram() if kind == "unigram" else models.BPE(unk_token=SPECIALS[UNK])
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
    wanted: dict[str, Any] = {
        "vocab_size": vocab_size,
        "special_tokens": list(SPECIALS),
        "initial_alphabet": sorted(alphabet),
        "show_progress": False,
    }
    trainer: Any = trainers.BpeTrainer(**wanted)
    if kind == "unigram":
        trainer = trainers.UnigramTrainer(unk_token=SPECIALS[UNK], **wanted)
    sample = lines[:: math.ceil(sum(map(len, lines)) / _ENOUGH)]  # the alphabet is that of all lines
    parts = (line[start : start + _LONGEST] for line in sample for start in range(0, len(line), _LONGEST))
    tokenizer.train_from_iterator(parts, trainer)
    return _canonical(tokenizer.to_str()) if kind == "unigram" else str(tokenizer.to_str())


def _canonical(state: str) -> str:
    """One JSON for one text.

    The library's unigram trainer keeps words and characters in hash tables whose order differs from process to
    process. That shows in the last bits of a score (4e-11 measured) and in which rare character gets which of the
    scores that it makes up for characters without a count (lowest, lowest + .0001, …). Hence: thousandths, those
    characters all get the lowest score, equal scores in the order of their strings.
    """
    settings = json.loads(state)
    scored = settings["model"]["vocab"][len(SPECIALS) :]
    lowest = min((score for _, score in scored), default=0.0)
    canonical = []
    for piece, score in scored:
        steps = (score - lowest) / 1e-4
        made_up = len(piece) == 1 and steps < len(scored) and abs(steps - round(steps)) < 1e-4
        canonical.append([piece, round(lowest if made_up else score, 3)])
    canonical.sort(key=lambda entry: (-entry[1], entry[0]))
    settings["model"]["vocab"][len(SPECIALS) :] = canonical
    return str(Tokenizer.from_str(json.dumps(settings)).to_str())
