"""A network as a table: output shape, parameters, multiply-adds and receptive field of every layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from rich import box
from rich.table import Table
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

Pair = tuple[int, int]
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


@dataclass(frozen=True)
class LayerRow:
    """One layer: its name in the network, what it is, and what it does to a picture."""

    name: str
    kind: str
    output: tuple[int, ...]
    """Shape for one picture, without the batch axis."""
    parameters: int
    multiply_adds: int
    """Of convolutions and linear layers, for one picture."""
    receptive_field: Pair
    """Height and width, in pixels of the input, of what one output sees; may exceed the picture. The statistics of
    group normalization, which look at the whole map, are not counted, as is the custom."""


@dataclass(frozen=True)
class Field:
    """What one place of a map sees: `size` pixels, and neighbours see windows `jump` pixels apart."""

    size: Pair = (1, 1)
    jump: Pair = (1, 1)

    def through(self, kernel: Pair, stride: Pair, dilation: Pair) -> Field:
        """Size grows by (kernel - 1) * dilation * jump, jump by a factor of stride.

        Araujo et al. 2019, https://distill.pub/2019/computing-receptive-fields
        """
        return Field(
            (
                self.size[0] + (kernel[0] - 1) * dilation[0] * self.jump[0],
                self.size[1] + (kernel[1] - 1) * dilation[1] * self.jump[1],
            ),
            (self.jump[0] * stride[0], self.jump[1] * stride[1]),
        )


def pair(value: Any) -> Pair:
    """3 -> (3, 3), (3,) -> (3, 3), (3, 5) -> (3, 5)."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return (int(values[0]), int(values[-1]))


class FieldTracker(TorchFunctionMode):
    """Follows the receptive field of every tensor through the torch functions of one forward pass.

    Windows widen it, a sum of two maps takes the wider one, attention and sums over the map see the whole picture.
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.picture = pair(tuple(image.shape[2:]))
        self.fields: dict[int, Field] = {id(image): Field()}
        self.kept: list[Tensor] = [image]  # an id is unique only while its tensor lives

    def field(self, tensors: Iterable[Any]) -> Field | None:
        """The widest field among `tensors`; None where none of them comes from the picture."""
        known = [self.fields[id(tensor)] for tensor in tensors if id(tensor) in self.fields]
        if not known:
            return None
        return Field(
            (max(f.size[0] for f in known), max(f.size[1] for f in known)),
            (max(f.jump[0] for f in known), max(f.jump[1] for f in known)),
        )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        field = self.field(tree_leaves((args, kwargs)))
        shape = args[0].shape if args and isinstance(args[0], Tensor) else ()
        result = func(*args, **kwargs)
        if field is not None:
            field = self.after(func, field, shape, args, kwargs, result)
            for output in tree_leaves(result):
                if isinstance(output, Tensor):
                    self.fields[id(output)] = field
                    self.kept.append(output)
        return result

    def after(self, func: Any, field: Field, shape: Any, args: Any, kwargs: Any, result: Any) -> Field:
        """The field of what `func` returns."""
        name = getattr(func, "__name__", "")

        def argument(place: int, key: str, default: Any) -> Any:
            return args[place] if len(args) > place else kwargs.get(key, default)

        if func in (F.conv2d, torch.conv2d):
            kernel = pair(tuple(argument(1, "weight", None).shape[2:]))
            return field.through(kernel, pair(argument(3, "stride", 1)), pair(argument(5, "dilation", 1)))
        if "max_pool2d" in name and "adaptive" not in name:
            kernel = pair(argument(1, "kernel_size", None))
            stride = argument(2, "stride", None) or kernel
            return field.through(kernel, pair(stride), pair(argument(4, "dilation", 1)))
        if "avg_pool2d" in name and "adaptive" not in name:
            kernel = pair(argument(1, "kernel_size", None))
            return field.through(kernel, pair(argument(2, "stride", None) or kernel), (1, 1))
        shape_after = result.shape if isinstance(result, Tensor) else ()
        maps_before = len(shape) == 4 and prod(shape[2:]) > 1
        flattened = maps_before and len(shape_after) == 2
        pooled = maps_before and len(shape_after) == 4 and prod(shape_after) < prod(shape)
        averaged = len(shape) >= 3 and name in ("mean", "sum", "amax")
        attention = name in ("matmul", "bmm", "__matmul__", "scaled_dot_product_attention", "einsum")
        if flattened or averaged or attention or ("adaptive" in name and pooled):
            return replace(field, size=(max(field.size[0], self.picture[0]), max(field.size[1], self.picture[1])))
        return field


def describe(module: nn.Module) -> str:
    """Kind of a layer in a few letters, with what tells one convolution, pooling or linear layer from another."""
    kind = type(module).__name__.removesuffix("2d")
    if isinstance(module, nn.Conv2d):
        height, width = pair(module.kernel_size)
        stride = "" if pair(module.stride) == (1, 1) else f" /{pair(module.stride)[0]}"
        return f"{kind} {height}x{width}{stride}"
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        size = pair(module.kernel_size)
        return f"{kind} {size[0]}x{size[1]} /{pair(module.stride or size)[0]}"
    return kind


def short_norm(module: nn.Module) -> str:
    """BatchNorm2d -> "BN", GroupNorm -> "GN"."""
    return "".join(letter for letter in type(module).__name__ if letter.isupper())


def multiply_adds(module: nn.Module, output: Tensor) -> int:
    """Multiplications of a convolution or linear layer for one picture."""
    if isinstance(module, nn.Conv2d):
        return output[0].numel() * (module.in_channels // module.groups) * prod(module.kernel_size)
    if isinstance(module, nn.Linear):
        return output[0].numel() * module.in_features
    return 0


def layer_rows(network: nn.Module, input_shape: tuple[int, int, int], *, most_rows: int = 30) -> list[LayerRow]:
    """One row for every layer that has parameters or changes the shape, in the order of the forward pass.

    A norm that follows a convolution shares its row. Networks with more rows than `most_rows` are shown by block.

    Args:
        network: any network on (N, C, H, W); left as it was.
        input_shape: channels, height and width of a picture.
        most_rows: rows beyond which layers are put together by the first parts of their names.

    Example:
        >>> import torch
        >>> from lhy_lightning import layer_rows
        >>> layer_rows(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)), (1, 8, 8))[0].receptive_field
        (3, 3)
    """
    reference = next((p for p in network.parameters()), torch.zeros(()))
    image = torch.zeros((1, *input_shape), device=reference.device, dtype=reference.dtype)
    tracker, rows, seen = FieldTracker(image), list[LayerRow](), set[int]()

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if not isinstance(output, Tensor) or not inputs or not isinstance(inputs[0], Tensor):
                return
            own = 0 if id(module) in seen else sum(p.numel() for p in module.parameters())
            seen.add(id(module))
            if not own and output.shape == inputs[0].shape:
                return
            field = tracker.field([output]) or Field()
            shape, cost = tuple(output.shape[1:]), multiply_adds(module, output)
            row = LayerRow(name, describe(module), shape, own, cost, field.size)
            if isinstance(module, NORMS) and rows and rows[-1].output == row.output and "+" not in rows[-1].kind:
                last = rows.pop()
                row = replace(last, kind=f"{last.kind} + {short_norm(module)}", parameters=last.parameters + own)
            rows.append(row)

        return hook

    leaves = [(name, module) for name, module in network.named_modules() if not any(module.children())]
    handles = [module.register_forward_hook(watch(name)) for name, module in leaves]
    modes = {module: module.training for module in network.modules()}
    try:
        with torch.no_grad(), tracker:
            # not through `network(...)`, which would compile a network that is to be compiled
            network.eval()._call_impl(image)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
    return group_rows(rows, most_rows)


def group_rows(rows: list[LayerRow], most_rows: int) -> list[LayerRow]:
    """Puts neighbours together whose names begin alike, with fewer and fewer parts of the name, until they fit."""
    parts = max((row.name.count(".") + 1 for row in rows), default=1)
    grouped = rows
    while len(grouped) > most_rows and parts > 1:
        parts -= 1
        grouped = []
        for row in rows:
            name = ".".join(row.name.split(".")[:parts])
            if grouped and grouped[-1].name == name:
                last = grouped.pop()
                row = replace(
                    row,
                    kind="block",
                    parameters=last.parameters + row.parameters,
                    multiply_adds=last.multiply_adds + row.multiply_adds,
                )
            grouped.append(replace(row, name=name))
    return grouped


def layer_table(network: nn.Module, input_shape: tuple[int, int, int], *, title: str | None = None) -> Table:
    """The rows of `layer_rows` as a rich table with sums, ready for `rich.print`; fits 80 columns.

    Example:
        >>> import torch
        >>> from lhy_lightning import layer_table
        >>> layer_table(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)), (1, 8, 8)).row_count > 0
        True
    """
    rows = layer_rows(network, input_shape)
    table = Table(title=title, show_footer=True, box=box.SIMPLE_HEAD, padding=0)
    table.add_column("layer", no_wrap=True, footer="input " + "x".join(map(str, input_shape)))
    table.add_column("kind", no_wrap=True)
    table.add_column("output", justify="right")
    table.add_column("parameters", justify="right", footer=f"{sum(p.numel() for p in network.parameters()):,}")
    table.add_column("mult-adds", justify="right", footer=short(sum(row.multiply_adds for row in rows)))
    table.add_column("sees", justify="right")
    for row in rows:
        table.add_row(
            row.name,
            row.kind,
            "x".join(map(str, row.output)),
            f"{row.parameters:,}",
            short(row.multiply_adds),
            "x".join(map(str, row.receptive_field)),
        )
    return table


def short(count: int) -> str:
    """40813184 -> "40.8 M"."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)
