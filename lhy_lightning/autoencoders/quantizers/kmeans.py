"""k-means over the vectors of all ranks: where a codebook starts."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lhy_lightning.autoencoders.quantizers.nearest_codes import nearest_codes
from lhy_lightning.core.distributed import rank_and_world, sum_over_ranks


def sums_by_code(vectors: Tensor, codes: Tensor, size: int) -> Tensor:
    """How many vectors each code has, and their sum: (N, D) and (N,) to (K, 1 + D), the count first."""
    sums = vectors.new_zeros(size, 1 + vectors.shape[1])
    sums[:, 0] = torch.bincount(codes, minlength=size)
    sums[:, 1:].index_add_(0, codes, vectors)
    return sums


def drawn_vectors(vectors: Tensor, size: int) -> Tensor:
    """`size` vectors drawn without replacement, from all ranks in turn: row k comes from rank k mod ranks.

    To be summed over ranks, where every row has one that is not zero.

    Args:
        vectors: (N, D) float32, of this rank.
        size: how many, K.

    Returns:
        (K, 1 + D) float32: 1 and the vector, or zeros where it is another rank's turn or this one has no more.
    """
    rank, ranks = rank_and_world()
    own = torch.randperm(len(vectors), device=vectors.device)[: len(range(rank, size, ranks))]
    drawn = vectors.new_zeros(size, 1 + vectors.shape[1])
    turns = drawn[rank::ranks]
    turns[: len(own), 0] = 1
    turns[: len(own), 1:] = vectors[own]
    return drawn


@torch.no_grad()
def kmeans(vectors: Tensor, size: int, *, steps: int = 10, cosine: bool = False) -> tuple[Tensor, Tensor]:
    """Centres of `size` clusters by Lloyd's algorithm, from vectors drawn at random; equal on all ranks.

    A cluster that loses its last vector stays where it is.

    Args:
        vectors: (N, D) float32, of this rank.
        size: clusters K.
        steps: assignments and means.
        cosine: the vectors have length one, and so shall the centres.

    Returns:
        centres (K, D), and how many vectors each has (K,), both float32.

    Raises:
        ValueError: fewer vectors than clusters.
    """
    drawn = sum_over_ranks(drawn_vectors(vectors, size))
    if not bool((drawn[:, 0] > 0).all()):
        _, ranks = rank_and_world()
        where = f"{len(vectors)} vectors" + (f" on one of {ranks} processes" if ranks > 1 else "")
        raise ValueError(
            f"codebook_size={size} codes cannot start by k-means from the first batch's {where}: take fewer codes, a "
            "larger batch_size, or codebook_init: random"
        )
    centres = drawn[:, 1:].contiguous()
    counts = drawn[:, 0]
    for _ in range(steps):
        sums = sum_over_ranks(sums_by_code(vectors, nearest_codes(vectors, centres), size))
        counts = sums[:, 0].clone()
        means = sums[:, 1:] / counts.clamp(min=1)[:, None]
        centres = torch.where(counts[:, None] > 0, F.normalize(means, dim=1) if cosine else means, centres)
    return centres, counts
