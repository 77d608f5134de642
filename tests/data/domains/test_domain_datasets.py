"""`DomainBatches`: every row of every domain as often as it should come, however epochs, sizes and processes are."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any
from unittest.mock import patch

import pytest

from lhy_lightning.data.domains import domain_datasets as domain_batches
from lhy_lightning.data.domains.domain_datasets import DomainBatches

Rows = list[tuple[list[int], list[int]]]


@contextmanager
def process(rank: int, world: int) -> Iterator[None]:
    with patch.object(domain_batches, "rank_and_world", return_value=(rank, world)):
        yield


def epochs(sampler: DomainBatches, number: int) -> Rows:
    found: Rows = []
    for epoch in range(number):
        sampler.set_epoch(epoch)
        found += list(sampler)
    return found


def every_row_comes_before_any_comes_twice(drawn: list[int], rows: range) -> bool:
    passes = [drawn[first : first + len(rows)] for first in range(0, len(drawn) - len(rows) + 1, len(rows))]
    rest = drawn[len(passes) * len(rows) :]
    return all(sorted(one) == list(rows) for one in passes) and len(set(rest)) == len(rest)


@pytest.mark.parametrize(("source", "target"), [(23, 10), (10, 23), (16, 16), (7, 64)])
@pytest.mark.parametrize("epoch", ["source", "target", "longer"])
def test_every_row_of_both_sides_is_seen_before_any_is_seen_twice_across_epochs(
    source: int, target: int, epoch: Any
) -> None:
    sampler = DomainBatches([source], target, 5, target_batch_size=3, epoch=epoch)
    drawn = epochs(sampler, 12)
    assert every_row_comes_before_any_comes_twice([row for rows, _ in drawn for row in rows], range(source))
    assert every_row_comes_before_any_comes_twice([row for _, rows in drawn for row in rows], range(target))


def test_an_epoch_is_the_source_the_target_the_longer_or_a_number_of_steps() -> None:
    def steps(**options: Any) -> int:
        return len(DomainBatches([40], 90, 8, target_batch_size=9, **options))

    assert (steps(), steps(epoch="target"), steps(epoch="longer"), steps(steps=3)) == (5, 10, 10, 3)
    assert len(DomainBatches([90], 18, 8, target_batch_size=9, epoch="longer")) == 11
    assert len(DomainBatches([40, 20], 90, 10, target_batch_size=9)) == 6


def test_the_orders_of_the_sides_have_nothing_to_do_with_each_other() -> None:
    drawn = epochs(DomainBatches([60, 60], 60, 20, target_batch_size=10), 1)
    first = [row for rows, _ in drawn for row in rows[:10]]
    second = [row - 60 for rows, _ in drawn for row in rows[10:]]
    target = [row for _, rows in drawn for row in rows]
    for one, other in ((first, second), (first, target), (second, target)):
        assert sum(a == b for a, b in zip(one, other, strict=True)) < 10


def test_several_sources_have_equally_many_rows_of_a_batch_each_from_its_own_permutation() -> None:
    sizes = (10, 25, 7)
    drawn = epochs(DomainBatches(sizes, 20, 6, target_batch_size=4), 10)
    starts = (0, 10, 35)
    for number, (start, rows) in enumerate(zip(starts, sizes, strict=True)):
        own = [row for batch, _ in drawn for row in batch[2 * number : 2 * number + 2]]
        assert every_row_comes_before_any_comes_twice(own, range(start, start + rows))


@pytest.mark.parametrize("batches", [0, 1, 3])
def test_a_run_that_goes_on_in_mid_epoch_draws_what_an_unbroken_one_draws(batches: int) -> None:
    whole, again = (DomainBatches([30, 14], 17, 4, target_batch_size=6) for _ in range(2))
    whole.set_epoch(3)
    again.set_epoch(3)
    again.resume_at = (3, batches)
    assert list(again) == list(whole)[batches:]
    again.set_epoch(4)
    whole.set_epoch(4)
    assert list(again) == list(whole)


def test_two_processes_draw_what_one_draws_with_twice_the_batch() -> None:
    one = epochs(DomainBatches([30, 14], 17, 8, target_batch_size=6), 3)
    two = []
    for rank in range(2):
        with process(rank, 2):
            two.append(epochs(DomainBatches([30, 14], 17, 4, target_batch_size=3), 3))
    assert len(one) == len(two[0]) == len(two[1])
    for side, (whole, *halves) in product((0, 1), zip(one, *two, strict=True)):
        assert Counter(whole[side]) == Counter(halves[0][side]) + Counter(halves[1][side])


def test_orders_depend_on_the_runs_seed_and_differ_between_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = DomainBatches([40], 40, 8, target_batch_size=8)
    first = epochs(sampler, 2)
    assert first[:5] != first[5:]
    assert epochs(DomainBatches([40], 40, 8, target_batch_size=8), 2) == first
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    assert epochs(sampler, 2) != first


def test_without_target_rows_only_the_source_is_drawn() -> None:
    for target in (0, 20):
        drawn = epochs(DomainBatches([12], target, 4, target_batch_size=0), 2)
        assert all(not rows for _, rows in drawn)
        assert len(drawn) == 6


def test_batches_that_no_domain_fills_are_errors_that_say_what_to_set() -> None:
    with pytest.raises(
        ValueError, match=r"source photo has 12 training rows, .* 64 on each of 1 .*batch_size to at most 12"
    ):
        len(DomainBatches([12], 90, 64, target_batch_size=8, names=["source photo", "target sketch"]))
    with pytest.raises(ValueError, match=r"target sketch has 6 training rows.*data.target_batch_size to at most 6"):
        len(DomainBatches([90], 6, 64, target_batch_size=8, names=["source photo", "target sketch"]))
    with process(0, 4), pytest.raises(ValueError, match=r"target has 3 training rows, .* 1 on each of 4 .* fewer proc"):
        len(DomainBatches([90], 3, 8, target_batch_size=1))
    with pytest.raises(ValueError, match=r"source 1 has 4 training rows.*batch_size to at most 8"):
        len(DomainBatches([90, 4], 90, 10, target_batch_size=8, steps=2))
    with pytest.raises(ValueError, match=r"batch_size=64 cannot be shared equally by 3 .* multiple of 3"):
        DomainBatches([90, 90, 90], 90, 64, target_batch_size=8)
    with pytest.raises(ValueError, match=r"epoch='longer' counts target rows, but target_batch_size=0"):
        DomainBatches([90], 90, 8, target_batch_size=0, epoch="longer")
