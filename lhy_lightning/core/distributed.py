"""The processes of a distributed training, asked for when needed: Lightning starts them after modules are built."""

from typing import TypeVar

import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


def rank_and_world() -> tuple[int, int]:
    """The rank of this process and the number of processes; (0, 1) outside of distributed training."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def sum_over_ranks(values: Tensor) -> Tensor:
    """The sum of all processes' `values`, in place; bit for bit the same on each of them."""
    if rank_and_world()[1] > 1:
        dist.all_reduce(values)
    return values


def gather_from_ranks(value: T) -> list[T]:
    """Returns what each process gave, in the order of ranks; every process has to call it. Plain objects, by pickle."""
    found = [value]
    if (world := rank_and_world()[1]) > 1:
        found = [value] * world
        dist.all_gather_object(found, value)
    return found


def share_buffers(model: object) -> None:
    """Gives all ranks the first one's buffers, such as batch statistics, as DDP would before each forward.

    Under manual optimization it never does: Lightning tells it to leave the backward alone, which it takes for an
    accumulated batch. Ranks would judge by statistics of their own, of which only the first one's are saved.

    Args:
        model: what the strategy runs; nothing happens where that is no DDP.
    """
    if isinstance(model, DistributedDataParallel) and model.broadcast_buffers and model.modules_buffers:
        model._sync_buffers()
