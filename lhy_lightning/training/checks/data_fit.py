"""Whether a data module gives what a module is trained on: batches of its kind, and labels."""

from typing import Any

from lightning.pytorch import LightningModule

from lhy_lightning.core.trusted_classes import PUBLIC_NAMES


def check_data_module(module: LightningModule, stage: str) -> None:
    """Looks at the data module of the module's Trainer, before training.

    Raises:
        ValueError: its batches are of another kind, or its training rows have no labels where they are needed.
    """
    data: Any = getattr(module.trainer, "datamodule", None)
    name, wanted = type(module).__name__, getattr(module, "data_modules", ())
    # a data module of someone's own, on our base alone, gives what its author knows
    ours = [cls for cls in type(data).__mro__ if cls.__module__.startswith("lhy_lightning.data.")]
    classes = [cls for cls in ours if cls.__name__ in PUBLIC_NAMES]
    if wanted and classes and not set(wanted) & {cls.__name__ for cls in classes}:
        raise ValueError(
            f"{name} takes batches of {' or '.join(wanted)}, not those of {type(data).__name__}: "
            f"set --data {wanted[0]} (or another --model)."
        )
    needs = getattr(module, "needs_labels", False)
    missing = data.missing_labels() if stage == "fit" and needs and hasattr(data, "missing_labels") else None
    if missing is not None:
        who = needs if isinstance(needs, str) else name
        raise ValueError(f"{who} needs labelled pictures, the data has no labels. {missing}")


def check_batch(module: LightningModule, batch: Any) -> None:
    """Looks at the first training batch, for data modules and loaders of other packages.

    Raises:
        ValueError: it has no labels, and the module needs them.
    """
    if getattr(module, "needs_labels", False) and isinstance(batch, dict) and not any("label" in key for key in batch):
        raise ValueError(
            f"{type(module).__name__} needs labels, but a batch of the data holds {', '.join(map(str, batch))} alone: "
            "give each its labels (`lhy_lightning.data.batches` says under which names)."
        )
