"""Every bad input ends in one line, is counted and told of, or is read as it was meant: no silence, no traceback.

The inputs stand in the `*_inputs.py` files beside this one, each with a list `INPUTS`;
`python -m tests.bad_input.table` prints them all as a table.
"""

import re
import tempfile
import warnings
from pathlib import Path

import pytest

from lhy_lightning.cli.errors import message_for_user
from tests.bad_input.case import BadInput
from tests.bad_input.table import all_inputs


def files_below(folder: Path) -> set[Path]:
    """All files but those of a cache that an input may have in its folder."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path for path in found if path.relative_to(folder).parts[0] != "cache"}


def line_of_error(case: BadInput, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What a user reads of an input that is refused: the command line's message, or the exception's in Python."""
    with pytest.raises((SystemExit, Exception)) as raised:  # nothing raised: nothing was said of it
        case.read(folder)
    if not isinstance(raised.value, SystemExit):
        said = message_for_user(raised.value)
        assert said is not None, f"a traceback: {raised.value!r}"
        return said
    assert raised.value.code == 2
    printed = capsys.readouterr().err
    assert printed.count("lhy: error: ") == 1
    assert "Traceback" not in printed
    return printed.split("lhy: error: ")[1].strip()


@pytest.mark.parametrize("case", all_inputs(), ids=lambda case: f"{case.kind}: {case.what}")
def test_a_bad_input_is_told_of(
    case: BadInput,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    case.make(tmp_path)
    before = files_below(tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if case.ends == "line":
            said = line_of_error(case, tmp_path, capsys)
            assert "\n" not in said, f"more than a line: {said}"
            assert re.search(case.says, said), said
            assert files_below(tmp_path) == before, "an input that is refused leaves no file"
            assert not files_below(temporary), "nor a temporary one"
            return
        case.read(tmp_path)
    told = [*(str(warning.message) for warning in caught), *capsys.readouterr().out.splitlines()]
    if case.ends == "counted":
        assert case.says, "a counted input names the words that count it"
    assert not case.says or any(re.search(case.says, line) for line in told), told
