"""The history of generated pictures that CycleGAN's discriminators are shown."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lhy_lightning.core.distributed import gather_from_ranks


class ImagePool:
    """Keeps generated pictures and gives an older one back half of the time (Shrivastava et al. 2017, section 2.3).

    https://arxiv.org/abs/1612.07828. In CycleGAN's form (Zhu et al. 2017, section 4): the first `size` pictures are
    stored and handed on as they are; of every later one a coin decides whether it is handed on, or takes the place of a
    stored picture, chosen at random, which is handed on instead. A discriminator then does not forget what its
    generator drew before.

    Draws come from torch's generator of the CPU, so nothing waits for the device. The pictures are no parameters of a
    network: they lie on the device of what was handed in, and travel in `state_dict`, one pool for each rank.

    Args:
        size: pictures kept; 50 in the paper; 0 keeps none, which hands everything on.

    Raises:
        ValueError: a negative size.
    """

    def __init__(self, size: int = 50) -> None:
        if size < 0:
            raise ValueError(f"size={size}: a pool holds 0 pictures or more.")
        self.size, self.filled = size, 0
        self._pictures: Tensor | None = None  # (size, C, H, W); of these, `filled` are there

    def __len__(self) -> int:
        return self.filled

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        """Hands a batch on, with older pictures in some places.

        Args:
            pictures: (N, C, H, W).

        Returns:
            The same shape, without a graph.

        Raises:
            ValueError: pictures of another shape than those in the pool.
        """
        if self.size == 0:
            return pictures.detach()
        kept = self._room_for(pictures)
        out = pictures.detach().clone()
        swaps = torch.rand(len(pictures)) < 0.5
        places = torch.randint(self.size, (len(pictures),))
        for row, (swap, place) in enumerate(zip(swaps.tolist(), places.tolist(), strict=True)):
            if self.filled < self.size:
                kept[self.filled] = pictures[row]
                self.filled += 1
            elif swap:
                out[row] = kept[place]
                kept[place] = pictures[row]
        return out

    def _room_for(self, pictures: Tensor) -> Tensor:
        """The stored pictures, on the device of those that come."""
        shape = pictures.shape[1:]
        if self._pictures is None:
            self._pictures = pictures.new_empty(self.size, *shape)
        if self._pictures.shape[1:] != shape:
            raise ValueError(
                f"the pool holds pictures of shape {tuple(self._pictures.shape[1:])}, not {tuple(shape)}: resume with "
                "the image_size and channels that the run began with"
            )
        self._pictures = self._pictures.to(pictures.device)
        return self._pictures

    def state_dict(self) -> dict[str, Tensor]:
        """`pictures`: (filled, C, H, W) on the CPU; (0,) before there is any."""
        kept = torch.empty(0) if self._pictures is None else self._pictures[: self.filled].detach().cpu().clone()
        return {"pictures": kept}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Takes over what `state_dict` gave; a smaller pool keeps the first of them."""
        kept = state["pictures"][: self.size]
        self.filled, self._pictures = len(kept), None
        if self.filled:
            self._pictures = kept.new_empty(self.size, *kept.shape[1:])
            self._pictures[: self.filled] = kept


def pictures_of_all_ranks(pools: Mapping[str, ImagePool]) -> list[dict[str, Tensor]]:
    """What each rank's pools hold, by their names, for a checkpoint; a collective call."""
    own = {name: pool.state_dict()["pictures"] for name, pool in pools.items()}
    return gather_from_ranks(own)


def fill_pools(pools: Mapping[str, ImagePool], ranks: list[dict[str, Tensor]], rank: int) -> None:
    """Takes over what `pictures_of_all_ranks` gave of a rank; one that was not there keeps empty pools."""
    if rank < len(ranks):
        for name, pictures in ranks[rank].items():
            pools[name].load_state_dict({"pictures": pictures})
