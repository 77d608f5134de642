"""The image pool hands older pictures on half of the time, and its state is its pictures."""

import pytest
import torch
from torch import Tensor

from lhy_lightning.gan.image_translation.image_pool import ImagePool


def numbered(first: int, count: int) -> Tensor:
    """Pictures (count, 1, 1, 1) whose pixel is their number."""
    return torch.arange(first, first + count, dtype=torch.float32).view(-1, 1, 1, 1)


def test_the_first_pictures_are_stored_and_handed_on_as_they_are() -> None:
    pool = ImagePool(5)
    assert torch.equal(pool(numbered(0, 3)), numbered(0, 3))
    assert len(pool) == 3
    assert torch.equal(pool(numbered(3, 2)), numbered(3, 2))
    assert torch.equal(pool.state_dict()["pictures"], numbered(0, 5))


def test_a_pool_of_no_pictures_hands_everything_on_without_a_graph() -> None:
    pictures = numbered(0, 4).requires_grad_()
    out = ImagePool(0)(pictures)
    assert torch.equal(out, pictures)
    assert not out.requires_grad


def test_half_of_the_later_pictures_are_older_ones_and_of_the_age_that_chance_gives() -> None:
    torch.manual_seed(0)
    pool, size, count = ImagePool(20), 20, 20_000
    new = numbered(0, count)
    ages = torch.cat([new[i : i + 8] - pool(new[i : i + 8]) for i in range(0, count, 8)]).flatten()[1000:]
    share = (ages > 0).float().mean()
    assert abs(share - 0.5) < 4 * 0.5 / len(ages) ** 0.5
    # A place is taken with probability 1/2 · 1/20 by each picture that comes: ages are geometric of mean 40
    old = ages[ages > 0]
    assert abs(old.mean() - 2 * size) < 4 * (2 * size) / len(old) ** 0.5


def test_every_picture_is_handed_on_at_most_once_after_the_pool_is_full_and_none_gets_lost() -> None:
    torch.manual_seed(0)
    pool = ImagePool(10)
    pool(numbered(0, 10))
    out = pool(numbered(10, 500)).flatten()
    kept = pool.state_dict()["pictures"].flatten()
    assert sorted(torch.cat([out, kept]).tolist()) == list(range(510))


def test_pictures_of_one_batch_meet_each_other_in_their_order() -> None:
    torch.manual_seed(3)
    pool = ImagePool(1)
    pool(numbered(0, 1))
    out, kept = pool(numbered(1, 50)).flatten().tolist(), 0
    for number, given in enumerate(out, start=1):  # with one place, a swap gives what was swapped in last
        assert given in (number, kept)
        kept = kept if given == number else number


def test_what_is_handed_on_is_a_copy() -> None:
    torch.manual_seed(0)
    pool, pictures = ImagePool(4), numbered(0, 4)
    pool(pictures).zero_()
    pictures.zero_()
    assert torch.equal(pool.state_dict()["pictures"], numbered(0, 4))


def test_a_restored_pool_goes_on_as_the_first_one() -> None:
    torch.manual_seed(0)
    first, second = ImagePool(6), ImagePool(6)
    first(numbered(0, 4))
    second.load_state_dict(first.state_dict())
    for start in (4, 12, 20):
        torch.manual_seed(start)
        expected = first(numbered(start, 8))
        torch.manual_seed(start)
        assert torch.equal(second(numbered(start, 8)), expected)


def test_an_empty_pool_is_restored_empty_and_a_smaller_one_keeps_the_first() -> None:
    empty, small, full = ImagePool(3), ImagePool(2), ImagePool(3)
    empty.load_state_dict(ImagePool(3).state_dict())
    assert len(empty) == 0
    full(numbered(0, 3))
    small.load_state_dict(full.state_dict())
    assert torch.equal(small.state_dict()["pictures"], numbered(0, 2))


def test_another_shape_and_a_negative_size_are_named() -> None:
    pool = ImagePool(3)
    pool(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"holds pictures of shape \(3, 8, 8\), not \(1, 8, 8\)"):
        pool(torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match="size=-1"):
        ImagePool(-1)
