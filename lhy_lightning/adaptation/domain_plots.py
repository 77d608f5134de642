"""Features of both domains in the plane, before and after training, by domain and by class."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info
from matplotlib.figure import Figure

from lhy_lightning.adaptation.selection.proxy_distance import fresh_domain_accuracy, proxy_a_distance
from lhy_lightning.callbacks.images import save_picture

Projection = Literal["tsne", "pca", "none"]
POINTS = 400  # of each domain


def features_in_the_plane(features: np.ndarray, how: Projection) -> np.ndarray:
    """Features (N, D) to places (N, 2), by t-SNE or by the two directions of largest variance.

    Example:
        >>> import numpy as np
        >>> from lhy_lightning import features_in_the_plane
        >>> features_in_the_plane(np.random.default_rng(0).normal(size=(20, 5)), "pca").shape
        (20, 2)
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if how == "pca":
        return np.asarray(PCA(2, random_state=0).fit_transform(features))
    return np.asarray(
        TSNE(2, init="pca", perplexity=min(30, len(features) // 4), random_state=0).fit_transform(features)
    )


def draw_domains(
    places: np.ndarray, target: np.ndarray, labels: np.ndarray, names: tuple[str, ...], titles: tuple[str, str]
) -> Figure:
    """Two panels of the same points: coloured by domain, and by class.

    Args:
        places: (N, 2).
        target: (N,) bool, which are of the target.
        labels: (N,) int, classes.
        names: of the classes.
        titles: of the panels.
    """
    figure = Figure(figsize=(11, 5), layout="constrained")
    by_domain, by_class = figure.subplots(1, 2)
    for chosen, name, colour in ((~target, "source", "tab:blue"), (target, "target", "tab:red")):
        by_domain.scatter(*places[chosen].T, s=9, color=colour, alpha=0.6, label=name)
    for number, name in enumerate(names):
        of_class, colour = labels == number, f"C{number % 10}"
        by_class.scatter(*places[of_class & ~target].T, s=9, color=colour, alpha=0.6, label=name, marker="o")
        by_class.scatter(*places[of_class & target].T, s=16, color=colour, alpha=0.8, marker="x")
    for axes, title in ((by_domain, titles[0]), (by_class, titles[1])):
        axes.set(title=title, xticks=[], yticks=[])
        axes.legend(fontsize=7, markerscale=1.5, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


class DomainPictures(Callback):
    """`samples/features_before.png` and `features_after.png`, each with how well a fresh classifier tells domains
    apart, and the proxy A-distance that comes of it.

    Args:
        projection: "tsne" or "pca".
    """

    def __init__(self, projection: Projection) -> None:
        self.projection = projection

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step == 0:
            self._draw(trainer, pl_module, "before")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw(trainer, pl_module, "after")

    def _draw(self, trainer: Trainer, module: Any, when: str) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        if not trainer.is_global_zero or trainer.fast_dev_run or not hasattr(data, "domain_names"):  # type: ignore[attr-defined]
            return
        features, predicted, known = [], [], []
        for domain in ("source", "target"):
            pictures, labels = data.pictures(f"{domain}_val"), data.labels(f"{domain}_val")
            places = np.unique(np.linspace(0, len(pictures) - 1, POINTS).astype(np.int64))
            found = [
                module.embed(pictures.take(part), domain) for part in np.array_split(places, 1 + len(places) // 250)
            ]
            features.append(torch.cat([numbers for numbers, _ in found]).cpu())
            predicted.append(torch.cat([logits for _, logits in found]).argmax(1).cpu().numpy())
            known.append(None if labels is None else labels[places].numpy())
        accuracy = fresh_domain_accuracy(*features, seed=0)
        distance = proxy_a_distance(accuracy)
        told = f"{when} training a fresh classifier tells the domains apart with {accuracy:.2f}"
        rank_zero_info(f"{told}: proxy A-distance {distance:.2f}.")
        target = np.repeat([False, True], [len(rows) for rows in features])
        labels = np.concatenate(
            [guess if truth is None else truth for guess, truth in zip(predicted, known, strict=True)]
        )
        names = tuple(module.class_names or map(str, range(module.num_classes)))
        by = "class" if known[1] is not None else "class (of the target: as predicted)"
        figure = draw_domains(
            features_in_the_plane(torch.cat(features).numpy(), self.projection), target, labels, names,
            (f"{when}: proxy A-distance {distance:.2f}", f"by {by}; crosses are the target"),
        )  # fmt: skip
        save_picture(trainer, f"features_{when}", figure)
