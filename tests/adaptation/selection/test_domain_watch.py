from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lhy_lightning.adaptation.domain_plots import draw_domains
from lhy_lightning.adaptation.domain_plots import features_in_the_plane as in_the_plane
from lhy_lightning.adaptation.selection.domain_classifier_monitor import DomainWatch
from lhy_lightning.callbacks.images import figure_to_array


def watched(accuracies: list[float], *, fresh: float | None = None) -> list[str]:
    """The warnings of a run with these domain accuracies, and one validation with a fresh classifier's at the end."""
    watch, module = DomainWatch(), SimpleNamespace(_last_figures={})
    metrics = {} if fresh is None else {"val/proxy_distance": torch.tensor(4 * (fresh - 0.5))}
    trainer: Any = SimpleNamespace(global_step=0, sanity_checking=False, callback_metrics=metrics)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for accuracy in accuracies:
            trainer.global_step += 1
            module._last_figures["train/domain_accuracy"] = torch.tensor(accuracy)
            watch.on_train_batch_end(trainer, module, None, None, 0)  # type: ignore[arg-type]
        watch.on_validation_end(trainer, module)  # type: ignore[arg-type]
    return [str(warning.message) for warning in caught]


def test_a_classifier_that_wins_for_500_steps_is_told_of_once() -> None:
    (message,) = watched([0.97] * 900)
    assert "told the domains apart with more than 95% for 500 steps" in message


def test_one_step_below_begins_the_count_anew() -> None:
    assert not watched([0.97] * 490 + [0.9] + [0.97] * 490)


def test_a_dead_classifier_is_one_that_a_fresh_one_beats() -> None:
    (message,) = watched([0.5] * 600, fresh=0.85)
    assert "a fresh one on the same features is right 0.85 of the time: it has died" in message
    assert not watched([0.5] * 600, fresh=0.6)  # it has been fooled, which is what it is for
    assert not watched([0.7] * 600, fresh=0.85)
    assert not watched([0.5] * 100, fresh=0.85)  # it has hardly begun


@pytest.mark.parametrize("how", ["pca", "tsne"])
def test_features_of_two_domains_are_drawn_by_domain_and_by_class(how: Any) -> None:
    draws = np.random.default_rng(0)
    features = draws.normal(size=(60, 10)).astype(np.float32)
    target = np.arange(60) >= 30
    features[target] += 8
    places = in_the_plane(features, how)
    assert places.shape == (60, 2)
    centres = [places[side].mean(0) for side in (target, ~target)]
    assert np.linalg.norm(centres[0] - centres[1]) > places[target].std()
    figure = draw_domains(places, target, np.arange(60) % 3, ("a", "b", "c"), ("left", "right"))
    assert figure_to_array(figure).std() > 5
    assert [axes.get_title() for axes in figure.axes] == ["left", "right"]
