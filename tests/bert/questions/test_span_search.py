"""The search for spans against trying every pair."""

import itertools

import numpy as np
import pytest
import torch

from lhy_lightning.bert.questions.span_search import BROKEN, WindowSpans, best_spans, combine


def windows(rows: int, width: int, seed: int) -> tuple[torch.Tensor, ...]:
    """Logits of whole sequences, and where in them the paragraph lies; rounded so that many are equal."""
    generator = torch.Generator().manual_seed(seed)
    start, end = ((torch.randn(rows, width, generator=generator) * 4).round() / 4 for _ in range(2))
    begin = torch.randint(2, width // 2, (rows,), generator=generator)
    length = (torch.rand(rows, generator=generator) * (width - begin + 1)).long()
    return start, end, begin, length


def every_span(
    start: torch.Tensor, end: torch.Tensor, begin: int, length: int, longest: int
) -> list[tuple[float, int, int]]:
    found = [
        (float(start[begin + first] + end[begin + last]), first, last)
        for first, last in itertools.product(range(length), repeat=2)
        if first <= last < first + longest
    ]
    return sorted(found, key=lambda span: -span[0])


@pytest.mark.parametrize("longest", [1, 3, 100])
@pytest.mark.parametrize("n_best", [1, 7])
def test_joint_search_finds_the_best_of_all_spans(longest: int, n_best: int) -> None:
    start, end, begin, length = windows(40, 24, seed=longest)
    # the highest of all logits are on the question and on padding, which no answer may take
    for row in range(40):
        start[row, : begin[row]] = end[row, : begin[row]] = 50
        start[row, begin[row] + length[row] :] = end[row, begin[row] + length[row] :] = 50
    found = best_spans(start, end, begin, length, max_answer_length=longest, n_best=n_best)
    for row in range(40):
        wanted = every_span(start[row], end[row], int(begin[row]), int(length[row]), longest)
        score = found.score[row].tolist()
        real = [value for value in score if np.isfinite(value)]
        assert real == [value for value, _, _ in wanted[:n_best]]
        assert score[len(real) :] == [-np.inf] * (len(score) - len(real))
        by_span = {(first, last): value for value, first, last in wanted}
        chosen = list(zip(found.first[row].tolist(), found.last[row].tolist(), strict=True))[: len(real)]
        assert [by_span[span] for span in chosen] == real
        assert len(set(chosen)) == len(chosen)
        assert found.null[row] == start[row, 0] + end[row, 0]


def test_independent_search_takes_the_best_start_and_the_best_end_where_they_are_a_span() -> None:
    start, end, begin, length = windows(200, 24, seed=5)
    length = length.clamp(min=1)
    found = best_spans(start, end, begin, length, search="independent", max_answer_length=6, n_best=20)
    assert found.score.shape == (200, 1)
    broken = 0
    for row in range(200):
        inside = slice(int(begin[row]), int(begin[row] + length[row]))
        first, last = int(start[row, inside].argmax()), int(end[row, inside].argmax())
        if first <= last < first + 6:
            assert (found.first[row, 0], found.last[row, 0]) == (first, last)
            assert found.score[row, 0] == start[row, inside].max() + end[row, inside].max()
        else:
            broken += 1
            best = every_span(start[row], end[row], int(begin[row]), int(length[row]), 6)[0][0]
            assert found.score[row, 0] == best - BROKEN, "the joint search stands in, behind every other window"
            assert 0 <= found.last[row, 0] - found.first[row, 0] < 6
    assert broken > 20


def test_half_precision_logits_are_added_in_single_precision() -> None:
    start, end = torch.tensor([[0, 0, 2048.0]]), torch.tensor([[0, 0, 1.0]])
    found = best_spans(start.bfloat16(), end.bfloat16(), torch.tensor([1]), torch.tensor([2]))
    assert found.score[0, 0] == 2049


# --- all windows of a question ----------------------------------------------------------------------------------------


def spans(score: list[list[float]], first: list[list[int]], last: list[list[int]], null: list[float]) -> WindowSpans:
    return WindowSpans(torch.tensor(score), torch.tensor(first), torch.tensor(last), torch.tensor(null))


def listed(found: object, question: int) -> list[tuple[float, int, int]]:
    part = slice(found.offsets[question], found.offsets[question + 1])  # type: ignore[attr-defined]
    columns = (found.score[part], found.first[part], found.last[part])  # type: ignore[attr-defined]
    return list(zip(*(column.tolist() for column in columns), strict=True))


INF = float("inf")
SPANS = spans(
    [[5, 3], [4, 2], [9, -INF], [-INF, -INF]],
    [[0, 4], [1, 2], [3, 0], [0, 0]],
    [[1, 5], [2, 2], [3, 0], [0, 0]],
    [2.0, 0.0, 1.0, 0.0],
)
ROW, BEGINS = np.array([0, 0, 2, 3]), np.array([0, 3, 10, 0])


def test_windows_of_a_question_are_put_together_in_places_of_the_paragraph() -> None:
    found = combine(SPANS, ROW, BEGINS, 4, minus_null=False)
    # (1, 2) of the second window, which begins at 3, is (4, 5): the span of the first window, with a better score
    assert listed(found, 0) == [(5, 0, 1), (4, 4, 5), (2, 5, 5)]
    assert listed(found, 1) == []
    assert listed(found, 2) == [(9, 13, 13)]
    assert listed(found, 3) == [], "a question without a candidate"
    assert found.null.tolist() == [0, INF, 1, 0], "no answer means that no window has one"
    assert listed(combine(SPANS, ROW, BEGINS, 4, minus_null=False, n_best=2), 0) == [(5, 0, 1), (4, 4, 5)]


def test_windows_compared_by_how_far_they_are_from_having_no_answer() -> None:
    found = combine(SPANS, ROW, BEGINS, 4, minus_null=True)
    assert listed(found, 0) == [(4, 4, 5), (3, 0, 1), (2, 5, 5)], "the first window's null score is 2, the second's 0"
    assert listed(found, 2) == [(8, 13, 13)]
    assert found.null.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("minus_null", [False, True])
def test_many_windows_equal_a_search_through_all_of_their_spans(minus_null: bool) -> None:
    start, end, begin, length = windows(60, 24, seed=9)
    chosen = np.random.default_rng(0)
    row, begins = np.sort(chosen.integers(0, 20, 60)), chosen.integers(0, 30, 60)
    found = combine(
        best_spans(start, end, begin, length, max_answer_length=4, n_best=8),
        row,
        begins,
        20,
        minus_null=minus_null,
        n_best=8,
    )
    for question in range(20):
        best: dict[tuple[int, int], float] = {}
        for window in np.flatnonzero(row == question).tolist():
            null = float(start[window, 0] + end[window, 0]) if minus_null else 0.0
            for score, first, last in every_span(
                start[window], end[window], int(begin[window]), int(length[window]), 4
            ):
                place = (first + int(begins[window]), last + int(begins[window]))
                best[place] = max(best.get(place, -INF), score - null)
        scores = sorted(best.values(), reverse=True)[:8]
        assert [score for score, _, _ in listed(found, question)] == pytest.approx(scores)
        assert all(best[first, last] == pytest.approx(score) for score, first, last in listed(found, question))
