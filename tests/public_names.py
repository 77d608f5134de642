"""What is public, by kind."""

from lightning.pytorch import LightningDataModule, LightningModule

import lhy_lightning

CLASSES: dict[str, type] = {
    name: value for name in lhy_lightning.__all__ if isinstance(value := getattr(lhy_lightning, name), type)
}
MODULES = {name: cls for name, cls in CLASSES.items() if issubclass(cls, LightningModule)}
DATA_MODULES = {name: cls for name, cls in CLASSES.items() if issubclass(cls, LightningDataModule)}
