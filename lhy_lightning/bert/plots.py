"""Pictures of an encoder at work: what the heads of its first and last layer attend to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from matplotlib.figure import Figure
from torch import Tensor

from lhy_lightning.bert.attention_maps import attention_maps
from lhy_lightning.callbacks.images import save_picture

LONGEST = 32  # tokens that are drawn
HEADS = 4  # heads a layer that are drawn


def attention_figure(maps: Tensor, tokens: Sequence[str], layers: Sequence[int]) -> Figure:
    """A heat map for each head, a row of them for each layer: who looks (down) at whom (across).

    Args:
        maps: (layers, heads, T, T).
        tokens: T of them.
        layers: their numbers, from 1.
    """
    heads = maps.shape[1]
    size, labels = max(2.2, 0.16 * len(tokens)), list(tokens)
    figure = Figure(figsize=(size * heads + 1, size * len(layers) + 0.6), layout="constrained")
    axes = figure.subplots(len(layers), heads, squeeze=False)
    for layer, row in enumerate(axes):
        for head, axis in enumerate(row):
            axis.imshow(maps[layer, head].numpy(), cmap="Greys", vmin=0, vmax=float(maps[layer, head].max()))
            # ticks are what takes the time: they are where the tokens are written, and nowhere else
            across = labels if layer == len(layers) - 1 else []
            down = labels if head == 0 else []
            axis.set_xticks(range(len(across)), across, rotation=90, fontsize=6)
            axis.set_yticks(range(len(down)), down, fontsize=6)
            axis.set_title(f"layer {layers[layer]}, head {head + 1}", fontsize=7)
    return figure


class AttentionPictures(Callback):
    """`samples/attention.png` of one validation row after each validation: first and last layer, four heads each."""

    def __init__(self) -> None:
        self._row: dict[str, Tensor] | None = None

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        module: Any = pl_module
        self._row = {name: value[:1] for name, value in module.inputs(batch).items()}  # the last batch has short rows

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        row, module = self._row, pl_module
        self._row = None
        if not hasattr(module.network, "config"):  # a network of the user's own may have no attention
            return
        if row is None or trainer.sanity_checking or not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        length = min(int(row["attention_mask"].sum()), LONGEST)
        with torch.no_grad():
            maps = attention_maps(module.network, {name: value[:, :length] for name, value in row.items()})[:, 0].cpu()
        tokens = module.vocabulary.pieces(row["input_ids"][0, :length].tolist())  # type: ignore[union-attr, operator]
        layers = sorted({0, len(maps) - 1})
        figure = attention_figure(maps[layers, :HEADS], tokens, [layer + 1 for layer in layers])
        save_picture(trainer, "attention", figure)
