"""Grids of samples and ways between two noises."""

from pathlib import Path

import torch

from lhy_lightning.callbacks.images import picture_grid, with_column_names
from lhy_lightning.gan.gan import GAN
from lhy_lightning.gan.plots import slerp
from tests.cnn.pictures_to_fit import BrightOrDark, silent_trainer


def test_a_grid_has_its_pictures_row_by_row_with_a_white_line_between() -> None:
    images = torch.tensor([-1.0, 0.0, 1.0])[:, None, None, None].expand(3, 1, 2, 2)
    sheet = picture_grid(images, columns=2, at_least=2)
    assert sheet.shape == (5, 5, 3)
    assert (sheet[:2, :2] == 0).all()
    assert (sheet[:2, 3:] == 128).all()
    assert (sheet[:, 2] == 255).all()
    assert (sheet[3:, :2] == 255).all()


def test_small_pictures_are_enlarged_to_squares_of_pixels_and_large_ones_left() -> None:
    image = torch.linspace(-1, 1, 28 * 28).view(1, 1, 28, 28)
    sheet = picture_grid(image, at_least=64)
    assert sheet.shape == (56, 56, 3)
    assert (sheet[0::2, 1::2] == picture_grid(image, at_least=28)).all()
    assert picture_grid(torch.zeros(1, 3, 65, 10)).shape == (65, 10, 3)


def test_the_way_between_two_noises_keeps_their_length_and_ends_at_them() -> None:
    start, end = torch.tensor([[1.0, 0, 0]]), torch.tensor([[0.0, 1, 0]])
    between = slerp(start, end, torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(between[:, [0, 2]], torch.stack([start, end], 1))
    torch.testing.assert_close(between[0, 1], torch.tensor([0.5**0.5, 0.5**0.5, 0]))


def test_a_run_leaves_grids_from_the_same_noise_and_an_interpolation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = GAN(width=4, latent_dim=3, plot_every_n_steps=2, condition="concat")
    trainer = silent_trainer(tmp_path, max_steps=3, max_epochs=-1, limit_val_batches=0)
    trainer.fit(module, datamodule=BrightOrDark())
    found = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert found == ["grid_000002.png", "grid_000003.png", "interpolation.png"]


def test_columns_are_named_above_the_grid_upright_where_names_are_long() -> None:
    sheet = picture_grid(torch.zeros(4, 1, 8, 8), columns=4)
    named = with_column_names(sheet, ["a", "b", "c", "d"])
    line = len(named) - len(sheet)
    assert (named[line:] == sheet).all()
    assert 10 < line < 30
    column = sheet.shape[1] // 4
    for number in range(4):
        assert (named[:line, number * column : (number + 1) * column] < 128).any()
    long = with_column_names(sheet, ["automobile accessories of all kinds"] * 4)
    assert len(long) - len(sheet) > 100
