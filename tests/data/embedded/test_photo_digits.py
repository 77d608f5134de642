"""Plain digits and digits over photos: thirds without a common digit, ten patches of one on one side."""

import numpy as np

from lhy_lightning.data.embedded.digits import EMBEDDED, digits
from lhy_lightning.data.embedded.photo_digits import PATCHES, enlarged, third_of_row

NAMES = ("plain_digits", "photo_digits", "photo_digits_val", "photo_digits_test")


def test_every_digit_is_in_one_part_and_equal_pictures_are_in_the_same() -> None:
    pixels, labels, _ = digits()
    part = third_of_row(pixels, labels)
    assert np.bincount(part).tolist() == [599, 540, 60, 598]
    where: dict[bytes, int] = {}
    assert all(
        where.setdefault(picture.tobytes(), number) == number
        for picture, number in zip(pixels, part.tolist(), strict=True)
    )
    counts = np.stack([np.bincount(labels[part == number], minlength=10) for number in range(4)])
    assert (counts.max(1) - counts.min(1)).max() <= 3  # every class in equal parts
    assert [len(EMBEDDED[name]()[0]) for name in NAMES] == [599, 5400, 600, 5980]


def test_plain_digits_are_grey_in_three_channels() -> None:
    pixels, labels, names = EMBEDDED["plain_digits"]()
    assert (pixels.shape, pixels.dtype, names) == ((599, 16, 16, 3), np.uint8, tuple("0123456789"))
    assert np.array_equal(pixels[..., 0], pixels[..., 2])
    assert np.bincount(labels).min() >= 58


def test_a_digit_over_a_photo_is_the_brighter_of_stroke_and_patch() -> None:
    plain, labels, _ = digits()
    strokes = enlarged(plain[third_of_row(plain, labels) == 2])
    over, over_labels, _ = EMBEDDED["photo_digits_val"]()
    repeated = np.repeat(strokes, PATCHES, axis=0)[..., None]
    assert (over >= repeated).all()
    assert over[np.broadcast_to(repeated == 0, over.shape)].max() <= 179  # .7 of 255
    assert np.array_equal(over_labels, np.repeat(labels[third_of_row(plain, labels) == 2], PATCHES))


def test_the_ten_patches_of_a_digit_differ_and_are_alike_at_every_call() -> None:
    pixels, _, _ = EMBEDDED["photo_digits_test"]()
    tens = pixels.reshape(-1, PATCHES, 16 * 16 * 3)
    assert np.mean([len(np.unique(ten, axis=0)) for ten in tens]) > 9.9
    assert np.array_equal(pixels, EMBEDDED["photo_digits_test"]()[0])
    assert np.median(pixels[:, 0, :, :].astype(float).std(1)) > 5  # patches are not flat
