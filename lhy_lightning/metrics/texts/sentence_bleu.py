"""BLEU of single sentences, fast enough to be a reward in training; sacrebleu's `sentence_bleu` to rounding."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

import torch
from sacrebleu.metrics.bleu import BLEU
from torch import Tensor

ORDERS = 4
LARGEST = 1_000_000  # pairs of tokens compared at a time
Smoothing = Literal["exp", "add-k", "floor", "none"]


def sentence_bleu(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    tokenize: str = "13a",
    lowercase: bool = False,
    smoothing: Smoothing = "exp",
) -> Tensor:
    """BLEU of each sentence in 0 … 1, with effective order: one that a short sentence has no n-grams of is left out.

    Args:
        hypotheses, references: N texts each.
        tokenize: sacrebleu's tokenization; see `default_tokenize`.
        lowercase: ignore case.
        smoothing: of orders without a match, for a single sentence mostly has such (Chen and Cherry 2014,
            https://aclanthology.org/W14-3346): "exp" halves at each one, "add-k" adds one to all but the first order,
            "floor" takes .1 for none.

    Returns:
        (N,) float32.

    Raises:
        ValueError: not as many references as hypotheses.
    """
    tokenizer = BLEU(tokenize=tokenize).tokenizer
    cut = {
        text: tokenizer((text.lower() if lowercase else text).rstrip()).split() for text in {*hypotheses, *references}
    }
    return sentence_bleu_ids(
        [cut[text] for text in hypotheses], [cut[text] for text in references], smoothing=smoothing
    )


def sentence_bleu_ids(
    hypotheses: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Hashable]], *, smoothing: Smoothing = "exp"
) -> Tensor:
    """`sentence_bleu` of tokens as they are, ids say: that of the joined tokens under tokenize="none".

    Args:
        hypotheses, references: N lists of tokens each.
        smoothing: as `sentence_bleu`.

    Returns:
        (N,) float32 in 0 … 1.

    Raises:
        ValueError: not as many references as hypotheses.
    """
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses for {len(references)} references")
    if not hypotheses:
        return torch.zeros(0)
    numbers: dict[Hashable, int] = {}
    padded, lengths = [], []
    for texts, padding in ((hypotheses, -1), (references, -2)):
        width = max(map(len, texts))
        rows = [[numbers.setdefault(token, len(numbers)) for token in text] for text in texts]
        padded.append(torch.tensor([row + [padding] * (width - len(row)) for row in rows], dtype=torch.int32))
        lengths.append(torch.tensor([len(row) for row in rows], dtype=torch.float64))
    (ours, gold), (our_lengths, gold_lengths) = padded, lengths
    chunk = max(1, LARGEST // max(1, ours.shape[1] * max(ours.shape[1], gold.shape[1])))
    matches = torch.cat(
        [clipped_matches(*each) for each in zip(ours.split(chunk), gold.split(chunk), strict=True)]
    ).double()
    return bleu_of_counts(matches, our_lengths, gold_lengths, smoothing).float()


def clipped_matches(hypotheses: Tensor, references: Tensor) -> Tensor:
    """How many n-grams of each hypothesis its reference has too, each at most as often as the reference has it.

    An n-gram counts where fewer equal ones stand before it in the hypothesis than there are in the reference.

    Args:
        hypotheses: (N, T) int, padded with -1.
        references: (N, R) int, padded with -2: padding is equal to nothing in the other.

    Returns:
        (N, 4) int64, orders 1 to 4.
    """
    within, across = hypotheses[:, :, None] == hypotheses[:, None], hypotheses[:, :, None] == references[:, None]
    equal, found = [within, across], []
    for order in range(1, ORDERS + 1):
        # [i, j] of an order: the n-grams that start at i and j are equal
        earlier, there = equal[0].tril(-1).sum(2), equal[1].sum(2)
        found.append((earlier < there).sum(1))
        equal = [
            shorter[:, :-1, :-1] & first[:, order:, order:]
            for shorter, first in zip(equal, (within, across), strict=True)
        ]
    return torch.stack(found, 1)


def bleu_of_counts(matches: Tensor, lengths: Tensor, reference_lengths: Tensor, smoothing: Smoothing) -> Tensor:
    """Brevity penalty times the geometric mean of the n-gram precisions.

    Args:
        matches: (N, 4) float64, n-grams that the reference has too.
        lengths, reference_lengths: (N,) float64.
        smoothing: as `sentence_bleu`.

    Returns:
        (N,) float64 in 0 … 1; 0 without a match.
    """
    totals = (lengths[:, None] - torch.arange(ORDERS)).clamp(min=0)  # (N, 4)
    right = matches.clone()
    if smoothing == "add-k":
        right[:, 1:] += 1
        totals[:, 1:] += 1
    missed = (right == 0) & (totals > 0)
    if smoothing == "exp":
        right = torch.where(missed, 0.5 ** missed.cumsum(1), right)
    elif smoothing == "floor":
        right = right.masked_fill(missed, 0.1)
    elif smoothing not in ("add-k", "none"):
        raise ValueError(f"smoothing is 'exp', 'add-k', 'floor' or 'none', not {smoothing!r}")
    counted = totals > 0
    logs = (right / totals.clamp(min=1)).log().masked_fill(~counted, 0)
    mean = logs.sum(1) / counted.sum(1).clamp(min=1)
    brevity = (1 - reference_lengths / lengths.clamp(min=1)).clamp(max=0)
    return (mean + brevity).exp().masked_fill(matches.sum(1) == 0, 0)
