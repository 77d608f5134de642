"""Edges are thin, white on black, and where brightness changes; grey is PIL's."""

import numpy as np
import torch
from PIL import Image

from lhy_lightning.data.augmentation.edges import edges, grey


def test_a_step_has_one_line_of_one_pixel() -> None:
    picture = torch.full((1, 1, 6, 8), -1.0)
    picture[..., 4:] = 1
    for turned in (picture, picture.transpose(2, 3)):
        found = edges(turned)
        assert found.shape == turned.shape
        assert set(found.unique().tolist()) == {-1.0, 1.0}
        lines = (found > 0).sum(3 if turned is picture else 2).flatten()
        assert (lines == 1).all()
    assert (edges(picture)[..., 3:5] > 0).any(3).all()


def test_a_disc_has_a_closed_thin_ring_at_its_border() -> None:
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    away = torch.hypot(y - 15.5, x - 15.5)
    disc = (10 - away).clamp(-1, 1)[None, None]
    found = edges(disc)[0, 0] > 0
    assert ((away[found] - 10).abs() < 1.5).all()
    assert 45 < found.sum() < 90  # circumference 63
    angles = torch.atan2(y - 15.5, x - 15.5)[found]
    assert len((angles * 12 / torch.pi).floor().unique()) == 24  # no gap of 15 degrees


def test_flat_pictures_and_faint_noise_have_no_edge() -> None:
    torch.manual_seed(0)
    assert (edges(torch.zeros(2, 3, 8, 8)) == -1).all()
    assert (edges(torch.rand(2, 3, 8, 8) * 0.02) == -1).all()


def test_edges_do_not_depend_on_contrast_nor_on_other_pictures() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(4, 3, 16, 16) * 2 - 1
    assert torch.equal(edges(pictures * 0.5), edges(pictures))
    assert torch.equal(edges(pictures[1:2]), edges(pictures)[1:2])


def test_grey_is_the_luma_that_pil_takes() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    expected = torch.from_numpy(np.asarray(Image.fromarray(pixels).convert("L")).copy())
    ours = grey(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1)
    assert ours.shape == (1, 1, 9, 7)
    assert ((ours[0, 0] + 1) * 127.5 - expected).abs().max() < 1
    assert torch.equal(grey(ours), ours)
