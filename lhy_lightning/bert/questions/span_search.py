"""The best spans of a question's windows. Plain torch and numpy, no loop over windows or questions."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Search = Literal["joint", "independent"]

BROKEN = 10_000.0
"""By how much the score of a window falls whose best start and best end are no span."""


@dataclass(frozen=True)
class WindowSpans:
    """The best spans of W windows, best first.

    Attributes:
        score: (W, K) float32, start logit + end logit; minus infinity where a window has fewer spans.
        first, last: (W, K) int64, the window's tokens of the paragraph, from 0 on, both inclusive.
        null: (W,) float32, the same score of [CLS]: of there being no answer.
    """

    score: Tensor
    first: Tensor
    last: Tensor
    null: Tensor


def best_spans(
    start_logits: Tensor,
    end_logits: Tensor,
    context_start: Tensor,
    context_length: Tensor,
    *,
    search: Search = "joint",
    max_answer_length: int = 30,
    n_best: int = 20,
) -> WindowSpans:
    """Searches every window: spans lie in the paragraph, end no sooner than they start, and are not too long.

    Joint search looks at start + end of all such spans. The independent search of homework 7 takes the best start and
    the best end, each for itself. Where these are no span, which the homework's notebook answers with an empty string,
    the joint search's best stands in, `BROKEN` lower: any window with a real span comes before it.

    Args:
        start_logits, end_logits: (W, L).
        context_start: (W,) int64, the paragraph's first place in each sequence.
        context_length: (W,) int64, how many of its tokens the window has.
        search: "joint" or "independent".
        max_answer_length: most tokens of a span.
        n_best: K, spans of a window; 1 for the independent search.
    """
    start, end = start_logits.detach().float(), end_logits.detach().float()
    null = start[:, 0] + end[:, 0]
    width = start.shape[1]
    place = torch.arange(width, device=start.device)
    inside = place < context_length[:, None]
    columns = (context_start[:, None] + place).clamp(max=width - 1)
    start = start.gather(1, columns).masked_fill(~inside, -torch.inf)  # (W, width)
    end = end.gather(1, columns).masked_fill(~inside, -torch.inf)
    longest = min(max_answer_length, width)
    padded = functional.pad(end, (0, longest - 1), value=-torch.inf)
    reach = padded.unfold(1, longest, 1)  # (W, width, longest), a view: the ends that each start may have
    # The K best spans start at the K starts whose best span is best: others have K spans before them.
    best_end = functional.max_pool1d(padded[:, None], longest, stride=1)[:, 0]
    starts = min(n_best, width)
    first = (start + best_end).topk(starts, dim=1).indices  # (W, starts)
    ends = reach.gather(1, first[..., None].expand(-1, -1, longest))
    scores = (start.gather(1, first)[..., None] + ends).flatten(1)
    score, chosen = scores.topk(min(n_best, scores.shape[1]), dim=1)
    first = first.gather(1, chosen // longest)
    last = first + chosen % longest
    if search == "independent":
        (top_start, top_first), (top_end, top_last) = start.max(dim=1, keepdim=True), end.max(dim=1, keepdim=True)
        span = (top_first <= top_last) & (top_last < top_first + max_answer_length)
        score = torch.where(span, top_start + top_end, score[:, :1] - BROKEN)
        first, last = torch.where(span, top_first, first[:, :1]), torch.where(span, top_last, last[:, :1])
        return WindowSpans(score, first, last, null)
    missing = (0, n_best - score.shape[1])
    score = functional.pad(score, missing, value=-torch.inf)
    return WindowSpans(score, functional.pad(first, missing), functional.pad(last, missing), null)


# --- all windows of a question ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class QuestionSpans:
    """The best spans of Q questions over all their windows, those of one question one after the other, best first.

    Attributes:
        offsets: (Q + 1,) int64: question n has the spans `offsets[n]` to `offsets[n + 1]`; perhaps none.
        score: (S,) float64.
        first, last: (S,) int64, tokens of the paragraph.
        null: (Q,) float64, score of there being no answer, to be held against `score`.
    """

    offsets: np.ndarray
    score: np.ndarray
    first: np.ndarray
    last: np.ndarray
    null: np.ndarray


def combine(
    spans: WindowSpans, row: np.ndarray, begins: np.ndarray, questions: int, *, minus_null: bool, n_best: int = 20
) -> QuestionSpans:
    """Puts the windows of each question together; a span that two windows share counts once, with its better score.

    Args:
        spans: of W windows.
        row: (W,) int64 in [0, Q), the question each belongs to.
        begins: (W,) int64, the paragraph's token a window begins with.
        questions: Q.
        minus_null: compare windows by span score minus the window's own null score, which takes windows that were
            trained on having no answer; otherwise by span score, as homework 7 does.
        n_best: spans kept of a question.
    """
    null = spans.null.cpu().double().numpy()
    score = spans.score.cpu().double().numpy()
    score = score - null[:, None] if minus_null else score
    there = np.isfinite(score)
    owner = np.broadcast_to(row[:, None], score.shape)[there]
    first = (spans.first.cpu().numpy() + begins[:, None])[there]
    last = (spans.last.cpu().numpy() + begins[:, None])[there]
    score = score[there]
    order = np.lexsort((-score, last, first, owner))
    owner, first, last, score = owner[order], first[order], last[order], score[order]
    new = np.ones(len(owner), dtype=bool)
    new[1:] = (owner[1:] != owner[:-1]) | (first[1:] != first[:-1]) | (last[1:] != last[:-1])
    owner, first, last, score = owner[new], first[new], last[new], score[new]
    order = np.lexsort((last, first, -score, owner))  # equal scores: the earlier, then the shorter span
    owner, first, last, score = owner[order], first[order], last[order], score[order]
    rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
    kept = rank < n_best
    offsets = np.searchsorted(owner[kept], np.arange(questions + 1))
    lowest = np.full(questions, np.inf)
    np.minimum.at(lowest, row, null)  # no answer means that no window has one
    nothing = np.zeros(questions) if minus_null else lowest
    return QuestionSpans(offsets, score[kept], first[kept], last[kept], nothing)
