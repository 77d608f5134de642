"""The processes of a distributed training, asked for when needed: Lightning starts them after modules are built."""

import torch.distributed as dist
from torch import Tensor


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
