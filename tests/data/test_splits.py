import numpy as np
import pytest

from lhy_lightning.data.splits import first_of_each_class, fold_of_row, held_out, shuffled

LABELS = np.repeat(np.arange(4), [40, 20, 10, 30])
CONTENT = np.arange(100)


def test_order_is_the_same_on_every_machine() -> None:
    assert shuffled(np.arange(8), 0, 1).tolist() == [7, 4, 5, 1, 6, 2, 0, 3]


def test_the_same_seed_holds_out_the_same_rows_and_another_one_others() -> None:
    chosen = held_out(LABELS, CONTENT, 0.2, 5)
    assert np.array_equal(chosen, held_out(LABELS, CONTENT, 0.2, 5))
    assert not np.array_equal(chosen, held_out(LABELS, CONTENT, 0.2, 6))
    assert not np.array_equal(chosen, held_out(LABELS, CONTENT, 0.2, 5, stream=1))


def test_held_out_rows_are_stratified() -> None:
    assert np.bincount(LABELS[held_out(LABELS, CONTENT, 0.2, 0)]).tolist() == [8, 4, 2, 6]


def test_rows_of_equal_content_stay_on_one_side() -> None:
    content = np.random.default_rng(0).integers(0, 30, 100)
    chosen = held_out(np.zeros(100, dtype=int), content, 0.3, 0)
    assert not set(content[chosen]) & set(content[~chosen])
    assert 20 <= chosen.sum() <= 30
    fold = fold_of_row(np.zeros(100, dtype=int), content, 4, 0)
    assert all(len(set(fold[content == c])) == 1 for c in set(content))


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_folds_cover_every_row_once_and_are_stratified(folds: int) -> None:
    fold = fold_of_row(LABELS, CONTENT, folds, 0)
    assert set(fold) == set(range(folds))
    for label in range(4):
        sizes = np.bincount(fold[label == LABELS], minlength=folds)
        assert sizes.max() - sizes.min() <= 1
    assert np.ptp(np.bincount(fold)) <= 1


def test_a_few_labels_a_class() -> None:
    chosen = first_of_each_class(LABELS, 7, 0)
    assert np.bincount(LABELS[chosen]).tolist() == [7, 7, 7, 7]
    with pytest.raises(ValueError, match="labelled_per_class=11, but class 2 has 10 training rows"):
        first_of_each_class(LABELS, 11, 0)


def test_more_folds_than_rows_are_refused() -> None:
    content = np.array([1, 2, 2, 3])
    with pytest.raises(ValueError, match=r"folds=5: 2 of them would have no validation row, .* give 3 at most"):
        fold_of_row(np.zeros(4, dtype=int), content, 5, 0)
    assert set(fold_of_row(np.zeros(4, dtype=int), content, 3, 0)) == {0, 1, 2}
