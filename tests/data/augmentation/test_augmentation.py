"""Augmentation against slow, plain versions of itself."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from lhy_lightning.data.augmentation.augmentation import Augmentation
from lhy_lightning.data.augmentation.transforms import (
    FILL_VALUES,
    Fill,
    affine,
    affine_matrices,
    auto_contrast,
    centre_crop,
    colour_matrices,
    cut_by_gather,
    cut_by_slices,
    erasing_boxes,
    paste,
    paste_by_mask,
    paste_by_slices,
    posterize,
    random_boxes,
    random_crop,
    random_flip,
    recolour,
    scale_to_contract,
    solarize,
)  # fmt: skip

EVERYTHING = {
    "horizontal_flip": 0.5, "vertical_flip": 0.5, "crop": 2, "rotation": 20.0, "translation": 0.1, "scale": 0.2,
    "shear": 10.0, "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1, "erasing": 0.5,
}  # fmt: skip


@pytest.fixture(params=[1, 3])
def pictures(request: pytest.FixtureRequest) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (32, request.param, 9, 11), generator=generator, dtype=torch.uint8)


def same(number: int, value: float) -> Tensor:
    return torch.full((number,), value)


def colour(x: Tensor, **factors: Tensor) -> Tensor:
    return recolour(x, *colour_matrices(**factors, channels=x.shape[1]))


def test_bytes_are_scaled_once_to_minus_one_and_one() -> None:
    scaled = scale_to_contract(torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8))
    torch.testing.assert_close(scaled.flatten(), torch.tensor([-1.0, -0.6, 1.0]))
    assert torch.equal(scale_to_contract(scaled), scaled)


def test_without_augmentation_training_and_evaluation_pictures_are_equal(pictures: Tensor) -> None:
    assert torch.equal(Augmentation((9, 11))(pictures), scale_to_contract(pictures))


@pytest.mark.parametrize("dim", [2, 3])
def test_flips_mirror_about_half_of_the_pictures_exactly(pictures: Tensor, dim: int) -> None:
    flipped = random_flip(pictures, 0.5, dim=dim)
    mirrored = [torch.equal(new, old.flip(dim - 1)) for new, old in zip(flipped, pictures, strict=True)]
    kept = [torch.equal(new, old) for new, old in zip(flipped, pictures, strict=True)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 5 < sum(mirrored) < 27
    assert torch.equal(random_flip(pictures, 1.0, dim=dim), pictures.flip(dim))


@pytest.mark.parametrize("fill", get_args(Fill))
def test_crops_are_windows_of_the_padded_picture(pictures: Tensor, fill: Fill) -> None:
    modes = {"border": "edge", "reflect": "reflect"}
    cropped = random_crop(pictures, (9, 11), 2, fill)
    places = set()
    for new, old in zip(cropped.numpy(), pictures.numpy(), strict=True):
        pad = ((0, 0), (2, 2), (2, 2))
        padded = (
            np.pad(old, pad, mode=modes[fill]) if fill in modes else np.pad(old, pad, constant_values=FILL_VALUES[fill])
        )
        windows = [(y, x) for y in range(5) for x in range(5) if np.array_equal(padded[:, y : y + 9, x : x + 11], new)]
        assert windows
        places.add(windows[0])
    assert len(places) > 10  # each picture its own


def test_larger_pictures_are_cropped_at_random_in_training_and_in_the_centre_otherwise(pictures: Tensor) -> None:
    cut = Augmentation((5, 6))(pictures)
    assert cut.shape[2:] == (5, 6)
    assert not torch.equal(cut, scale_to_contract(centre_crop(pictures, (5, 6))))
    assert torch.equal(centre_crop(pictures, (5, 7)), pictures[:, :, 2:7, 2:9])


def test_an_affine_quarter_turn_is_a_transposed_flip() -> None:
    x = torch.rand(2, 3, 8, 8)
    zero = torch.zeros(2)
    matrices = affine_matrices(
        angle=same(2, math.pi / 2),
        zoom=same(2, 1.0),
        shear_x=zero,
        shear_y=zero,
        shift_x=zero,
        shift_y=zero,
        aspect=1.0,
    )
    torch.testing.assert_close(affine(x, matrices, (8, 8), "black"), torch.rot90(x, -1, (2, 3)), atol=1e-5, rtol=0)


def test_an_affine_rotation_is_one_in_pixels_for_oblong_pictures() -> None:
    x = torch.zeros(1, 1, 11, 21)
    x[..., 5, 7:14] = 1  # a bar of seven pixels across stands upright after a quarter turn, and stays of seven pixels
    zero = torch.zeros(1)
    matrices = affine_matrices(
        angle=same(1, math.pi / 2),
        zoom=same(1, 1.0),
        shear_x=zero,
        shear_y=zero,
        shift_x=zero,
        shift_y=zero,
        aspect=21 / 11,
    )
    turned = affine(x, matrices, (11, 21), "black")
    torch.testing.assert_close(turned[0, 0, :, 10], x[0, 0, 5, 5:16], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("fill", "value"), [("black", 0.0), ("grey", 128 / 255), ("white", 1.0), ("border", 0.25)])
def test_what_lies_outside_has_the_value_of_the_fill(fill: Fill, value: float) -> None:
    zero = torch.zeros(1)
    matrices = affine_matrices(
        angle=zero, zoom=same(1, 1.0), shear_x=zero, shear_y=zero, shift_x=same(1, 1.0), shift_y=zero, aspect=1.0
    )
    moved = affine(torch.full((1, 1, 8, 8), 0.25), matrices, (8, 8), fill)
    torch.testing.assert_close(moved[..., :3], torch.full((1, 1, 8, 3), 0.25))
    torch.testing.assert_close(moved[..., 5:], torch.full((1, 1, 8, 3), value))


@pytest.mark.parametrize(
    ("name", "enhance"),
    [("brightness", ImageEnhance.Brightness), ("contrast", ImageEnhance.Contrast), ("saturation", ImageEnhance.Color)],
)
@pytest.mark.parametrize("factor", [0.4, 1.7])
def test_colours_change_as_in_pil(name: str, enhance: type, factor: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    expected = np.asarray(enhance(Image.fromarray(pixels)).enhance(factor)) / 255.0
    factors = {key: same(1, factor if key == name else 1.0) for key in ("brightness", "contrast", "saturation")}
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    changed = colour(x, **factors, hue=torch.zeros(1))[0].permute(1, 2, 0).numpy()
    assert np.abs(changed - expected).max() < 3 / 255  # PIL rounds in between


def test_grey_pictures_of_three_channels_stay_grey() -> None:
    grey = torch.rand(16, 1, 6, 6).expand(-1, 3, -1, -1)
    one = torch.ones(16)
    changed = colour(grey, brightness=one * 1.1, contrast=one * 0.7, saturation=one * 1.8, hue=one * 0.3)
    torch.testing.assert_close(changed[:, 0], changed[:, 1], atol=2e-3, rtol=0)
    torch.testing.assert_close(changed[:, 0], changed[:, 2], atol=2e-3, rtol=0)


def test_a_third_of_a_turn_of_hue_moves_red_to_green_and_a_full_turn_changes_nothing() -> None:
    red = torch.tensor([0.6, 0.2, 0.2]).reshape(1, 3, 1, 1)
    one = torch.ones(1)
    turned = colour(red, brightness=one, contrast=one, saturation=one, hue=one / 3).flatten()
    full = colour(red, brightness=one, contrast=one, saturation=one, hue=one)
    assert turned.argmax() in (1, 2)
    torch.testing.assert_close(full, red, atol=2e-3, rtol=0)


def test_the_middle_grey_of_evaluation_stays_grey_under_every_geometric_change_with_grey_fill() -> None:
    geometry = {name: EVERYTHING[name] for name in ("horizontal_flip", "crop", "rotation", "translation", "shear")}
    grey = torch.full((8, 3, 10, 10), 128, dtype=torch.uint8)
    out = Augmentation((10, 10), fill="grey", **geometry)(grey)
    torch.testing.assert_close(out, scale_to_contract(grey), atol=1e-5, rtol=0)


@pytest.mark.parametrize("fill", get_args(Fill))
def test_everything_at_once_stays_in_range_at_the_size_asked_for(pictures: Tensor, fill: Fill) -> None:
    augment = Augmentation((9, 11), **EVERYTHING, fill=fill, strong=1.0)
    out = augment(pictures)
    assert out.shape == pictures.shape
    assert out.dtype == torch.float32
    assert out.min() >= -1
    assert out.max() <= 1


def test_the_same_seed_gives_the_same_pictures(pictures: Tensor) -> None:
    augment = Augmentation((9, 11), **EVERYTHING, strong=0.5)
    torch.manual_seed(3)
    first = augment(pictures)
    torch.manual_seed(3)
    assert torch.equal(augment(pictures), first)
    assert not torch.equal(augment(pictures), first)


def test_memory_order_does_not_matter(pictures: Tensor) -> None:
    augment = Augmentation((9, 11), **EVERYTHING)
    torch.manual_seed(3)
    first = augment(pictures)
    torch.manual_seed(3)
    torch.testing.assert_close(augment(pictures.contiguous(memory_format=torch.channels_last)), first)


def test_a_random_resized_crop_shows_a_part_of_at_least_the_share_asked_for() -> None:
    ramp = torch.arange(0, 200, 2, dtype=torch.uint8).expand(64, 1, 100, 100)
    out = (Augmentation((20, 20), crop_scale=0.5)(ramp) + 1) / 2 * 255
    shown = (out[..., -1] - out[..., 0]).mean((1, 2)) / 200 * 20 / 19
    assert shown.min() > math.sqrt(0.5 * 3 / 4) - 0.02
    assert shown.max() <= 1.01
    assert shown.std() > 0.02


def test_erasing_fills_a_rectangle_of_about_the_pictures_chosen() -> None:
    x = torch.ones(400, 3, 20, 20)
    erased = paste(x, erasing_boxes(x, (20, 20), 0.5), 0.0)
    share = (erased[:, 0] == 0).float().mean((1, 2))
    assert 140 < (share > 0).sum() < 260
    assert share.max() <= 0.38
    for picture in erased[share > 0][:20, 0]:
        rows, columns = (picture == 0).any(1), (picture == 0).any(0)
        assert (picture[rows][:, columns] == 0).all()  # one full rectangle


def test_windows_and_boxes_are_the_same_on_a_gpu_and_on_a_cpu(pictures: Tensor) -> None:
    top, left = torch.randint(0, 4, (32,)), torch.randint(0, 3, (32,))
    assert torch.equal(cut_by_slices(pictures, top, left, (6, 9)), cut_by_gather(pictures, top, left, (6, 9)))
    boxes = random_boxes(pictures, (9, 11), torch.rand(32) * 9, torch.rand(32) * 11)
    for other in (0.25, torch.rand(32, pictures.shape[1], 9, 11)):
        x = pictures.float()
        assert torch.equal(paste_by_slices(x.clone(), boxes, other), paste_by_mask(x.clone(), boxes, other))


def test_mixup_is_a_weighted_mean_of_two_pictures_and_keeps_both_labels() -> None:
    x = torch.arange(32.0)[:, None, None, None].expand(-1, 1, 2, 2)
    mixed, other, weight = Augmentation((2, 2), mixup=1.0).mix(x, torch.arange(32))  # type: ignore[misc]
    torch.testing.assert_close(mixed[:, 0, 0, 0], weight * torch.arange(32) + (1 - weight) * other)
    assert weight.std() > 0.1


def test_cutmix_weighs_labels_by_the_area_that_is_left() -> None:
    x = torch.arange(32.0)[:, None, None, None].expand(-1, 1, 10, 10)
    mixed, other, weight = Augmentation((10, 10), cutmix=1.0).mix(x, torch.arange(32))  # type: ignore[misc]
    own = (mixed == x).float().mean((1, 2, 3))
    moved = other != torch.arange(32)
    torch.testing.assert_close(own[moved], weight[moved])
    pasted = mixed[:, 0] != x[:, 0]
    assert torch.equal(mixed[:, 0][pasted], other.float()[:, None, None].expand(-1, 10, 10)[pasted])


def test_the_operations_of_the_strong_view_are_those_of_pil() -> None:
    pixels = np.random.default_rng(0).integers(40, 200, (3, 12, 12), dtype=np.uint8)
    x, image = torch.from_numpy(pixels)[:1, None] / 255, Image.fromarray(pixels[0])
    one, yes, no = torch.ones(1), torch.tensor([True]), torch.tensor([False])
    for ours, theirs in (
        (auto_contrast(x, yes), ImageOps.autocontrast(image)),
        (auto_contrast(x, no), image),
        (solarize(x, one * 0.4), ImageOps.solarize(image, 102)),
    ):
        assert np.abs(ours[0, 0].numpy() * 255 - np.asarray(theirs)).max() <= 1.01
    levels = np.asarray(ImageOps.posterize(image, 3)) // 32  # PIL leaves the dark end of each step, we spread the steps
    torch.testing.assert_close(posterize(x, one * 8)[0, 0], torch.from_numpy(levels / np.float32(7)))
    torch.testing.assert_close(posterize(x, one * 2**16), x, atol=1e-4, rtol=0)


def test_the_strong_view_changes_pictures_more_with_magnitude(pictures: Tensor) -> None:
    def change(magnitude: float) -> float:
        torch.manual_seed(0)
        out = Augmentation((9, 11), strong=magnitude, fill="grey")(pictures)
        return float((out - scale_to_contract(pictures)).abs().mean())

    assert change(1.0) > 2 * change(0.05) > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"horizontal_flip": 1.5}, "horizontal_flip=1.5: must lie between 0 and 1"),
        ({"hue": 0.7}, "hue=0.7: must lie between 0 and 0.5"),
        ({"crop": -1}, "none may be negative"),
        ({"fill": "pink"}, "fill='pink': choose from black, grey, white, border, reflect"),
    ],
)
def test_numbers_out_of_range_are_errors(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augmentation((4, 4), **wrong)
