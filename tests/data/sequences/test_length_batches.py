"""Batches of like length by rows: every row once, little padding, another order every epoch."""

from unittest.mock import patch

import numpy as np
import pytest
from torch.utils.data import Sampler

from lhy_lightning.data import samplers
from lhy_lightning.data.sequences.length_batches import LengthBatches, LengthEvalBatches, length_batches
from lhy_lightning.data.sequences.token_batches import TokenBatches, round_up

LENGTHS = np.random.default_rng(0).integers(5, 200, 1013)


def over_ranks(sampler: Sampler, world: int) -> list[list[list[int]]]:
    found = []
    for rank in range(world):
        with patch.object(samplers, "rank_and_world", return_value=(rank, world)):
            batches = list(sampler)
            assert len(batches) == len(sampler)  # type: ignore[arg-type]
            found.append(batches)
    return found


def padded(batches: list[list[int]]) -> float:
    """Padded tokens over real ones."""
    return sum(int(round_up(LENGTHS[rows], 8).max()) * len(rows) for rows in batches) / int(LENGTHS.sum())


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 7, 32, 5000])
def test_each_row_once_over_ranks_and_as_many_steps_on_each(world: int, batch_size: int) -> None:
    sampler = LengthBatches(LENGTHS, batch_size, bucket_batches=5)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        ranks = over_ranks(sampler, world)
        assert len({len(batches) for batches in ranks}) == 1
        assert sorted(row for batches in ranks for rows in batches for row in rows) == list(range(1013))
        assert all(1 <= len(rows) <= batch_size + (batch_size == 1) for batches in ranks for rows in batches)


def test_steps_differ_by_at_most_a_row() -> None:
    sizes = {len(step) for step in LengthBatches(LENGTHS, 32).epoch_steps(0)}
    assert max(sizes) - min(sizes) <= 1


def test_rows_of_like_length_go_together_which_saves_the_padding() -> None:
    grouped, plain = LengthBatches(LENGTHS, 16), LengthBatches(LENGTHS, 16, bucket_batches=0)
    assert padded(list(grouped)) < 1.06
    assert padded(list(plain)) > 1.6


def test_the_ranks_of_a_step_pad_to_like_widths() -> None:
    first, second = over_ranks(LengthBatches(LENGTHS, 16), 2)
    apart = [abs(LENGTHS[a].max() - LENGTHS[b].max()) for a, b in zip(first, second, strict=True)]
    assert np.mean(apart) < 4


def test_the_order_differs_by_epoch_and_seed_and_is_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def order(epoch: int) -> list[list[int]]:
        sampler = LengthBatches(LENGTHS, 16)
        sampler.set_epoch(epoch)
        return list(sampler)

    first = order(0)
    assert order(0) == first
    assert sorted(map(sorted, order(1))) != sorted(map(sorted, first))  # not the batches alone: who is in them
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    assert order(0) != first


def test_batches_do_not_come_sorted_by_length() -> None:
    widths = [LENGTHS[rows].max() for rows in LengthBatches(LENGTHS, 16)]
    assert abs(np.corrcoef(widths, np.arange(len(widths)))[0, 1]) < 0.4


def test_a_resumed_epoch_goes_on_where_it_was_cut_off() -> None:
    whole = LengthBatches(LENGTHS, 16)
    whole.set_epoch(2)
    resumed = LengthBatches(LENGTHS, 16)
    resumed.set_epoch(2)
    resumed.resume_at = (2, 10)
    assert list(resumed) == list(whole)[10:]


@pytest.mark.parametrize("max_tokens", [None, 1600])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_evaluation_sees_each_row_once_the_longest_first(world: int, max_tokens: int | None) -> None:
    ranks = over_ranks(LengthEvalBatches(LENGTHS, 32, max_tokens=max_tokens), world)
    assert sorted(row for batches in ranks for rows in batches for row in rows) == list(range(1013))
    for batches in ranks:
        widths = [int(round_up(LENGTHS[rows], 8).max()) for rows in batches]
        assert widths == sorted(widths, reverse=True)
        assert max(map(len, batches)) <= 32
        if max_tokens is not None:
            assert max(width * len(rows) for width, rows in zip(widths, batches, strict=True)) <= max_tokens
    rows_each = [sum(map(len, batches)) for batches in ranks]
    assert max(rows_each) - min(rows_each) <= 1


def test_rows_of_a_group_are_evaluated_by_one_rank() -> None:
    groups = np.random.default_rng(1).integers(0, 200, len(LENGTHS)) * 3  # with gaps
    ranks = over_ranks(LengthEvalBatches(LENGTHS, 32, groups=groups), 2)
    owners = [{int(groups[row]) for rows in batches for row in rows} for batches in ranks]
    assert not owners[0] & owners[1]
    assert sorted(row for batches in ranks for rows in batches for row in rows) == list(range(1013))


def test_by_tokens_it_is_the_sampler_that_counts_them() -> None:
    sampler = length_batches(LENGTHS, batch_size=3, max_tokens=1600)
    assert isinstance(sampler, TokenBatches)
    assert max(int(round_up(LENGTHS[rows], 8).max()) * len(rows) for rows in sampler) <= 1600
    assert isinstance(length_batches(LENGTHS, batch_size=3), LengthBatches)


def test_what_cannot_be_is_an_error() -> None:
    few = LENGTHS[:2]
    with (
        patch.object(samplers, "rank_and_world", return_value=(0, 3)),
        pytest.raises(ValueError, match="2 training rows cannot be dealt to 3 processes"),
    ):
        len(LengthBatches(few, 8))
    with (
        patch.object(samplers, "rank_and_world", return_value=(0, 3)),
        pytest.raises(ValueError, match="2 test rows cannot be evaluated by 3 processes"),
    ):
        len(LengthEvalBatches(few, 8, split="test"))
    with pytest.raises(ValueError, match="at least 1"):
        LengthBatches(LENGTHS, 0)
    with pytest.raises(ValueError, match="bucket_batches=-1"):
        LengthBatches(LENGTHS, 8, bucket_batches=-1)
    with pytest.raises(ValueError, match=r"val row .* max_tokens=100"):
        LengthEvalBatches(LENGTHS, 8, max_tokens=100, split="val")
