"""Losses in float32, whatever the networks before them compute in, and networks that take what they are given."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map


def widened(values: Tensor) -> Tensor:
    """Half precision to float32, where sums over a batch or a map would lose digits. Doubles stay."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def keeping_precision(move: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """What `nn.Module._apply` is given, without a change of precision: for averages over steps, which need float32.

    Args:
        move: what `.to(...)`, `.cuda()`, `.half()` and the like do to each tensor.
    """

    def moved(values: Tensor) -> Tensor:
        found = move(values)
        return values.to(found.device) if values.is_floating_point() and found.dtype != values.dtype else found

    return moved


def take_any_input(module: nn.Module) -> None:
    """Lets all of torch's own layers in a module take floating-point input of any precision, which they cast."""
    for layer in module.modules():
        of_torch = type(layer).__module__.startswith("torch.nn.") and any(True for _ in layer.parameters())
        if of_torch and _cast_inputs not in layer._forward_pre_hooks.values():
            layer.register_forward_pre_hook(_cast_inputs, with_kwargs=True)


def _cast_inputs(layer: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
    dtype = next(layer.parameters()).dtype

    def cast(value: Any) -> Any:
        return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

    return tree_map(cast, arguments), tree_map(cast, named)
