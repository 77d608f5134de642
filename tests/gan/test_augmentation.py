"""Differentiable augmentation does what the paper says to every picture, and gradients pass through it."""

import pytest
import torch
from torch import Tensor

from lhy_lightning.gan.augmentation import augment, augmentation_draws

POLICY = "color,translation,cutout"


def batch(count: int = 5, side: int = 8) -> Tensor:
    torch.manual_seed(0)
    return torch.rand(count, 3, side, side, dtype=torch.float64) * 2 - 1


def test_no_policy_leaves_the_pictures_alone() -> None:
    x = batch()
    assert augment(x, "") is x


def test_the_middle_of_every_range_changes_nothing_but_the_cut() -> None:
    x = batch()
    middle = {name: torch.full((5, count), 0.5) for name, count in (("color", 3), ("translation", 2))}
    torch.testing.assert_close(augment(x, "color,translation", middle), x)


def test_color_is_brightness_then_saturation_then_contrast() -> None:
    x = batch()
    draws = augmentation_draws("color", 5)
    out = augment(x, "color", draws)
    for row in range(5):
        brightness, saturation, contrast = draws["color"][row].tolist()
        picture = x[row] + brightness - 0.5
        grey = picture.mean(0)
        picture = grey + (picture - grey) * 2 * saturation
        picture = picture.mean() + (picture - picture.mean()) * (contrast + 0.5)
        torch.testing.assert_close(out[row], picture)


def test_translation_moves_by_whole_pixels_up_to_an_eighth_and_grey_comes_in() -> None:
    x = batch(9, side=8)
    thirds = torch.tensor([1 / 6, 3 / 6, 5 / 6])  # one pixel up, none, one down
    out = augment(x, "translation", {"translation": torch.cartesian_prod(thirds, thirds)})
    shifts = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1)]
    for row, (down, across) in enumerate(shifts):
        for i in range(8):
            for j in range(8):
                inside = 0 <= i - down < 8 and 0 <= j - across < 8
                expected = x[row, :, i - down, j - across] if inside else torch.zeros(3, dtype=x.dtype)
                assert torch.equal(out[row, :, i, j], expected)


@pytest.mark.parametrize(("side", "square"), [(8, 4), (10, 5)])
def test_cutout_sets_a_square_of_half_the_side_to_grey(side: int, square: int) -> None:
    x = batch(200, side=side)
    out = augment(x, "cutout", augmentation_draws("cutout", 200))
    cut = (out == 0).all(1)
    assert torch.equal(out[~cut[:, None].expand_as(out)], x[~cut[:, None].expand_as(x)])
    heights, widths = cut.any(2).sum(1), cut.any(1).sum(1)
    assert torch.equal(cut.sum((1, 2)), heights * widths)  # a rectangle, smaller only at the edge
    assert heights.max() == widths.max() == square
    assert heights.min() == widths.min() == square // 2 + square % 2  # the centre is in the picture
    starts = {(int(row.any(1).nonzero()[0]), int(row.any(1).sum())) for row in cut}
    assert len(starts) == side + 1 - square % 2  # every place comes up


def test_gradients_match_finite_differences_twice() -> None:
    x = batch(2, side=6).requires_grad_()
    draws = augmentation_draws(POLICY, 2)
    assert torch.autograd.gradcheck(lambda x: augment(x, POLICY, draws), x)
    assert torch.autograd.gradgradcheck(lambda x: augment(x, POLICY, draws).square(), x)


def test_no_gradient_comes_from_what_is_cut_out() -> None:
    x = batch().requires_grad_()
    out = augment(x, "cutout")
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad == 0, out == 0)


def test_a_batch_and_its_halves_are_changed_alike() -> None:
    x, draws = batch(6), augmentation_draws(POLICY, 6)
    halves = [
        augment(x[rows], POLICY, {name: draw[rows] for name, draw in draws.items()})
        for rows in (slice(0, 3), slice(3, 6))
    ]
    torch.testing.assert_close(torch.cat(halves), augment(x, POLICY, draws))


def test_draws_come_from_torchs_generator_one_for_each_picture() -> None:
    x = batch(1).expand(4, -1, -1, -1)
    results = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        results.append(augment(x, POLICY))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert len({tuple(picture.flatten().tolist()) for picture in results[0]}) == 4


def test_half_precision_and_memory_layout_do_not_change_the_places() -> None:
    x = batch(16).float()
    draws = {name: draw.fill_(1 - 2**-24) for name, draw in augmentation_draws(POLICY, 16).items()}
    last = augment(x.to(memory_format=torch.channels_last), POLICY, draws)
    torch.testing.assert_close(last, augment(x, POLICY, draws))
    half = augment(x.bfloat16(), POLICY, draws)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), last, atol=0.1, rtol=0)
    assert torch.equal(half == 0, last == 0)


def test_an_unknown_change_and_missing_draws_are_errors() -> None:
    with pytest.raises(ValueError, match="no change is called 'colour': color, translation, cutout"):
        augment(batch(), "colour,cutout")
    with pytest.raises(ValueError, match="has 'cutout', but there are draws for color"):
        augment(batch(), "color,cutout", augmentation_draws("color", 5))
