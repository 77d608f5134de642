from collections import Counter

import pytest
import yaml

from lhy_lightning.cli.recipes import find_recipe
from lhy_lightning.data.embedded import names
from lhy_lightning.data.embedded.names import NAMES, SIZES, TEMPLATES, known_words, made_up_names, names_pairs
from lhy_lightning.data.tokenizers.special_tokens import UNK
from lhy_lightning.data.tokenizers.text_tokenizer import TextTokenizer
from lhy_lightning.data.translation.parallel_files import open_parallel

PAIRS = names_pairs()
MADE_UP = frozenset(made_up_names(sum(NAMES.values())))


def names_of(text: str) -> list[str]:
    return [word for word in text.split() if word in MADE_UP]


def test_some_sentences_literally() -> None:
    assert [pair[0] for pair in PAIRS["train"]] == [
        "Edofen owes Mebilu 6 British pounds since Friday .",
        "星期五 起 Edofen 欠 Mebilu 6 英镑 。",
    ]


def test_sentences_are_the_same_when_generated_anew() -> None:
    names._all_pairs.cache_clear()
    assert names_pairs() == PAIRS
    assert {split: len(source) for split, (source, _) in PAIRS.items()} == SIZES


def test_no_name_is_in_two_splits() -> None:
    of_split = [{name for text in source for name in names_of(text)} for source, _ in PAIRS.values()]
    assert sum(map(len, of_split)) == len(set().union(*of_split))
    assert all(len(found) > 0.9 * size for found, size in zip(of_split, NAMES.values(), strict=True))


def test_a_sentence_has_two_or_three_different_names_and_the_same_in_both_languages() -> None:
    for source, target in PAIRS.values():
        for english, chinese in zip(source, target, strict=True):
            found = names_of(english)
            assert len(set(found)) == len(found) in (2, 3)
            assert sorted(names_of(chinese)) == sorted(found)


def test_names_change_places_often_enough_that_copying_in_order_fails() -> None:
    moved = [names_of(en) != names_of(zh) for en, zh in zip(*PAIRS["val"], strict=True)]
    assert 0.25 < sum(moved) / len(moved) < 0.75


def test_every_source_has_one_target() -> None:
    found: dict[str, str] = {}
    for source, target in PAIRS.values():
        for english, chinese in zip(source, target, strict=True):
            assert found.setdefault(english, chinese) == chinese


def test_all_words_of_validation_but_names_are_frequent_in_training() -> None:
    for side in (0, 1):
        counts = Counter(word for text in PAIRS["train"][side] for word in text.split())
        words = {word for text in PAIRS["val"][side] for word in text.split() if word not in MADE_UP}
        assert min(counts[word] for word in words) > 10 * max(counts[name] for name in MADE_UP)


def test_the_recipes_vocabulary_lacks_the_names_of_validation_and_nothing_else() -> None:
    size = yaml.safe_load(find_recipe("seq2seq/copy").read_text())["data"]["init_args"]["vocab_size"]
    for side in (0, 1):
        tokenizer = TextTokenizer.train(PAIRS["train"][side], kind="word", vocab_size=size)
        for text, ids in zip(PAIRS["val"][side], tokenizer.encode(PAIRS["val"][side]), strict=True):
            assert [word for word, i in zip(text.split(), ids, strict=True) if i == UNK] == names_of(text)


def test_no_name_is_a_word() -> None:
    words = {word for pairs in known_words().values() for english, _ in pairs for word in english.split()}
    words |= {word for english, _ in TEMPLATES for word in english.split()}
    assert not MADE_UP & {word.capitalize() for word in words}


def test_words_are_those_of_the_cldr() -> None:
    words = known_words()
    assert ("Swiss francs", "瑞士法郎") in words["money"]
    assert ("hours", "小时") in words["time"]
    assert ("Monday", "星期一") in words["day"]
    assert ("Switzerland", "瑞士") in words["place"]


def test_other_languages_are_refused() -> None:
    with pytest.raises(ValueError, match=r"embedded:names is English to Chinese.*not en and de"):
        open_parallel("embedded:names", source_lang="en", target_lang="de")
