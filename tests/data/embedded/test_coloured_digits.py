"""Grey and coloured digits have no picture in common, and colours tell nothing about the digit."""

import numpy as np

from lhy_lightning.data.embedded.digits import EMBEDDED, coloured_digits, digits, grey_digits


def test_the_halves_hold_every_digit_once_and_share_no_picture() -> None:
    pixels, labels, _ = digits()
    grey, grey_labels, names = grey_digits()
    colour, colour_labels, _ = coloured_digits()
    assert grey.shape == (899, 8, 8)
    assert colour.shape == (898, 8, 8, 3)
    assert names == tuple("0123456789")
    counts = np.bincount(grey_labels) + np.bincount(colour_labels)
    assert np.array_equal(counts, np.bincount(labels))
    assert np.abs(np.bincount(grey_labels) - np.bincount(colour_labels)).max() <= 2
    in_grey = {picture.tobytes() for picture in grey}
    in_colour = [picture for picture in pixels if picture.tobytes() not in in_grey]
    assert len(in_colour) == len(colour)


def test_strokes_are_brighter_than_their_ground_so_the_digit_stays_readable() -> None:
    pixels, grey, colour = digits()[0], grey_digits()[0], coloured_digits()[0]
    in_grey = {picture.tobytes() for picture in grey}
    plain = np.stack([picture for picture in pixels if picture.tobytes() not in in_grey])  # the coloured half, grey
    luma = colour @ np.array([0.299, 0.587, 0.114])
    for one, other in zip(plain.reshape(len(plain), -1), luma.reshape(len(luma), -1), strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.99


def test_hue_is_spread_alike_over_the_classes() -> None:
    colour, labels, _ = coloured_digits()
    ground = colour[:, 0, 0].astype(float)  # a corner is ground in nearly every picture
    means = np.stack([ground[labels == digit].mean(0) for digit in range(10)])
    error = ground.std(0) / np.sqrt(85)
    assert (np.abs(means - ground.mean(0)) < 4 * error).all()


def test_sources_are_arrays_of_bytes_alike_at_every_call() -> None:
    for load in EMBEDDED.values():
        first, second = load(), load()
        assert first[0].dtype == np.uint8
        assert first[1].dtype == np.int64
        assert np.array_equal(first[0], second[0])
