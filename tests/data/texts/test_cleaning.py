import pytest

from lhy_lightning.data.texts.cleaning import CLEANING, clean_pairs, clean_text, text_length

HOMEWORK = ("full_width", "brackets", "hyphens", "chinese_spaces", "quotes", "punctuation", "whitespace")


@pytest.mark.parametrize(
    ("line", "cleaned"),
    [
        ("Thank you so much, Chris.", "Thank you so much , Chris ."),
        ("(Laughter) Put yourselves in my position.", "Put yourselves in my position ."),
        ("I flew on Air Force Two (applause) for eight-year terms!", "I flew on Air Force Two for eightyear terms !"),
        ('He said: "No" (a (nested) one); why?', 'He said: " No " ( a one ) ; why ?'),
        ("  two   spaces\tand a tab ", "two spaces and a tab"),
        ("Ｆull width stays — in “English”", "Ｆull width stays — in “English”"),
    ],
)
def test_the_homeworks_cleaning_of_english(line: str, cleaned: str) -> None:
    assert clean_text(line, "en", HOMEWORK) == cleaned


@pytest.mark.parametrize(
    ("line", "cleaned"),
    [
        ("非常 謝謝，克里斯。", "非常謝謝 , 克里斯 。"),
        ("（笑聲） 我們Ａ１坐―飛機！", "我們A1坐―飛機 !"),
        ("他說：“不”—真_的", '他說: " 不 " 真的'),
        ("「你好」？", "「 你好 」 ?"),
        ("全形\u3000空格", "全形空格"),
        ("half-width - hyphen", "half-width-hyphen"),
    ],
)
def test_the_homeworks_cleaning_of_chinese(line: str, cleaned: str) -> None:
    assert clean_text(line, "zh", HOMEWORK) == cleaned


def test_nfkc_and_case_folding_are_what_sentencepiece_does_in_the_homework() -> None:
    assert clean_text("ﬁne Straße ２０ №…", "en", ("nfkc", "case")) == "fine strasse 20 no..."


def test_steps_are_taken_in_one_order_whatever_order_they_are_named_in() -> None:
    line = "Ｗｅ，（笑） ok"
    assert clean_text(line, "zh", CLEANING) == clean_text(line, "zh", reversed(CLEANING)) == "we , ok"


def test_no_step_leaves_a_line_alone_and_an_unknown_one_names_those_that_exist() -> None:
    assert clean_text(" (a)  B—", "zh", ()) == " (a)  B—"
    with pytest.raises(ValueError, match="no cleaning step nfc; there is full_width, brackets"):
        clean_text("a", "en", ("nfc",))


def test_length_counts_words_and_in_chinese_and_japanese_characters() -> None:
    assert [text_length("to be or", lang) for lang in ("en", "de", "zh", "ja")] == [3, 3, 8, 8]


def test_each_step_reports_how_many_lines_it_changed() -> None:
    cleaned = clean_pairs(["a (b)", "c-d", "e"], ["（甲）乙", "丙 丁", "戊"], "en", "zh", HOMEWORK)
    assert cleaned.source == ["a", "cd", "e"]
    assert cleaned.target == ["乙", "丙丁", "戊"]
    steps = {name: cleaned.counts[name] for name in HOMEWORK}
    assert steps == {
        "full_width": 1,
        "brackets": 2,
        "hyphens": 1,
        "chinese_spaces": 1,
        "quotes": 0,
        "punctuation": 0,
        "whitespace": 1,  # "a "
    }


def test_rows_are_dropped_once_each_for_the_homeworks_reasons() -> None:
    source = ["(Applause)", "a b c", "a", "a " * 1001, "a " * 9, "a " * 10, "fine"]
    target = ["（掌聲）", "", "一二三四五六七八九十", "一" * 1000, "一", "一", "好"]
    cleaned = clean_pairs(source, target, "en", "zh", HOMEWORK)
    assert cleaned.rows == [4, 6]
    drops = {why: cleaned.counts[why] for why in ("empty", "too short", "too long", "ratio")}
    assert drops == {"empty": 2, "too short": 0, "too long": 1, "ratio": 2}
    assert sum(drops.values()) + len(cleaned.rows) == len(source)


def test_lengths_are_inclusive_and_of_either_side() -> None:
    source, target = ["a", "a b", "a b c", "a b c d", "a b"], ["一二", "一二", "一二三", "一二三", "一二三四"]
    cleaned = clean_pairs(source, target, "en", "zh", (), min_length=2, max_length=3)
    assert cleaned.rows == [1, 2]
    assert (cleaned.counts["too short"], cleaned.counts["too long"]) == (1, 2)


def test_test_lines_are_cleaned_and_never_dropped() -> None:
    lines = ["(Applause)", "", "a " * 2000, "fine."]
    cleaned = clean_pairs(lines, None, "en", "zh", HOMEWORK, keep_all=True)
    assert cleaned.rows == [0, 1, 2, 3]
    assert cleaned.source == ["", "", " ".join("a" * 2000), "fine ."]
    assert cleaned.target is None


def test_one_language_text_is_dropped_by_its_own_length() -> None:
    assert clean_pairs(["a", "", "a b c"], None, "en", "zh", (), max_length=2).rows == [0]


def test_empty_lines_are_dropped_even_where_any_length_will_do() -> None:
    assert clean_pairs(["a", " "], ["一", "一"], "en", "zh", (), min_length=0, max_ratio=0).rows == [0]
    assert clean_pairs(["a"] * 2, ["一", " "], "en", "zh", (), min_length=0, max_ratio=0).rows == [0]


def test_sides_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 source lines, 1 target"):
        clean_pairs(["a", "b"], ["一"], "en", "zh", ())
