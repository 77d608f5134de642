"""Anomalies made of normal pictures: what is changed, what is not, and what the decoder is to give back."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lhy_lightning.autoencoders.anomaly.synthetic_anomalies import (
    fit_for_moves,
    make_anomalies,
    moved,
    moves_of,
    noise,
    pasted,
    pasted_by_row,
    shuffled_latents,
)


def some(count: int = 12, channels: int = 3, side: int = 16) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def draws(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("name", "count"), [("rotations", 4), ("shifts", 36), ("noise", 0)])
def test_moves_differ_from_each_other_and_the_first_changes_nothing(name: str, count: int) -> None:
    images, moves = some(1), moves_of(name)
    assert len({tuple(moved(images, move).flatten().tolist()) for move in moves}) == len(moves) == count
    assert not moves or torch.equal(moved(images, moves[0]), images)


def test_a_quarter_turn_four_times_over_is_no_turn() -> None:
    images = some()
    turned = images
    for _ in range(4):
        turned = moved(turned, (1, 0, 0))
    assert torch.equal(turned, images)


def test_a_shift_fills_what_it_uncovers_with_the_mirror_image() -> None:
    images = some()
    padded = F.pad(images, (4, 4, 4, 4), mode="reflect")
    assert torch.equal(moved(images, (0, 1, -1)), padded[:, :, 0:16, 8:24])
    assert torch.equal(moved(images, (2, -1, 1)), padded[:, :, 8:24, 0:16].rot90(2, (2, 3)))


def test_moved_pictures_are_of_all_kinds_and_given_back_as_they_are() -> None:
    images = some(72)
    made = make_anomalies("shifts", images, draws())
    assert made.kind.bincount().tolist() == [2] * 36
    assert torch.equal(made.target, made.seen)
    for row in (0, 17, 71):
        move = moves_of("shifts")[int(made.kind[row])]
        assert torch.equal(made.seen[row], moved(images[row : row + 1], move)[0])


@pytest.mark.parametrize("name", ["noise", "patches"])
def test_half_is_left_alone_and_the_other_half_is_to_be_restored(name: str) -> None:
    images = some()
    made = make_anomalies(name, images, draws())
    same = (made.seen == images).flatten(1).all(1)
    assert torch.equal(same, made.kind == 0)
    assert int(same.sum()) == 6
    assert torch.equal(made.target, images)
    assert made.seen.min() >= -1
    assert made.seen.max() <= 1


def test_noise_reaches_from_a_tenth_to_nothing_left_of_the_picture() -> None:
    images = torch.zeros(400, 1, 8, 8)
    strength = noise(images, draws()).abs().flatten(1).amax(1)
    assert strength.min() < 0.2
    assert strength.max() > 0.9


def test_a_pasted_piece_is_a_rectangle_of_another_picture_and_its_place_is_told() -> None:
    images = torch.linspace(-0.2, 0.2, 8)[:, None, None, None].expand(8, 1, 20, 20)
    changed, where = pasted(images, draws())
    for row in range(8):
        rows, columns = where[row].any(1).nonzero().flatten(), where[row].any(0).nonzero().flatten()
        assert int(where[row].sum()) == len(rows) * len(columns)
        assert 2 <= len(rows) <= 8
        assert 2 <= len(columns) <= 8
        piece = changed[row, 0][where[row]].unique()
        assert len(piece) == 1
        assert 0.39 < abs(float(piece - images[row - 1, 0, 0, 0])) <= 1.01  # lighter or darker than it was
        assert torch.equal(changed[row, 0][~where[row]], images[row, 0][~where[row]])


def test_a_piece_by_row_is_the_pictures_own_and_the_same_in_any_batch() -> None:
    images, rows = some(8), torch.tensor([5, 0, 7, 123456, 2, 3, 9, 1])
    changed, where = pasted_by_row(images, rows)
    assert where.flatten(1).any(1).all()
    for part in (slice(0, 3), slice(3, 8), slice(4, 5)):
        again, there = pasted_by_row(images[part], rows[part])
        assert torch.equal(again, changed[part])
        assert torch.equal(there, where[part])


def test_other_latents_have_every_coordinate_from_some_picture() -> None:
    latents = torch.randn(9, 5)
    shuffled = shuffled_latents(latents, draws())
    assert torch.equal(shuffled.sort(0).values, latents.sort(0).values)
    assert not torch.equal(shuffled, latents)


def test_the_same_draws_make_the_same_anomalies() -> None:
    for name in ("noise", "patches", "rotations"):
        first, second = (make_anomalies(name, some(), draws(5)) for _ in range(2))
        assert torch.equal(first.seen, second.seen)


def test_pictures_that_are_not_square_cannot_be_turned() -> None:
    fit_for_moves("noise", (8, 16))
    with pytest.raises(
        ValueError, match="synthetic_anomalies=rotations needs square pictures of at least 8 x 8, not 8 x 16"
    ):
        fit_for_moves("rotations", (8, 16))
