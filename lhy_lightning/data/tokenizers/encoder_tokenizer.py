"""The tokenizer of a BERT-like encoder: text to pieces with their places in the text, the whole state in one string.

Pieces come from the `tokenizers` library directly, without the Python layer of `transformers`, which takes longer than
the tokenizing. Special tokens are put round the pieces where batches are made, so that a text is tokenised once however
often it is cut.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tokenizers import Tokenizer, normalizers, processors

from lhy_lightning.data.tokenizers.encoder_source import loaded
from lhy_lightning.data.tokenizers.wordpiece import SPECIALS, count_words, learn_pieces, word_pieces

ROLES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token", "bos_token", "eos_token")

Pieces = list[np.ndarray]


@dataclass(frozen=True)
class Template:
    """The special tokens round one text, or round and between two.

    Attributes:
        ids: one array more than there are texts, each (K,) int64: before the first text, behind it …
        types: the same of the segment (`token_type_ids`) that each of them counts to.
        text_types: the segment of each text.
    """

    ids: tuple[np.ndarray, ...]
    types: tuple[np.ndarray, ...]
    text_types: tuple[int, ...]

    @property
    def added(self) -> int:
        """How many special tokens there are."""
        return sum(map(len, self.ids))


class EncoderTokenizer:
    """A vocabulary, the way text is cut into its pieces, and the special tokens that the encoder was trained with.

    Special tokens are never found *in* text: a text that holds `[SEP]` has no second end.

    Args:
        state: what `to_json` gave.

    Attributes:
        pad_id, unk_id, cls_id, sep_id: ids of the special tokens; `cls_id` is that of the first token of a sequence
            and `sep_id` that of its last, whatever they are called.
        mask_id: the same; None for a tokenizer without one.
        token_types: whether the encoder takes `token_type_ids`.
        max_length: the longest sequence the tokenizer's makers vouch for; None where they do not say.
        single_template, pair_template: the special tokens round one text, and round two.

    Raises:
        ValueError: it lacks a padding or unknown token, or it pads on the left.

    Example:
        >>> from lhy_lightning import EncoderTokenizer
        >>> tokenizer = EncoderTokenizer.train(["a good film", "a bad film"], vocabulary_size=40)
        >>> tokenizer.decode(tokenizer.encode(["a good film"])[0])
        'a good film'
    """

    def __init__(self, state: str) -> None:
        described = json.loads(state)
        self._settings: dict[str, Any] = described["settings"]
        self._tokenizer = Tokenizer.from_str(json.dumps(described["tokenizer"], ensure_ascii=False))
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        if self._settings["padding_side"] != "right":
            raise ValueError("this tokenizer pads on the left (XLNet's way): choose an encoder that pads on the right.")
        self.token_types = "token_type_ids" in self._settings["model_input_names"]
        self.max_length: int | None = self._settings["max_length"]
        self.pad_id = self._special("pad_token")
        self.mask_id = self._tokenizer.token_to_id(self._settings["specials"].get("mask_token") or "")
        self.single_template = self._template(pair=False)
        self.pair_template = self._template(pair=True)
        self.cls_id, self.sep_id = int(self.single_template.ids[0][0]), int(self.single_template.ids[-1][-1])
        unknown = self._settings["specials"].get("unk_token")  # byte-level vocabularies may have none, nor need it
        self.unk_id = self._special("unk_token") if unknown else self.pad_id
        self._pieces: list[str] | None = None

    def __len__(self) -> int:
        """Size of the vocabulary, special and added tokens included: one more than the largest id."""
        return int(max(self._tokenizer.get_vocab(with_added_tokens=True).values())) + 1

    def __reduce__(self) -> tuple[type["EncoderTokenizer"], tuple[str]]:
        return EncoderTokenizer, (self.to_json(),)

    # --- where it comes from ---------------------------------------------------------------------------------------

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        vocabulary_size: int = 8000,
        lowercase: bool = True,
        max_length: int = 512,
        keep_words: bool = False,
    ) -> "EncoderTokenizer":
        """WordPiece (Devlin et al. 2018, https://arxiv.org/abs/1810.04805) as BERT has it: equal texts, equal pieces.

        Words end at spaces and punctuation, and every Chinese character is a word, unless words are kept. Characters
        that are too rare for the vocabulary are unknown.

        Args:
            texts: what it is trained on; its order does not matter.
            vocabulary_size: the most pieces it may have, special tokens included.
            lowercase: read everything in small letters and without accents, as `bert-base-uncased` does.
            max_length: the longest sequence.
            keep_words: cut Chinese words as all others, into a first piece and pieces that go on (`##…`), where the
                texts have spaces between them: else an encoder from scratch never sees where a word ends.

        Raises:
            ValueError: no texts, or no room for a piece.
        """
        room = vocabulary_size - len(SPECIALS)
        if room < 1:
            raise ValueError(f"vocab_size={vocabulary_size} has no room beside the {len(SPECIALS)} special tokens.")
        normalizer = normalizers.BertNormalizer(
            lowercase=lowercase, strip_accents=lowercase, handle_chinese_chars=not keep_words
        )
        words = count_words(normalizer.normalize_str(text) for text in texts)
        if not words:
            raise ValueError("no text to train a tokenizer on: every text is empty, or there is none.")
        tokenizer = word_pieces(learn_pieces(words, room))
        tokenizer.normalizer = normalizer
        tokenizer.add_special_tokens(list(SPECIALS))
        specials = [(name, SPECIALS.index(name)) for name in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=specials
        )
        settings = {
            "specials": dict(zip(ROLES, SPECIALS, strict=False)),
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
            "padding_side": "right",
            "max_length": max_length,
        }
        return cls(json.dumps({"tokenizer": json.loads(tokenizer.to_str()), "settings": settings}, ensure_ascii=False))

    @classmethod
    def from_pretrained(cls, name: str | Path) -> "EncoderTokenizer":
        """The tokenizer of a published encoder.

        Args:
            name: hub id or local folder.

        Raises:
            FileNotFoundError: neither there nor, as far as can be seen, on the hub.
            ValueError: it has no fast version, which is the one that says where in the text a piece stands, or no
                vocabulary.
        """
        from transformers import AutoTokenizer

        found = loaded(AutoTokenizer.from_pretrained, str(name), "tokenizer")
        backend = getattr(found, "backend_tokenizer", None)
        if backend is None:
            raise ValueError(f"{name} has no fast tokenizer (tokenizer.json); choose an encoder that has one.")
        # without its files `transformers` makes a new one that knows special tokens alone and reads all text as unknown
        if not backend.get_vocab(with_added_tokens=True).keys() - set(found.all_special_tokens):
            raise ValueError(
                f"{name} has no tokenizer: its vocabulary holds special tokens alone. Put the encoder's tokenizer.json "
                "(or vocab.txt) beside its config.json, or name a folder that has one by --data.tokenizer_file."
            )
        limit = int(found.model_max_length)
        settings = {
            "specials": {role: str(value) for role in ROLES if (value := getattr(found, role, None)) is not None},
            "model_input_names": list(found.model_input_names),
            "padding_side": found.padding_side,
            "max_length": limit if limit < 1_000_000 else None,  # "very large" stands for "not known"
        }
        return cls(json.dumps({"tokenizer": json.loads(backend.to_str()), "settings": settings}, ensure_ascii=False))

    @classmethod
    def from_json(cls, state: str) -> "EncoderTokenizer":
        """The tokenizer that `to_json` wrote down."""
        return cls(state)

    def to_json(self) -> str:
        """The whole state: the `tokenizer.json` of the `tokenizers` library, and what `transformers` adds to it."""
        described = {"tokenizer": json.loads(self._tokenizer.to_str()), "settings": self._settings}
        return json.dumps(described, ensure_ascii=False)

    def transformers(self) -> Any:
        """The same tokenizer as a `PreTrainedTokenizerFast`, to save beside a network."""
        from transformers import PreTrainedTokenizerFast

        plain = Tokenizer.from_str(self._tokenizer.to_str())
        limits = {} if self.max_length is None else {"model_max_length": self.max_length}
        return PreTrainedTokenizerFast(
            tokenizer_object=plain,
            model_input_names=self._settings["model_input_names"],
            padding_side="right",
            **self._settings["specials"],
            **limits,
        )

    # --- texts -----------------------------------------------------------------------------------------------------

    def encode(self, texts: Sequence[str]) -> Pieces:
        """Ids of each text's pieces, without special tokens: for each text (pieces,) int32."""
        found = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.int32) for encoding in found]

    def encode_with_offsets(self, texts: Sequence[str]) -> tuple[Pieces, Pieces, Pieces]:
        """Ids of each text's pieces, and where in the text each piece begins and ends, in characters of the string.

        Returns:
            ids, starts, ends: for each text (pieces,) int32.
        """
        found = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        ids = [np.array(encoding.ids, dtype=np.int32) for encoding in found]
        places = [np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2) for encoding in found]
        return ids, [place[:, 0] for place in places], [place[:, 1] for place in places]

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """What stands in the vocabulary under each id."""
        return [str(self._tokenizer.id_to_token(int(number))) for number in ids]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids without the special tokens; not the original one, which the offsets are for."""
        return str(self._tokenizer.decode([int(number) for number in ids], skip_special_tokens=True))

    # --- special tokens --------------------------------------------------------------------------------------------

    def _special(self, role: Literal["pad_token", "unk_token"]) -> int:
        token = self._settings["specials"].get(role)
        number = None if token is None else self._tokenizer.token_to_id(token)
        if number is None:
            raise ValueError(f"the tokenizer has no {role} ({token!r} is not in its vocabulary).")
        return int(number)

    def _template(self, *, pair: bool) -> Template:
        """Read off an encoded probe: what stands round the texts does not depend on them."""
        probe = self._tokenizer.encode(*(("a", "b") if pair else ("a",)))
        texts = 2 if pair else 1
        ids: list[list[int]] = [[] for _ in range(texts + 1)]
        types: list[list[int]] = [[] for _ in range(texts + 1)]
        text_types, place = [0] * texts, 0
        for number, kind, sequence in zip(probe.ids, probe.type_ids, probe.sequence_ids, strict=True):
            if sequence is None:
                ids[place].append(number)
                types[place].append(kind)
            else:
                place, text_types[sequence] = sequence + 1, kind
        if not ids[0] or not ids[-1]:
            raise ValueError(
                f"the tokenizer puts {ids} round a text; an encoder needs a first token to classify by and a last one."
            )
        return Template(
            tuple(np.array(part, dtype=np.int64) for part in ids),
            tuple(np.array(part, dtype=np.int64) for part in types),
            tuple(text_types),
        )
