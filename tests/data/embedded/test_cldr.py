import re
from datetime import date
from decimal import Decimal

import pytest

from lhy_lightning.data.embedded.cldr import (
    CURRENCIES,
    DATE_FORMATS,
    SIZES,
    UNITS,
    WITHOUT_CENTS,
    cldr_pairs,
    write_date,
    write_measure,
    write_money,
)

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
PAIRS = cldr_pairs()
ALL = [pair for source, target in PAIRS.values() for pair in zip(source, target, strict=True)]


def value_in_english(text: str) -> date | Decimal:
    """Reads the value from the source alone."""
    day = re.fullmatch(r"(?:\w+, )?([A-Z][a-z]{2})[a-z]* (\d+), (\d{4})(?: AD)?", text)
    if day:
        return date(int(day[3]), MONTHS.index(day[1]) + 1, int(day[2]))
    number = re.match(r"[\d,.]+", text)
    assert number, text
    return Decimal(number[0].replace(",", ""))


def value_in_chinese(text: str) -> date | Decimal:
    day = re.fullmatch(r"(?:公元)?(\d{4})年(\d+)月(\d+)日(?:星期.|周.)?", text)
    if day:
        return date(int(day[1]), int(day[2]), int(day[3]))
    number = re.search(r"[\d,.]+", text)
    assert number, text
    return Decimal(number[0].replace(",", ""))


def test_a_date_an_amount_and_a_measure_are_written_by_the_rules_of_both_languages() -> None:
    day = date(1987, 3, 5)
    assert [write_date(day, form) for form in DATE_FORMATS] == [
        ("Thursday, March 5, 1987", "1987年3月5日星期四"),
        ("March 5, 1987", "1987年3月5日"),
        ("Mar 5, 1987", "1987年3月5日"),
        ("Thu, Mar 5, 1987", "1987年3月5日周四"),
        ("Mar 5, 1987 AD", "公元1987年3月5日"),
    ]
    assert write_money(Decimal("12480.5"), "CHF") == ("12,480.50 Swiss francs", "12,480.50瑞士法郎")
    assert write_money(Decimal(1), "JPY") == ("1 Japanese yen", "1日元")
    assert write_measure(Decimal(312), "speed-kilometer-per-hour") == ("312 kilometers per hour", "每小时312公里")
    assert write_measure(Decimal(1), "length-foot") == ("1 foot", "1英尺")
    assert write_measure(Decimal("2.5"), "length-foot") == ("2.5 feet", "2.5英尺")


def test_splits_have_the_sizes_that_are_promised() -> None:
    assert {split: len(source) for split, (source, _) in PAIRS.items()} == SIZES
    assert all(len(source) == len(target) for source, target in PAIRS.values())


def test_every_source_occurs_once_and_has_one_target() -> None:
    assert len({source for source, _ in ALL}) == len(ALL)


def test_the_value_can_be_read_from_the_source_and_is_the_targets() -> None:
    assert all(value_in_english(source) == value_in_chinese(target) for source, target in ALL)


def test_no_value_and_no_string_is_in_two_splits() -> None:
    values = [{value_in_english(text) for text in source} for source, _ in PAIRS.values()]
    strings = [{*source, *target} for source, target in PAIRS.values()]
    for found in (values, strings):
        assert all(not found[a] & found[b] for a, b in ((0, 1), (0, 2), (1, 2)))


def test_validation_and_test_need_no_character_that_training_does_not_have() -> None:
    for side in (0, 1):
        known = set("".join(PAIRS["train"][side]))
        assert all(set("".join(PAIRS[split][side])) <= known for split in ("val", "test"))


def test_every_name_is_translated_and_no_key_of_babels_shows_through() -> None:
    number = Decimal(1234)
    written = [write_measure(number, unit) for unit in UNITS] + [write_money(number, code) for code in CURRENCIES]
    for english, chinese in written:
        assert re.fullmatch(r"1,234(?:\.00)? [A-Za-z ]+", english), english
        assert re.fullmatch(r"[\u4e00-\u9fff]*1,234(?:\.00)?[\u4e00-\u9fff]*", chinese), chinese
        assert re.search(r"[\u4e00-\u9fff]", chinese)
    assert len({chinese for _, chinese in written}) == len({english for english, _ in written}) == len(written)


def test_every_format_currency_and_unit_is_trained_on() -> None:
    training = set(zip(*PAIRS["train"], strict=True))
    names = {re.sub(r"[\d,.]+", "", source).strip() for source, _ in training}
    for unit in UNITS:
        assert re.sub(r"[\d,.]+", "", write_measure(Decimal(5), unit)[0]).strip() in names
    for code in CURRENCIES:
        assert re.sub(r"[\d,.]+", "", write_money(Decimal(5), code)[0]).strip() in names


def test_half_are_dates_and_every_value_is_written_twice() -> None:
    for split, (source, _) in PAIRS.items():
        values = [value_in_english(text) for text in source]
        assert sum(isinstance(value, date) for value in values) == SIZES[split] // 2
        assert {values.count(value) for value in values[:100]} == {2}


def test_currencies_without_cents_have_whole_amounts_only() -> None:
    names = {re.sub(r"[\d,.]+ ", "", write_money(Decimal(5), code)[0]) for code in WITHOUT_CENTS}
    found = [text for source, _ in PAIRS.values() for text in source if any(text.endswith(name) for name in names)]
    assert found
    assert not any("." in text for text in found)


def test_the_machines_own_locale_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANG", "LC_ALL", "LANGUAGE", "LC_TIME", "LC_NUMERIC"):
        monkeypatch.setenv(name, "de_DE.UTF-8")
    assert write_date(date(1987, 3, 5), "full") == ("Thursday, March 5, 1987", "1987年3月5日星期四")
    assert write_money(Decimal("1480.5"), "USD") == ("1,480.50 US dollars", "1,480.50美元")


def test_callers_cannot_change_the_pairs_of_others() -> None:
    cldr_pairs()["train"][0].clear()
    assert len(cldr_pairs()["train"][0]) == SIZES["train"]


def test_other_languages_are_refused() -> None:
    with pytest.raises(ValueError, match=r"English to Chinese.*reverse: true"):
        cldr_pairs("zh", "en")
