"""The nearest training picture to each sample: is it memorised?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from lhy_lightning.metrics.generation.distances import squared_distances


class Nearest(NamedTuple):
    """Nearest first.

    Attributes:
        rows: (N, k) int64, places of training pictures in the order in which they came.
        distance: (N, k) float32. In pixels, the root mean square difference of two pictures in [-1, 1]: 0 for a copy, 2
            for black and white; in features, the Euclidean distance.
    """

    rows: Tensor
    distance: Tensor


@torch.no_grad()
def nearest_pictures(
    samples: Tensor,
    training: Tensor | Iterable[Tensor],
    *,
    features: Callable[[Tensor], Tensor] | None = None,
    k: int = 1,
    chunk: int = 1024,
) -> Nearest:
    """Finds the k training pictures nearest to each sample, in pixels or in features.

    Args:
        samples: (N, C, H, W) float32 in [-1, 1].
        training: (M, C, H, W), or batches of such pictures: the set itself need not fit into memory.
        features: pictures (N, C, H, W) to (N, D); None for pixels, where a copy moved by a pixel is far away.
        k: how many; fewer are found where there are fewer.
        chunk: pictures at a time, on either side.

    Raises:
        ValueError: no training picture, or pictures of another shape.

    Example:
        >>> import torch
        >>> from lhy_lightning import nearest_pictures
        >>> training = torch.rand(8, 1, 2, 2)
        >>> found = nearest_pictures(training[2:4], training)
        >>> found.distance.flatten().tolist()
        [0.0, 0.0]
    """
    batches = training.split(chunk) if isinstance(training, Tensor) else training
    queries = torch.cat([_rows(part, features) for part in samples.split(chunk)])
    centre = queries.mean(0)  # differences of small numbers keep more digits
    queries = queries - centre
    distance = queries.new_empty(len(queries), 0)
    rows = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
    seen = 0
    for batch in batches:
        if batch.shape[1:] != samples.shape[1:]:
            raise ValueError(
                f"training pictures are {tuple(batch.shape[1:])}, samples {tuple(samples.shape[1:])}: bring them to "
                "one size and number of channels"
            )
        for part in batch.split(chunk):
            points = _rows(part.to(samples.device), features) - centre
            among = torch.cat([squared_distances(q, points) for q in queries.split(chunk)])
            places = torch.arange(seen, seen + len(points), device=rows.device).expand(len(queries), -1)
            distance, rows = torch.cat([distance, among], 1), torch.cat([rows, places], 1)
            distance, order = distance.topk(min(k, distance.shape[1]), dim=1, largest=False)
            rows = rows.gather(1, order)
            seen += len(points)
    if not seen:
        raise ValueError("there is no training picture to compare samples with")
    scale = queries.shape[1] if features is None else 1
    return Nearest(rows, (distance / scale).sqrt().float())


def _rows(pictures: Tensor, features: Callable[[Tensor], Tensor] | None) -> Tensor:
    """(N, D) float64."""
    return (pictures if features is None else features(pictures)).flatten(1).double()


def memorisation_ratio(samples: Nearest, held_out: Nearest) -> Tensor:
    """How far samples are from training pictures, as a multiple of how far real pictures are that were held out.

    Near 1: samples are new like real pictures are; near 0: they are copies.

    Args:
        samples: nearest training pictures of samples.
        held_out: those of real pictures that the generator was not trained on, by the same distance.

    Returns:
        The ratio of the medians of the distances to the nearest one, scalar.

    Example:
        >>> import torch
        >>> from lhy_lightning import memorisation_ratio, nearest_pictures
        >>> training, held_out = torch.rand(8, 1, 2, 2), torch.rand(4, 1, 2, 2)
        >>> copies = nearest_pictures(training[:4], training)
        >>> memorisation_ratio(copies, nearest_pictures(held_out, training)).item() < 0.01
        True
    """
    return samples.distance[:, 0].median() / held_out.distance[:, 0].median()
