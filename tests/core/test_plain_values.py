"""Settings as files hold them (`plain_values.py`), and values in messages (`messages.py`)."""

import json

import pytest

from lhy_lightning.core.messages import short
from lhy_lightning.core.plain_values import as_tuple, plain, tuples


@pytest.mark.parametrize("value", [1, "a", None, (1, (2, 3)), {"a": ({"b": (1.5, None)}, [True])}, []])
def test_plain_values_are_what_json_gives_back(value: object) -> None:
    assert plain(value) == json.loads(json.dumps(value))


def test_lists_become_tuples_again_however_deep_they_lie() -> None:
    assert tuples(plain((1, (2, (3,))))) == (1, (2, (3,)))
    assert as_tuple([1, [2]]) == (1, [2])
    assert as_tuple("ab") == "ab"


def test_a_long_value_is_cut_in_a_message_and_a_short_one_is_not() -> None:
    assert short("a" * 58) == repr("a" * 58)
    assert short("a" * 59) == "'" + "a" * 59 + " …"
    assert short(list(range(9)), most=5) == "[0, 1 …"
