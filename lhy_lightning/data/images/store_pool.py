"""Several stores of decoded images as one."""

from itertools import chain

import numpy as np
import torch
from torch import Tensor

from lhy_lightning.data.images.image_facts import ImageFacts, doubtful_images
from lhy_lightning.data.images.image_store import ImageStore
from lhy_lightning.data.images.reading.readers import PictureSet


class Pool:
    """Several stores as one: their rows numbered through.

    Args:
        stores: all of one size and channel count.
    """

    def __init__(self, stores: list[ImageStore]) -> None:
        self.stores = stores
        self.first = np.cumsum([0, *map(len, stores)])
        self.content = np.concatenate([store.content for store in stores])
        self.bad = np.concatenate([store.bad for store in stores])
        self.facts = ImageFacts.joined([store.facts for store in stores])

    def take(self, rows: np.ndarray) -> Tensor:
        """(B, C, H, W) uint8 of any rows, in their order."""
        if len(self.stores) == 1:
            return self.stores[0].take(rows)
        number = np.searchsorted(self.first, rows, side="right") - 1
        used = np.unique(number)
        if len(used) == 1:
            only = int(used[0])
            return self.stores[only].take(rows - self.first[only])
        taken = [self.stores[i].take(rows[number == i] - self.first[i]) for i in used]
        places = torch.from_numpy(np.concatenate([np.flatnonzero(number == i) for i in used]))
        joined = torch.cat(taken)
        return joined[torch.argsort(places)]

    def doubts(self, rows: np.ndarray) -> list[str]:
        """Sentences about images at these rows that are hardly what was meant: equal, of one colour, nearly black."""
        rows = rows[~self.bad[rows]]
        found = doubtful_images(self.facts, self.content, rows)
        return [f"{sentence} (such as {self.name(int(rows[0]))})" for sentence in found]

    def name(self, row: int) -> str:
        pictures, place = self._at(row)
        return pictures.name(place)

    def header(self, row: int) -> tuple[int, int, int]:
        """(height, width, channels) of a picture as it is stored, (0, 0, 0) where it cannot be opened."""
        pictures, place = self._at(row)
        return pictures.header(place)

    def _at(self, row: int) -> tuple[PictureSet, int]:
        number = int(np.searchsorted(self.first, row, side="right")) - 1
        return self.stores[number].pictures, int(row - self.first[number])

    def names(self) -> list[str]:
        return list(chain.from_iterable(map(s.pictures.name, range(len(s))) for s in self.stores))
