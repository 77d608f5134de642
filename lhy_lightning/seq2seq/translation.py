"""Plain texts to translations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lhy_lightning.data.tokenizers.special_tokens import BOS, EOS, PAD
from lhy_lightning.data.tokenizers.text_tokenizer import TextTokenizer
from lhy_lightning.data.translation.extended_vocabulary import extended_ids
from lhy_lightning.decoding.hypotheses import Hypothesis


@dataclass
class Translation:
    """One translation of one text.

    Attributes:
        text: the translation.
        score: log-probability / length^alpha, by which the beam ranks.
        log_probability: of all its tokens, EOS among them.
        tokens: its tokens, EOS among them where it was written.
        source_tokens: the source's tokens and EOS.
        attention: (T, S) weights, a row for each of `tokens` and a column for each of `source_tokens`, where asked for.
    """

    text: str
    score: float
    log_probability: float
    tokens: list[str] = field(default_factory=list)
    source_tokens: list[str] = field(default_factory=list)
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
        for place, row in enumerate(batch["index"].tolist()):
            words = batch["unknown_words"][place]
            results[row] = [_translation(module, batch["source_ids"][place], words, best) for best in found[place]]
    return results


def _translation(module: Any, source_ids: Tensor, unknown_words: list[str], found: Hypothesis) -> Translation:
    target: TextTokenizer = module.target_vocabulary
    ids = [*found.ids, EOS] if found.finished else found.ids
    return Translation(
        target.decode(found.ids, unknown_words), found.score, found.log_probability, target.pieces(ids, unknown_words),
        module.source_vocabulary.pieces(source_ids[source_ids != PAD].tolist()), found.attention,
    )  # fmt: skip


@torch.inference_mode()
def score_translations(
    module: Any, sources: Sequence[str], targets: Sequence[str], *, max_tokens: int
) -> list[Translation]:
    """Log-probabilities of given translations (forced decoding).

    Args:
        module: a `Translator` in evaluation mode.
        sources, targets: N cleaned texts each.
        max_tokens: padded source tokens a batch.

    Returns:
        For every pair the target as a `Translation`: what a beam that found it would say of it.

    Raises:
        ValueError: not as many targets as sources.
    """
    if len(sources) != len(targets):
        raise ValueError(f"{len(targets)} targets for {len(sources)} sources: a target is needed for each.")
    longest, target = module.length_limit[2], module.target_vocabulary
    words: dict[str, int] = {}
    ids = target.encode(list(targets))
    if module.copies:
        _, ids, _ = extended_ids(sources, targets, module.source_vocabulary, target, words)
    results: list[Translation | None] = [None] * len(sources)
    for batch in batches_of_texts(
        sources, module.source_vocabulary, target,
        max_tokens=max_tokens, longest=longest, device=module.device, copying=module.copies,
    ):  # fmt: skip
        rows = batch["index"].tolist()
        gold = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor([*ids[row][: longest - 2], EOS], dtype=torch.int64) for row in rows], batch_first=True
        ).to(module.device)
        inputs = torch.cat([gold.new_full((len(rows), 1), BOS), gold[:, :-1]], dim=1)
        memory, network = module.encode(batch), module.translation_network
        inputs = network.embeddable(inputs.masked_fill(gold == PAD, PAD))
        decoded = network.body.decode(inputs, memory, attention=module.copies)
        chances = network.log_probabilities(decoded, network.body.embed_target(inputs), memory)  # (N, T, V')
        each = chances.gather(2, gold[..., None])[..., 0].masked_fill(gold == PAD, 0.0)
        lengths = (gold != PAD).sum(1)
        scores = each.sum(1) / lengths.float() ** module.search.length_penalty
        for place, row in enumerate(rows):
            source_ids = batch["source_ids"][place]
            results[row] = Translation(
                targets[row], float(scores[place]), float(each[place].sum()),
                target.pieces(gold[place, : lengths[place]].tolist(), batch["unknown_words"][place]),
                module.source_vocabulary.pieces(source_ids[source_ids != PAD].tolist()),
            )  # fmt: skip
    return [result for result in results if result is not None]


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
