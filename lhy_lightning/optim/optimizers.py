"""Optimizers by plain names and numbers."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

OPTIMIZERS: dict[str, type[Optimizer]] = {
    name.lower(): kind
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, Optimizer) and kind is not Optimizer
}
# torch.optim's own names in lower case, and two ways of saying SGD
NAMES = (*OPTIMIZERS, "momentum", "nesterov")


def parameter_groups(network: nn.Module, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """Splits the trainable parameters in two: those with two or more axes decay, norms, biases and scalars do not.

    Shrinking the scale of a normalization or a bias toward zero regularizes nothing (He et al. 2018,
    https://arxiv.org/abs/1812.01187, section 3.1).

    Example:
        >>> import torch
        >>> from lhy_lightning import parameter_groups
        >>> groups = parameter_groups(torch.nn.Linear(2, 2), lr=0.1, weight_decay=0.01)
        >>> [group["weight_decay"] for group in groups]  # biases are not decayed
        [0.01, 0.0]
    """
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trainable if parameter.ndim >= 2]
    kept = [parameter for parameter in trainable if parameter.ndim < 2]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "lr": lr, "weight_decay": weight_decay},
        {"params": kept, "lr": lr, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(
    parameters: Iterable[torch.Tensor] | Iterable[dict[str, Any]],
    name: str = "adamw",
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    betas: tuple[float, float] = (0.9, 0.999),
) -> Optimizer:
    """Any optimizer of `torch.optim`, by its lower-case name; it gets those of the numbers that it takes.

    Args:
        parameters: parameters, or groups of them that may carry their own `lr` and `weight_decay`.
        name: "sgd", "adagrad", "rmsprop", "adam", "adamw" ...; "momentum" is "sgd" and "nesterov" is
            "sgd" with Nesterov's look-ahead.
        lr: learning rate; never torch's own default.
        weight_decay: decay of groups that have none of their own (added to the gradient, decoupled in AdamW).
        momentum: of SGD and RMSprop; zero for plain gradient descent.
        betas: decay of the two moments in Adam-type optimizers; cast to floats, as torch refuses YAML's [0, 0.9].

    Raises:
        ValueError: no optimizer of this name; names the nearest. Or a number that no optimizer takes.

    Example:
        >>> import torch
        >>> from lhy_lightning import build_optimizer
        >>> network = torch.nn.Linear(2, 2)
        >>> type(build_optimizer(network.parameters(), "adamw", lr=1e-3)).__name__
        'AdamW'
    """
    for number, value in (("lr", lr), ("weight_decay", weight_decay), ("momentum", momentum)):
        if not value >= 0:  # NaN too
            raise ValueError(f"{number}={value}: must not be negative.")
    if not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas={tuple(betas)}: two numbers in [0, 1).")
    plain = "sgd" if name in ("momentum", "nesterov") else name.lower()
    if plain not in OPTIMIZERS:
        near = get_close_matches(plain, NAMES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f": one of {', '.join(NAMES)}"
        raise ValueError(f"no optimizer is called {name!r}{hint}")
    kind = OPTIMIZERS[plain]
    numbers: dict[str, Any] = {
        "lr": lr,
        "weight_decay": weight_decay,
        "momentum": momentum,
        "betas": (float(betas[0]), float(betas[1])),
        "nesterov": name == "nesterov",
        "fused": True,
    }
    taken = inspect.signature(kind.__init__).parameters
    if plain == "nadam":  # its `nesterov` is no switch, and `momentum_decay` is another number
        numbers.pop("nesterov")
    return kind(parameters, **{key: value for key, value in numbers.items() if key in taken})
