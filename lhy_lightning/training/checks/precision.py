"""Weights in another precision than float32 (`bf16-true`, `64-true`), for every module of the package."""

from contextlib import nullcontext

from lightning.pytorch.plugins.precision import DoublePrecision, HalfPrecision, Precision
from torch import nn

from lhy_lightning.layers.precision import take_any_input


def check_precision(module: nn.Module, plugin: Precision, *, needs_float32: str = "") -> None:
    """Refuses to train with weights in half precision where that cannot work.

    Args:
        module: for the message.
        plugin: the Trainer's.
        needs_float32: what the module computes that would vanish in half precision.

    Raises:
        ValueError: float16 weights, or bfloat16 ones of a module that says why not.
    """
    if isinstance(plugin, HalfPrecision) and (plugin.precision == "16-true" or needs_float32):
        why = needs_float32 or "Adam divides by an epsilon that is zero in float16"
        raise ValueError(
            f"{type(module).__name__} cannot be trained with precision {plugin.precision}: {why}. Set "
            "--trainer.precision bf16-mixed, or 32-true."
        )


def take_true_precision(module: nn.Module, plugin: Precision) -> None:
    """Lets a module train with its weights in another precision than float32 (bf16-true, 64-true), as under autocast.

    Noise, penalties and losses are float32 as ever; torch's own layers bring what they are given to the precision of
    their weights. Lightning would make the weights' precision torch's default within a step instead, and with it that
    of every new tensor, such as the scores of a search, which are then summed up in 8 bits of mantissa.

    Args:
        module: its layers are known; layers that have been seen before are left alone.
        plugin: the Trainer's.
    """
    if not isinstance(plugin, DoublePrecision | HalfPrecision):
        return
    plugin.forward_context = nullcontext  # type: ignore[method-assign, assignment]
    take_any_input(module)
