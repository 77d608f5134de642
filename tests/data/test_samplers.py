from unittest.mock import patch

import pytest
import torch

from lhy_lightning.data import samplers
from lhy_lightning.data.samplers import EvalBatches, TrainBatches, endless_rows


def over_ranks(make: object, world: int) -> list[list[list[int]]]:
    everything = []
    for rank in range(world):
        with patch.object(samplers, "rank_and_world", return_value=(rank, world)):
            sampler = make()  # type: ignore[operator]
            batches = list(sampler)
            assert len(batches) == len(sampler)
            everything.append(batches)
    return everything


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_row_at_most_once_an_epoch_and_every_rank_the_same_number_of_batches(world: int) -> None:
    ranks = over_ranks(lambda: TrainBatches(103, 8), world)
    rows = [row for rank in ranks for batch in rank for row in batch]
    assert len(rows) == len(set(rows)) == 103 // (8 * world) * 8 * world
    assert {len(rank) for rank in ranks} == {103 // (8 * world)}


@pytest.mark.parametrize("world", [1, 2, 3])
def test_without_drop_last_every_row_is_used(world: int) -> None:
    ranks = over_ranks(lambda: TrainBatches(97, 8, drop_last=False), world)
    rows = [row for rank in ranks for batch in rank for row in batch]
    assert set(rows) == set(range(97))
    assert len(rows) <= 97 + world - 1
    assert all(batch for rank in ranks for batch in rank)


def test_two_ranks_together_see_the_rows_that_one_process_sees_with_twice_the_batch() -> None:
    [one] = over_ranks(lambda: TrainBatches(64, 16), 1)
    first, second = over_ranks(lambda: TrainBatches(64, 8), 2)
    for whole, left, right in zip(one, first, second, strict=True):
        assert sorted(whole) == sorted(left + right)


def test_order_is_a_function_of_seed_and_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        monkeypatch.setenv("PL_GLOBAL_SEED", str(seed))
        sampler = TrainBatches(50, 10)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 3) == order(1, 3)
    assert order(1, 3) != order(2, 3)
    assert order(1, 3) != order(1, 4)


def test_a_resumed_epoch_yields_the_remaining_batches_and_the_next_all_of_them() -> None:
    whole, sampler = TrainBatches(50, 10), TrainBatches(50, 10)
    sampler.resume_at = (1, 3)
    for epoch, left_out in ((0, 0), (1, 3), (2, 0)):
        whole.set_epoch(epoch)
        sampler.set_epoch(epoch)
        assert list(sampler) == list(whole)[left_out:]


def test_with_steps_an_epoch_every_row_comes_once_before_any_comes_twice() -> None:
    sampler, rows = TrainBatches(10, 4, steps=3), []
    for epoch in range(5):
        sampler.set_epoch(epoch)
        rows += [row for batch in sampler for row in batch]
    for start in range(0, 60, 10):
        assert sorted(rows[start : start + 10]) == list(range(10))
    assert endless_rows(10, first=7, count=9).tolist() == endless_rows(10, first=0, count=16).tolist()[7:]


def test_weights_draw_rare_rows_as_often_as_asked() -> None:
    weights = torch.tensor([1.0] * 90 + [9.0] * 10)
    sampler, rare = TrainBatches(100, 50, weights=weights), 0
    for epoch in range(200):
        sampler.set_epoch(epoch)
        rare += sum(row >= 90 for batch in sampler for row in batch)
    assert rare / 20_000 == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_evaluation_covers_every_row_exactly_once(world: int) -> None:
    ranks = over_ranks(lambda: EvalBatches(11, 2), world)
    assert sorted(row for rank in ranks for batch in rank for row in batch) == list(range(11))


def test_fewer_rows_than_needed_is_an_error_not_a_hang() -> None:
    with pytest.raises(ValueError, match="2 rows cannot be evaluated by 3 processes"):
        over_ranks(lambda: EvalBatches(2, 2), 3)
    with pytest.raises(ValueError, match="10 training rows do not fill one batch of 16 on each of 1 processes"):
        len(TrainBatches(10, 16))
