"""Batches by number of tokens: the limit, every row once, the same number of batches every epoch and on every rank."""

import time
from collections import Counter
from unittest.mock import patch

import numpy as np
import pytest

from lhy_lightning.data import samplers
from lhy_lightning.data.sequences import token_batches
from lhy_lightning.data.sequences.token_batches import (
    TokenBatches,
    TokenEvalBatches,
    fill_batches,
    round_up,
    split_batches,
)


def captions(rows: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Lengths as of Multi30k: 4 to 60 tokens, the two sides alike."""
    generator = np.random.default_rng(seed)
    source = np.clip(generator.gamma(9, 1.6, rows).round(), 4, 60).astype(np.int64)
    target = np.clip((source * generator.normal(1.1, 0.18, rows)).round(), 4, 70).astype(np.int64)
    return source, target


def over_ranks(sampler: TokenBatches | TokenEvalBatches, world: int) -> list[list[list[int]]]:
    everything = []
    for rank in range(world):
        with patch.object(samplers, "rank_and_world", return_value=(rank, world)):
            batches = list(sampler)
            assert len(batches) == len(sampler)
            everything.append(batches)
    return everything


def padded(rows: list[int], lengths: np.ndarray, multiple: int) -> int:
    return int(round_up(lengths[rows].max(keepdims=True), multiple)[0]) * len(rows)


def padding_factor(batches: list[list[int]], source: np.ndarray, target: np.ndarray, multiple: int = 1) -> float:
    """Padded tokens over real ones, both sides together."""
    filled = sum(padded(rows, side, multiple) for rows in batches for side in (source, target))
    return filled / int(source.sum() + target.sum())


# --- what holds of every epoch ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("multiple", [1, 8])
def test_each_row_once_over_ranks_in_every_epoch_and_the_limit_never_passed(world: int, multiple: int) -> None:
    source, target = captions(1500)
    sampler = TokenBatches(source, target, 600, pad_to_multiple=multiple, bucket_batches=10)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        ranks = over_ranks(sampler, world)
        batches = [batch for rank in ranks for batch in rank]
        assert sorted(row for batch in batches for row in batch) == list(range(1500))
        assert all(batches)
        assert max(max(padded(batch, side, multiple) for side in (source, target)) for batch in batches) <= 600


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_epoch_has_the_same_number_of_batches_and_every_rank_the_same_number_of_steps(world: int) -> None:
    sampler = TokenBatches(*captions(700), 400, bucket_batches=5)
    counts = set()
    for epoch in range(25):
        sampler.set_epoch(epoch)
        counts |= {len(rank) for rank in over_ranks(sampler, world)}
    assert len(counts) == 1


def test_the_number_of_batches_is_hardly_above_what_the_rows_need() -> None:
    sampler = TokenBatches(*captions(5000), 1000)
    needed = [len(sampler._filled(epoch)[1]) for epoch in range(10)]
    assert len(sampler) <= 1.02 * float(np.mean(needed))


@pytest.mark.parametrize("redraws", [0, 8])
def test_an_epoch_that_needs_more_batches_than_there_are_is_drawn_anew(
    redraws: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_batches, "REDRAWS", redraws)
    sampler = TokenBatches(*captions(900), 300, bucket_batches=5)
    sampler._least = len(sampler._filled(0)[1])  # no room but for epoch 0 and those that fit by chance
    more = [epoch for epoch in range(30) if len(sampler._filled(epoch)[1]) > len(sampler)]
    assert more, "the test needs an epoch that does not fit"
    for epoch in more:
        batches = sampler.epoch_batches(epoch)
        assert len(batches) == len(sampler)
        assert sorted(row for batch in batches for row in batch) == list(range(900))


def test_order_is_a_function_of_seed_and_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        monkeypatch.setenv("PL_GLOBAL_SEED", str(seed))
        sampler = TokenBatches(*captions(300), 300)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 3) == order(1, 3)
    assert order(1, 3) != order(2, 3)
    assert order(1, 3) != order(1, 4)


def test_the_order_of_batches_is_shuffled_and_not_by_length() -> None:
    source, target = captions(3000)
    widths = [int(target[batch].max()) for batch in TokenBatches(source, target, 500)]
    assert abs(float(np.corrcoef(widths, np.arange(len(widths)))[0, 1])) < 0.2


def test_a_resumed_epoch_yields_the_remaining_batches_and_the_next_all_of_them() -> None:
    whole, sampler = (TokenBatches(*captions(300), 300) for _ in range(2))
    sampler.resume_at = (1, 3)
    for epoch, left_out in ((0, 0), (1, 3), (2, 0)):
        whole.set_epoch(epoch)
        sampler.set_epoch(epoch)
        assert list(sampler) == list(whole)[left_out:]
        assert list(sampler) == list(whole)[left_out:], "reading does not use the place up"


# --- how rows come together -------------------------------------------------------------------------------------------


def test_rows_are_sorted_by_padded_target_then_source_length_inside_a_bucket() -> None:
    source, target = captions(800)
    for multiple in (1, 8):
        sampler = TokenBatches(source, target, 400, pad_to_multiple=multiple, bucket_batches=10_000)
        rows, _ = sampler._filled(0)
        keys = list(zip(round_up(target[rows], multiple), source[rows], strict=True))
        assert keys == sorted(keys)


def test_buckets_pad_far_less_than_random_order_and_less_than_sorting_by_source_alone() -> None:
    source, target = captions(20_000)
    sampler = TokenBatches(source, target, 4096, pad_to_multiple=1)
    bucketed = padding_factor(list(sampler), source, target)
    sampler.sort_key = source
    by_source = padding_factor(sampler.epoch_batches(0), source, target)
    sampler.sort_key = np.zeros(20_000, dtype=np.int64)
    at_random = padding_factor(sampler.epoch_batches(0), source, target)
    assert bucketed < 1.12
    assert bucketed + 0.1 < by_source
    assert by_source + 0.3 < at_random


def test_the_ranks_of_a_step_get_batches_of_similar_shape() -> None:
    source, target = captions(5000)
    first, second = over_ranks(TokenBatches(source, target, 600), 2)
    wider = [abs(int(target[a].max()) - int(target[b].max())) for a, b in zip(first, second, strict=True)]
    uneven = [abs(len(a) - len(b)) / max(len(a), len(b)) for a, b in zip(first, second, strict=True)]
    assert float(np.mean(wider)) < 3
    assert float(np.mean(uneven)) < 0.1


def test_greedy_filling_of_a_literal_example() -> None:
    widths = np.array([8, 8, 8, 16, 16, 24, 8])
    assert fill_batches(widths, np.array([7]), 32).tolist() == [3, 5, 6, 7]  # 3×8, 2×16, 24 alone, for 2×24 > 32
    assert fill_batches(widths, np.array([2, 7]), 32).tolist() == [2, 4, 5, 6, 7]  # no batch over a bucket's end


def test_the_most_expensive_batch_is_split_first_and_a_single_row_never() -> None:
    widths = np.array([8, 8, 8, 8, 24, 40])
    assert split_batches(widths, np.array([4, 5, 6]), 4).tolist() == [2, 4, 5, 6]
    assert split_batches(widths, np.array([4, 5, 6]), 6).tolist() == [1, 2, 3, 4, 5, 6]


def test_an_epoch_of_400_000_rows_is_ready_in_about_a_second() -> None:
    sampler = TokenBatches(*captions(400_000), 4096)
    len(sampler)
    start = time.perf_counter()
    sampler.epoch_batches(1)
    assert time.perf_counter() - start < 2


# --- back-translation -------------------------------------------------------------------------------------------------


def test_an_epoch_has_every_real_row_and_its_share_of_synthetic_ones_none_twice_before_all_came() -> None:
    source, target = captions(400)
    sampler = TokenBatches(source, target, 400, synthetic=300, synthetic_per_epoch=50)
    drawn: Counter[int] = Counter()
    lengths = set()
    for epoch in range(6):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        rows = [row for batch in batches for row in batch]
        lengths.add(len(batches))
        assert sorted(row for row in rows if row < 100) == list(range(100))
        assert len(rows) == 150
        drawn.update(row for row in rows if row >= 100)
    assert len(lengths) == 1
    assert set(drawn) == set(range(100, 400))
    assert set(drawn.values()) == {1}


def test_more_synthetic_rows_than_there_are_come_again_within_the_epoch() -> None:
    source, target = captions(30)
    sampler = TokenBatches(source, target, 400, synthetic=10, synthetic_per_epoch=25)
    rows = Counter(row for batch in sampler for row in batch)
    assert sum(rows.values()) == 45
    assert {rows[row] for row in range(20, 30)} == {2, 3}


# --- evaluation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("labelled", [True, False])
def test_evaluation_rows_come_exactly_once_over_ranks_within_the_limit(world: int, labelled: bool) -> None:
    source, target = captions(200)
    sampler = TokenEvalBatches(source, target if labelled else None, 500)
    batches = [batch for rank in over_ranks(sampler, world) for batch in rank]
    assert sorted(row for batch in batches for row in batch) == list(range(200))
    sides = (source, target) if labelled else (source,)
    assert max(padded(batch, side, 8) for batch in batches for side in sides) <= 500


def test_a_single_evaluation_batch_is_split_so_that_every_rank_has_one() -> None:
    ranks = over_ranks(TokenEvalBatches(*captions(5), 100_000), 3)
    assert all(len(rank) == 1 for rank in ranks)
    assert sorted(row for [batch] in ranks for row in batch) == list(range(5))


# --- bad input --------------------------------------------------------------------------------------------------------


def test_a_row_above_the_limit_is_an_error_before_training_that_names_both() -> None:
    lengths = np.array([5, 61, 7])
    with pytest.raises(ValueError, match=r"training row 1 has 61 tokens, 64 when padded, .* at most max_tokens=60"):
        TokenBatches(lengths, lengths, 60)
    with pytest.raises(ValueError, match="test row 1 has 61 tokens"):
        TokenEvalBatches(lengths, None, 60, split="test")


def test_fewer_rows_than_processes_is_an_error_not_a_hang() -> None:
    with pytest.raises(ValueError, match=r"2 training rows in 1 batches .* cannot be dealt evenly to 3 processes"):
        over_ranks(TokenBatches(np.array([4, 5]), np.array([4, 5]), 100), 3)
    with pytest.raises(ValueError, match="2 rows cannot be evaluated by 3 processes"):
        over_ranks(TokenEvalBatches(np.array([4, 5]), None, 100), 3)


def test_rows_that_each_fill_a_batch_and_cannot_be_dealt_evenly_are_an_error() -> None:
    lengths = np.full(5, 60)
    with pytest.raises(ValueError, match="5 training rows in 5 batches"):
        over_ranks(TokenBatches(lengths, lengths, 64), 2)
