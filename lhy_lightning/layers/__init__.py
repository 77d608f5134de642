"""Layers and tools for networks that more than one topic uses. Plain torch, no Lightning."""

from lhy_lightning.layers.norms import norm_layer
from lhy_lightning.layers.table import LayerRow, layer_rows, layer_table

__all__ = ["LayerRow", "layer_rows", "layer_table", "norm_layer"]
