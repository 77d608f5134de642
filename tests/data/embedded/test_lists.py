import re
from decimal import Decimal

import pytest
from babel import Locale
from babel.lists import format_list

from lhy_lightning.data.embedded import lists
from lhy_lightning.data.embedded.cldr import CURRENCIES, UNITS, write_measure, write_money
from lhy_lightning.data.embedded.lists import (
    DIGITS,
    LONGEST,
    SHORTEST,
    SIZES,
    lists_pairs,
    measure_pattern,
    money_pattern,
    numbers_of,
)
from lhy_lightning.data.translation.parallel_files import open_parallel

PAIRS = lists_pairs()


def numbers_in(text: str) -> list[int]:
    return [int(number.replace(",", "")) for number in re.findall(r"\d+(?:,\d{3})*", text)]


def test_lists_are_the_same_when_generated_anew() -> None:
    lists._all_pairs.cache_clear()
    assert lists_pairs() == PAIRS
    assert {split: len(source) for split, (source, _) in PAIRS.items()} == SIZES


def test_both_languages_have_the_same_numbers_in_the_same_order() -> None:
    for source, target in PAIRS.values():
        for english, chinese in zip(source, target, strict=True):
            found = numbers_in(english)
            assert SHORTEST <= len(found) <= LONGEST
            assert numbers_in(chinese) == found


def test_no_number_is_in_two_splits() -> None:
    of_split = {split: {n for text in source for n in numbers_in(text)} for split, (source, _) in PAIRS.items()}
    assert sum(map(len, of_split.values())) == len(set().union(*of_split.values()))
    for split, size in (("train", 0.9), ("val", 0.05), ("test", 0.05)):
        given = {n for digits in range(1, DIGITS + 1) for n in numbers_of(split, digits)}  # type: ignore[arg-type]
        assert of_split[split] <= given
        assert len(given) == pytest.approx(size * 10**DIGITS, rel=0.05)


def test_every_source_has_one_target_and_occurs_once() -> None:
    sources = [text for source, _ in PAIRS.values() for text in source]
    assert len(set(sources)) == len(sources)


@pytest.mark.parametrize("number", [2, 40, 876, 9999])
def test_amounts_and_measures_are_written_as_babel_writes_them(number: int) -> None:
    for unit in UNITS:
        assert tuple(text.format(f"{number:,}") for text in measure_pattern(unit)) == write_measure(
            Decimal(number), unit
        )
    for currency in CURRENCIES:
        english, chinese = (text.format(f"{number:,}") for text in money_pattern(currency))
        assert (english, chinese) == tuple(text.replace(".00", "") for text in write_money(Decimal(number), currency))


def test_names_of_units_and_currencies_differ_so_that_the_source_decides() -> None:
    patterns = [money_pattern(code) for code in CURRENCIES] + [measure_pattern(unit) for unit in UNITS]
    assert len({english for english, _ in patterns}) == len(patterns)


def test_lists_are_joined_by_the_rules_of_each_language() -> None:
    assert lists.write_list(["4 feet", "2 days", "9 euros"], "en") == "4 feet, 2 days, and 9 euros"
    assert lists.write_list(["4英尺", "2天", "9欧元"], "zh_Hans") == "4英尺、2天和9欧元"
    assert lists.write_list(["a", "b"], "en") == format_list(["a", "b"], locale=Locale.parse("en"))


def test_lists_are_long() -> None:
    lengths = [len(text) for text in PAIRS["train"][0]]
    assert sum(lengths) / len(lengths) > 50
    assert max(lengths) > 100


def test_other_languages_are_refused() -> None:
    with pytest.raises(ValueError, match=r"embedded:lists is English to Chinese.*reverse: true"):
        open_parallel("embedded:lists", source_lang="zh", target_lang="en")
