"""Pictures of a run: one file in its `samples/` folder, and the same in Weights & Biases where that is on."""

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import WandbLogger
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from lhy_lightning.callbacks.fonts import use_installed_fonts
from lhy_lightning.core.atomic_files import atomic_write
from lhy_lightning.training.run_directory import leaves_files, run_directory

LONGEST_NAME = 20  # letters of a column's name


def figure_to_array(figure: Figure) -> np.ndarray:
    """Renders a figure, its texts in fonts that have their characters. Returns (H, W, 3) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    use_installed_fonts(figure)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def to_bytes(images: Tensor) -> np.ndarray:
    """Pictures (N, C, H, W) in [-1, 1] to (N, H, W, C) uint8; what lies outside is clamped."""
    scaled = ((images.detach().float() + 1) * 127.5).round().clamp(0, 255)
    return scaled.byte().permute(0, 2, 3, 1).cpu().numpy()


def picture_file(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    """A picture (H, W, C) uint8, C 1 or 3, as the content of a file; options as in Pillow's `save`."""
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(file, kind, **options)
    return file.getvalue()


def picture_grid(images: Tensor, *, columns: int = 8, gap: int = 1, at_least: int = 64) -> np.ndarray:
    """Pictures side by side on a white sheet, row by row.

    Args:
        images: (N, C, H, W) in [-1, 1], C 1 or 3.
        columns: pictures a row.
        gap: pixels between them.
        at_least: smaller pictures are enlarged, each pixel to a square of pixels, as far as that does not exceed this.

    Returns:
        (rows * (H + gap) - gap, columns * (W + gap) - gap, 3) uint8, H and W after enlarging.

    Example:
        >>> import torch
        >>> from lhy_lightning import picture_grid
        >>> picture_grid(torch.zeros(4, 1, 8, 8), columns=2, gap=1, at_least=8).shape
        (17, 17, 3)
    """
    pixels = to_bytes(images)
    larger = max(1, at_least // max(pixels.shape[1:3]))
    pixels = pixels.repeat(larger, 1).repeat(larger, 2)
    count, height, width = pixels.shape[:3]
    columns = min(columns, count)
    sheet = np.full((math.ceil(count / columns) * (height + gap), columns * (width + gap), 3), 255, dtype=np.uint8)
    for number, picture in enumerate(pixels):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture  # one channel spreads over three
    return sheet[:-gap, :-gap] if gap else sheet


def with_column_names(sheet: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """A grid with a line above that names its columns: (H, W, 3) uint8 to (H + line, W, 3).

    Args:
        sheet: made by `picture_grid` with as many columns.
        names: of the columns; they stand upright where there is no room beside each other.
    """
    width, dots = sheet.shape[1], 100  # dots per inch: an 8 point letter is about 7 pixels wide
    shown = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in names]
    longest = 7 * max(map(len, shown))
    upright = longest > width / len(names)
    figure = Figure(figsize=(width / dots, (longest + 10 if upright else 20) / dots), dpi=dots)
    for number, name in enumerate(shown):
        place = ((number + 0.5) / len(names), 0.05)
        figure.text(*place, name, fontsize=8, ha="center", va="bottom", rotation=90 if upright else 0)
    drawn = figure_to_array(figure)[:, :width]
    line = np.full((len(drawn), width, 3), 255, dtype=np.uint8)  # a figure's width may be a pixel off
    line[:, : drawn.shape[1]] = drawn
    return np.concatenate((line, sheet))


def save_picture(trainer: Trainer, name: str, picture: Figure | np.ndarray) -> None:
    """Writes `samples/<name>.png` in the run folder and logs it to Weights & Biases.

    Does nothing where `leaves_files` says so.

    Args:
        trainer: the trainer at work.
        name: file name without ending; a later picture of the same name replaces the earlier one.
        picture: a matplotlib figure, or (H, W, 3) or (H, W) uint8. Floats are refused: W&B shows them black.

    Raises:
        TypeError: the array is not uint8.
    """
    if not leaves_files(trainer):
        return
    pixels = figure_to_array(picture) if isinstance(picture, Figure) else picture
    if pixels.dtype != np.uint8:
        raise TypeError(f"picture {name!r} has dtype {pixels.dtype}: give uint8 in 0…255.")
    path = run_directory(trainer) / "samples" / f"{name}.png"
    atomic_write(path, picture_file(pixels))
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(key=f"samples/{name}", images=[pixels], step=trainer.global_step)
