"""Plain texts to translations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lhy_lightning.data.extended_vocabulary import extended_ids
from lhy_lightning.data.text_tokenizer import EOS, TextTokenizer


@dataclass
class Translation:
    """One translation of one text.

    Attributes:
        text: the translation.
        score: log-probability / length^alpha, by which the beam ranks.
        log_probability: of all its tokens, EOS among them.
        attention: (T, S) weights over the source's tokens where asked for.
    """

    text: str
    score: float
    log_probability: float
    attention: Tensor | None = None


def translate_texts(module: Any, texts: Sequence[str], *, max_tokens: int, **search: Any) -> list[list[Translation]]:
    """Translates cleaned texts with a `Translator`, in batches of like length.

    Args:
        module: the translator, in evaluation mode.
        texts: cleaned texts.
        max_tokens: padded source tokens a batch.
        search: as `Translator.decode`.

    Returns:
        For every text, in the order given, its translations, best first.
    """
    results: list[list[Translation]] = [[] for _ in texts]
    for batch in batches_of_texts(
        texts, module.source_vocabulary, module.target_vocabulary,
        max_tokens=max_tokens, longest=module.length_limit[2], device=module.device, copying=module.copies,
    ):  # fmt: skip
        found = module.decode(batch, **search)
        for row, words, hypotheses in zip(batch["index"].tolist(), batch["unknown_words"], found, strict=True):
            results[row] = [
                Translation(module.target_vocabulary.decode(h.ids, words), h.score, h.log_probability, h.attention)
                for h in hypotheses
            ]
    return results


def batches_of_texts(
    texts: Sequence[str],
    source: TextTokenizer,
    target: TextTokenizer,
    *,
    max_tokens: int,
    longest: int,
    device: torch.device,
    copying: bool = False,
) -> Iterator[dict[str, Any]]:
    """Tokenised texts, longest first, in batches of at most `max_tokens` padded tokens.

    Args:
        texts: cleaned texts.
        source, target: tokenizers.
        max_tokens: rows times the longest row of a batch; a longer text is a batch of its own.
        longest: most tokens of a text, EOS among them; what is beyond is cut off.
        device: where the ids go.
        copying: give `copy_ids` and `unknown_words` too.

    Yields:
        `source_ids` (N, S) int64, `index` (N,) int64 place in `texts`, `unknown_words` and, asked for, `copy_ids`.
    """
    ids = [np.append(row[: longest - 1], EOS) for row in source.encode(list(texts))]
    words: dict[str, int] = {}
    copies, _, unknown = extended_ids(texts, None, source, target, words) if copying else ([], [], [])
    names = list(words)
    order = sorted(range(len(ids)), key=lambda row: (-len(ids[row]), row))
    while order:
        rows = order[: max(1, max_tokens // len(ids[order[0]]))]
        order = order[len(rows) :]
        padded = torch.zeros(len(rows), len(ids[rows[0]]), dtype=torch.int64)
        copied = torch.zeros_like(padded)
        for place, row in enumerate(rows):
            padded[place, : len(ids[row])] = torch.from_numpy(ids[row].astype(np.int64))
            if copying:
                known = np.append(copies[row][: longest - 1], EOS)
                copied[place, : len(known)] = torch.from_numpy(known.astype(np.int64))
        batch: dict[str, Any] = {"source_ids": padded.to(device), "index": torch.tensor(rows)}
        batch["unknown_words"] = [[names[n] for n in unknown[row]] if copying else [] for row in rows]
        yield batch | ({"copy_ids": copied.to(device)} if copying else {})
