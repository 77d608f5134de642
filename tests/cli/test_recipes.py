"""Recipes are found by scanning folders, and their headers are read for the table."""

from pathlib import Path

import pytest

from lhy_lightning.cli import recipes
from lhy_lightning.cli.recipes import RecipeError, find_recipe, list_recipes, parse_header, recipe_table

HEADER = """\
# Handwritten digits in about a minute
#
# Lecture: convolutional networks
# data: 1,797 embedded 8x8 pictures,
#   nothing to download
# time: about a minute on two CPU cores
# expected: val/accuracy 0.990 (seed 0)
#
# Change anything after `lhy copy`.

seed_everything: 0
# not: part of the header
"""


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shipped folder with three recipes, and a current folder without any."""
    shipped = tmp_path / "shipped"
    for name in ("quickstart", "hw03/simple", "hw03/strong"):
        path = shipped / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADER)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(recipes, "shipped_folder", lambda: shipped)
    return tmp_path


def test_header_has_title_fields_with_continued_lines_and_free_text() -> None:
    header = parse_header(HEADER)
    assert header.title == "Handwritten digits in about a minute"
    assert header.fields == {
        "lecture": "convolutional networks",
        "data": "1,797 embedded 8x8 pictures, nothing to download",
        "time": "about a minute on two CPU cores",
        "expected": "val/accuracy 0.990 (seed 0)",
    }
    assert header.text == "Change anything after `lhy copy`."


@pytest.mark.parametrize(
    "text", ["", "model: ResNet\n", "#\n#\n", "\ufeff# Title", "# data: only a field\nx: 1", "#: odd\n"]
)
def test_header_of_any_file_is_read_without_an_error(text: str) -> None:
    parse_header(text)


def test_a_link_in_the_header_is_not_a_field() -> None:
    assert parse_header("# Title: a subtitle\n# https://arxiv.org/abs/1512.03385\n").fields == {}


def test_recipes_are_named_by_their_path_and_found_by_it(folders: Path) -> None:
    assert [recipe.name for recipe in list_recipes()] == ["hw03/simple", "hw03/strong", "quickstart"]
    assert find_recipe("hw03/strong") == folders / "shipped/hw03/strong.yaml"
    assert find_recipe("hw03/strong.yaml") == folders / "shipped/hw03/strong.yaml"


def test_a_recipe_of_the_users_hides_the_shipped_one_and_is_marked(folders: Path) -> None:
    own = folders / "here/recipes/quickstart.yml"
    own.parent.mkdir()
    own.write_text("# Mine\n")
    assert find_recipe("quickstart").samefile(own)
    assert "quickstart (yours)" in recipe_table(list_recipes())


def test_any_file_is_a_recipe_by_its_path(folders: Path) -> None:
    Path("mine.yaml").write_text(HEADER)
    Path("bare").write_text(HEADER)
    assert find_recipe("mine.yaml") == Path("mine.yaml")
    assert find_recipe(folders / "here" / "mine.yaml").is_file()
    assert find_recipe("bare") == Path("bare")


@pytest.mark.parametrize(
    ("given", "nearest"),
    [("hw03/strnog", "hw03/strong"), ("quikstart", "quickstart"), ("strong", "hw03/strong"), ("hw03/simple.yml", None)],
)
def test_an_unknown_recipe_is_an_error_with_the_nearest_names(folders: Path, given: str, nearest: str | None) -> None:
    if nearest is None:
        assert find_recipe(given).name == "simple.yaml"
        return
    with pytest.raises(RecipeError, match=f"no recipe and no file '{given}'; nearest: {nearest}"):
        find_recipe(given)


def test_a_folder_is_not_a_recipe(folders: Path) -> None:
    Path("hw03").mkdir()
    with pytest.raises(RecipeError):
        find_recipe("hw03")


def test_table_shows_every_recipe_within_the_width(folders: Path) -> None:
    table = recipe_table(list_recipes(), width=72).splitlines()
    assert max(map(len, table)) <= 72
    assert table[0].split() == ["recipe", "data", "time", "expected", "score"]
    cells = " ".join(table)
    for name in ("quickstart", "hw03/simple", "hw03/strong"):
        assert name in cells
    assert "0.990" in cells


def test_shipped_recipes_say_what_they_need_and_reach() -> None:
    shipped = [recipe for recipe in list_recipes("no such folder") if recipe.shipped]
    assert "quickstart" in [recipe.name for recipe in shipped]
    for recipe in shipped:
        header = recipe.header
        assert header.title, recipe.name
        assert not {"data", "time", "expected"} - set(header.fields), recipe.name
