"""Sums and means in which NaN shows, and no metric object of a public module in which it would vanish."""

import ast
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchmetrics import Metric
from torchmetrics.aggregation import BaseAggregator
from torchmetrics.classification import MulticlassConfusionMatrix

import lhy_lightning
from lhy_lightning.adaptation.selection.feature_buffer import EvaluatedRows
from lhy_lightning.autoencoders.vqvae import CodeCounts
from lhy_lightning.metrics.anomalies import CountedAUROC
from lhy_lightning.metrics.averages import Mean, Sum
from lhy_lightning.metrics.classification import ClassificationScores
from lhy_lightning.metrics.texts.bleu import CorpusBleu, CorpusChrF, ExactMatch
from lhy_lightning.metrics.texts.entities import EntityCounts, TaggingScores
from lhy_lightning.metrics.texts.glue import NumberPairs, TextScores
from lhy_lightning.metrics.texts.question_answering import AnswerScores
from tests.smallest_modules import public_modules, smallest

NAN = float("nan")


def test_a_mean_weighs_its_values_and_stays_nan() -> None:
    mean = Mean()
    mean.update(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 1.0]))
    mean.update(10.0, 4)
    mean.update(torch.tensor([True, False]))
    assert float(mean.compute()) == pytest.approx((3 + 2 + 40 + 1) / 10)
    mean.update(torch.tensor([NAN, 1.0]), 2)
    mean.update(5.0)
    assert mean.compute().isnan()
    mean.reset()
    mean.update(5.0, 3)
    assert float(mean.compute()) == 5
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert Mean().compute().isnan()


def test_a_sum_stays_nan() -> None:
    total = Sum()
    total.update(torch.tensor([1.0, 2.0]))
    assert float(total.compute()) == 3
    total.update(NAN)
    total.update(1.0)
    assert total.compute().isnan()


# --- every metric object ---------------------------------------------------------------------------------------------


def metrics_of(value: Any, seen: set[int]) -> Iterator[Metric]:
    """All metric objects that hang on an object of ours: submodules, attributes, in lists and mappings."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Metric):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from metrics_of(item, seen)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from metrics_of(item, seen)
    elif type(value).__module__.startswith(("lhy_lightning", "torch.nn")):
        yield from metrics_of(vars(value), seen)


def shown(metric: BaseAggregator) -> bool:
    metric.update(1.0)
    metric.update(torch.tensor([NAN, 2.0]))
    return bool(metric.compute().isnan())


def refused(*arguments: Any) -> Callable[[Any], bool]:
    def of(metric: Any) -> bool:
        metric.update(*arguments)
        with pytest.raises(ValueError, match="NaN"):
            metric.compute()
        return True

    return of


def kept(metric: NumberPairs) -> bool:
    metric.update(torch.tensor([NAN, 1.0]), torch.ones(2))
    return bool(metric.compute()[0].isnan().any())


def rows_kept(metric: EvaluatedRows) -> bool:
    batch = {"index": torch.arange(2), "label": torch.zeros(2, dtype=torch.int64)}
    metric.update(torch.full((2, 3), NAN), torch.full((2, 4), NAN), batch)
    return bool(metric.gathered().logits.isnan().all())


SHOWS: dict[type, Callable[[Any], bool]] = {
    CountedAUROC: refused(torch.tensor([1.0, 2.0, NAN]), torch.tensor([True, False, False])),
    NumberPairs: kept,
    EvaluatedRows: rows_kept,
}
COUNTS = (CodeCounts, EntityCounts, CorpusBleu, CorpusChrF, ExactMatch, AnswerScores)
"""Of whole numbers and texts, into which no NaN goes."""


@pytest.mark.parametrize("name", public_modules())
def test_nan_shows_in_every_metric_object_of_a_public_module(name: str) -> None:
    found = list(metrics_of(smallest(name), set()))
    assert found or name in ("VQVAE", "AutoEncoder"), "these make theirs with the first batch"
    for metric in found:
        if isinstance(metric, BaseAggregator):
            assert shown(metric), metric
        elif not isinstance(metric, COUNTS) and type(metric) is not MulticlassConfusionMatrix:
            assert SHOWS[type(metric)](metric), metric


@pytest.mark.parametrize(
    "scores",
    [ClassificationScores(3), TextScores(["accuracy", "macro_f1"], 3), TextScores(["pearson", "mse"], 0)],
    ids=["images", "classes", "numbers"],
)
def test_no_figure_of_logits_that_are_nan_is_a_number(scores: Any) -> None:
    regression = isinstance(scores, TextScores) and scores.numbers is not None
    logits = torch.tensor([1.0, NAN]) if regression else torch.tensor([[3.0, 1, 1], [NAN, NAN, NAN]])
    labels = torch.tensor([1.0, 2.0]) if regression else torch.tensor([0, 0])
    loss = nn.functional.mse_loss(logits, labels) if regression else nn.functional.cross_entropy(logits, labels)
    scores.update(logits, labels, loss)
    figures = {key: value for key, value in scores.compute().items() if key != "confusion"}
    assert len(figures) >= 2
    assert all(value.isnan().all() for value in figures.values())


def test_no_figure_of_tags_of_nan_is_a_number() -> None:
    scores = TaggingScores(("O", "B-x", "I-x"))
    scores.loss.update(NAN)
    scores.update([[1, 2]], [[1, 2]], [(0, 0)])
    figures = scores.compute()
    assert set(figures) == {"loss", "accuracy", "precision", "recall", "f1"}
    assert all(value.isnan() for value in figures.values())


def test_sums_and_means_of_torchmetrics_that_drop_nan_are_used_nowhere_else() -> None:
    root = Path(lhy_lightning.__file__).parent
    dropping = {"SumMetric", "MeanMetric", "MaxMetric", "MinMetric", "CatMetric", "RunningMean", "RunningSum"}
    users = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf8"))):
            names = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom | ast.Import) else set()
            names |= {node.attr} if isinstance(node, ast.Attribute) else set()
            if names & dropping or any(name.startswith("torchmetrics.aggregation") for name in names):
                users.add(str(path.relative_to(root)))
    assert users == {"metrics/averages.py"}
