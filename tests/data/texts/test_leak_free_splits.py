import numpy as np
import pytest

from lhy_lightning.data.texts.leak_free_splits import hold_out_pairs, remove_leaks, sentence_groups


def corpus(rows: int = 500, vocabulary: int = 400, seed: int = 0) -> tuple[list[str], list[str]]:
    """Sentences of which some occur again, on either side."""
    rng = np.random.default_rng(seed)
    return tuple([f"{side}{number}" for number in rng.integers(vocabulary, size=rows)] for side in "st")  # type: ignore


def test_rows_that_share_a_source_or_a_target_through_other_rows_are_one_group() -> None:
    source = ["hi", "hello", "hello", "bye", "ta", "hi"]
    target = ["嗨", "嗨", "你好", "再見", "謝", "喂"]
    assert sentence_groups(source, target).tolist() == [0, 0, 0, 3, 4, 0]
    assert sentence_groups(source).tolist() == [0, 1, 1, 3, 4, 0]


def test_a_source_and_a_target_of_equal_spelling_are_not_one_sentence() -> None:
    assert sentence_groups(["OK", "a"], ["b", "OK"]).tolist() == [0, 1]


def test_a_long_chain_of_shared_sentences_is_one_group() -> None:
    rows = 20_000
    source, target = [f"s{(row + 1) // 2}" for row in range(rows)], [f"t{row // 2}" for row in range(rows)]
    assert set(sentence_groups(source, target).tolist()) == {0}


@pytest.mark.parametrize("seed", range(5))
def test_held_out_rows_share_no_sentence_with_training(seed: int) -> None:
    source, target = corpus(rows=300, vocabulary=900, seed=seed)
    held = hold_out_pairs(source, target, 0.1, seed).held
    assert held.sum() == 30
    for side in (np.array(source), np.array(target)):
        assert not np.isin(side[~held], side[held]).any()


def test_the_seed_alone_decides_which_rows_are_held_out() -> None:
    source, target = corpus(vocabulary=2000)
    first, again, other = (hold_out_pairs(source, target, 50, seed).held for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    literal = hold_out_pairs([str(row) for row in range(20)], None, 5, 0).held
    assert np.flatnonzero(literal).tolist() == [2, 3, 11, 13, 15]


def test_without_shared_sentences_nothing_is_moved() -> None:
    lines = [str(row) for row in range(100)]
    split = hold_out_pairs(lines, lines, 10, 0)
    assert (split.held.sum(), split.moved) == (10, 0)


def test_moved_rows_are_those_whose_group_a_plain_choice_would_cut() -> None:
    lines = [str(row // 2) for row in range(100)]  # pairs of rows with one source
    split = hold_out_pairs(lines, None, 50, 0)
    assert split.held.sum() == 50
    assert (split.held[::2] == split.held[1::2]).all()
    assert 20 < split.moved < 80


def test_a_giant_group_stays_in_training() -> None:
    source = ["thank you"] * 900 + [f"s{row}" for row in range(100)]
    target = [f"t{row}" for row in range(1000)]
    held = hold_out_pairs(source, target, 0.05, 3).held
    assert not held[:900].any()
    assert held[900:].sum() == 50


def test_fixed_rows_and_whatever_shares_a_sentence_with_them_stay_in_training() -> None:
    source = [str(row // 2) for row in range(40)]
    held = hold_out_pairs(source, None, 20, 0, fixed=range(0, 20, 2)).held
    assert not held[:20].any()
    assert held[20:].all()


def test_a_fraction_holds_out_at_least_one_row_and_nothing_asked_for_holds_out_none() -> None:
    lines = [str(row) for row in range(10)]
    assert hold_out_pairs(lines, None, 0.001, 0).held.sum() == 1
    assert hold_out_pairs(lines, None, 0, 0).held.sum() == 0


def test_what_cannot_be_held_out_is_an_error() -> None:
    with pytest.raises(ValueError, match="none would be left to train on"):
        hold_out_pairs(["a", "b"], None, 2, 0)
    with pytest.raises(ValueError, match=r"no row can be held out: 2 of 10 .* smallest group .* has 10"):
        hold_out_pairs(["a"] * 10, None, 0.2, 0)


def test_training_rows_that_share_a_sentence_with_another_split_are_found_and_counted_by_why() -> None:
    source, target = ["a", "a", "b", "c", ""], ["一", "二", "三", "四", "五"]
    found = remove_leaks(source, target, [(["a", "x", ""], ["一", "三", ""]), (["y"], None)])
    assert found.keep.tolist() == [False, False, False, True, True]
    assert (found.same_pair, found.same_source, found.same_target, found.dropped) == (1, 1, 1, 3)


def test_sources_without_references_are_compared_by_source_alone() -> None:
    assert remove_leaks(["a", "b"], ["。", "一"], [(["a", "c"], None)]).keep.tolist() == [False, True]
    assert remove_leaks(["a", "b"], None, [(["a"], ["一"])]).keep.tolist() == [False, True]
