"""How images of source and target are changed at random in training, each side in its own way."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import Tensor

from lhy_lightning.core.arguments.signatures import settings_of
from lhy_lightning.data.augmentation.augmentation import Augmentation
from lhy_lightning.data.augmentation.transforms import Fill, scale_to_contract


@dataclass(frozen=True)
class SideChanges:
    """Random changes of one side: as the arguments of the same names, the target's with `target_` before them."""

    horizontal_flip: float
    vertical_flip: float
    rotation: float
    translation: float
    scale: float
    crop: int
    fill: Fill


class DomainChanges:
    """What becomes of a batch of bytes: in training each side is changed at random in its own way.

    Args:
        given: the arguments of `DomainDataModule`.
        size: (height, width) of the images.
    """

    def __init__(self, given: Any, size: tuple[int, int]) -> None:
        source = asdict(settings_of(SideChanges, given))
        own = {field.name: given[f"target_{field.name}"] for field in fields(SideChanges)}
        target = {name: source[name] if value is None else value for name, value in own.items()}
        self.source, self.target = Augmentation(size, **source), Augmentation(size, **target)

    def __call__(self, batch: dict[str, Tensor], *, training: bool) -> dict[str, Tensor]:
        """Returns the batch with all images in [-1, 1]; rows of one side alone are changed as the target's."""
        out = dict(batch)
        for name in ("image", "source_image", "target_image"):  # in this order, or draws would differ between runs
            if name not in batch:
                continue
            change = self.source if name == "source_image" else self.target
            out[name] = change(batch[name]) if training else scale_to_contract(batch[name])
        return out
