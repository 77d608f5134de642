"""Layers and tools for networks that more than one topic uses. Plain torch, no Lightning."""

from lhy_lightning.layers.batch_norm import batch_norm_over_ranks
from lhy_lightning.layers.memory_format import to_channels_last
from lhy_lightning.layers.model_summary import LayerRow, layer_rows, layer_table
from lhy_lightning.layers.norms import norm_layer

__all__ = [
    "LayerRow",
    "batch_norm_over_ranks",
    "layer_rows",
    "layer_table",
    "norm_layer",
    "to_channels_last",
]
