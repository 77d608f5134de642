"""GLUE's figures against scikit-learn's and scipy's, over batches and over ranks."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics
from torch import Tensor

from lhy_lightning.metrics.texts.glue import NumberPairs, TextScores, classification_figures, ranks, regression_figures
from tests.processes import run_forked, torchrun_environments


def labelled(rows: int = 173, classes: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (rows,), generator=generator)
    return torch.randn(rows, classes, generator=generator) + 1.2 * torch.eye(classes)[labels], labels


@pytest.mark.parametrize("classes", [2, 4])
def test_figures_of_classes_are_those_of_scikit_learn_whatever_the_batches(classes: int) -> None:
    logits, labels = labelled(classes=classes)
    names = ("accuracy", "macro_f1", "matthews") + (("f1",) if classes == 2 else ())
    scores = TextScores(names, classes)
    for part in torch.arange(len(labels)).split(50):
        scores.update(logits[part], labels[part], torch.tensor(2.0) * len(part))
    found, said = scores.compute(), logits.argmax(1)
    assert set(found) == {"loss", *names}
    assert found["loss"] == 2.0
    assert found["accuracy"].item() == pytest.approx(metrics.accuracy_score(labels, said))
    assert found["macro_f1"].item() == pytest.approx(metrics.f1_score(labels, said, average="macro"))
    assert found["matthews"].item() == pytest.approx(metrics.matthews_corrcoef(labels, said))
    if classes == 2:
        assert found["f1"].item() == pytest.approx(metrics.f1_score(labels, said))


def test_figures_of_numbers_are_those_of_scipy_ties_included() -> None:
    generator = np.random.default_rng(0)
    true = generator.integers(0, 6, 211) / 2  # many are equal, as in STS-B
    predicted = np.round(true + generator.normal(0, 1, 211), 1)
    scores = TextScores(("pearson", "spearman", "mse"), 0)
    for part in np.split(np.arange(211), [100, 101]):
        scores.update(torch.tensor(predicted[part]), torch.tensor(true[part]), torch.tensor(0.0))
    found = scores.compute()
    assert found["pearson"].item() == pytest.approx(stats.pearsonr(predicted, true).statistic, abs=1e-6)
    assert found["spearman"].item() == pytest.approx(stats.spearmanr(predicted, true).statistic, abs=1e-6)
    assert found["mse"].item() == pytest.approx(metrics.mean_squared_error(true, predicted), abs=1e-6)


def test_equal_numbers_share_the_mean_of_their_ranks() -> None:
    assert ranks(torch.tensor([10.0, 20.0, 10.0, 5.0, 20.0, 20.0])).tolist() == [2.5, 5.0, 2.5, 1.0, 5.0, 5.0]


def test_what_does_not_vary_correlates_with_nothing() -> None:
    constant = torch.ones(5).double()
    found = regression_figures(constant, torch.arange(5).double())
    assert found["pearson"] == found["spearman"] == 0
    one_class = torch.tensor([[3, 0], [2, 0]])  # everything is said to be class 0
    assert classification_figures(one_class)["matthews"] == 0
    assert classification_figures(one_class)["f1"] == 0


def test_a_name_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no metric of classes is called 'pearson': one of accuracy"):
        TextScores(("pearson",), 2)
    with pytest.raises(ValueError, match="no metric of numbers is called 'accuracy'"):
        TextScores(("accuracy",), 0)
    with pytest.raises(ValueError, match="f1 is of two classes, these are 3: use macro_f1"):
        TextScores(("f1",), 3)


def test_reset_forgets_and_no_rows_give_no_figures() -> None:
    logits, labels = labelled()
    for scores, values in ((TextScores(("accuracy",), 2), logits), (TextScores(("pearson",), 0), logits[:, 0])):
        scores.update(values, labels, torch.tensor(1.0))
        scores.reset()
        assert scores.compute() == {}


def on_one_of_two_ranks(path: str) -> None:
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    logits, labels = labelled()
    mine = slice(0, 150) if rank == 0 else slice(150, None)  # uneven
    classes, numbers = TextScores(("accuracy", "matthews"), 2), TextScores(("pearson", "spearman"), 0)
    classes.update(logits[mine], labels[mine], torch.tensor(3.0))
    numbers.update(logits[mine, 1], labels[mine].float(), torch.tensor(3.0))
    if rank == 0:
        torch.save({"classes": classes.compute(), "numbers": numbers.compute()}, path)
    else:
        classes.compute(), numbers.compute()
    torch.distributed.destroy_process_group()


def test_figures_are_exact_over_two_ranks_with_unequal_rows(tmp_path: object) -> None:
    path = f"{tmp_path}/found.pt"
    assert run_forked(on_one_of_two_ranks, path, environments=torchrun_environments(2)) == [0, 0]
    found, (logits, labels) = torch.load(path), labelled()
    assert found["classes"]["accuracy"].item() == pytest.approx(metrics.accuracy_score(labels, logits.argmax(1)))
    assert found["classes"]["matthews"].item() == pytest.approx(metrics.matthews_corrcoef(labels, logits.argmax(1)))
    whole = stats.spearmanr(logits[:, 1], labels).statistic
    assert found["numbers"]["spearman"].item() == pytest.approx(whole, abs=1e-6)
    assert found["classes"]["loss"].item() == pytest.approx(6 / 173)


def test_numbers_are_kept_in_pairs() -> None:
    kept = NumberPairs()
    kept.update(torch.tensor([[1.0], [2.0]]), torch.tensor([3, 4]))
    predicted, true = kept.compute()
    assert predicted.tolist() == [1, 2]
    assert true.tolist() == [3, 4]
