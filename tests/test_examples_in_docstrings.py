"""Every public class and function has an example in its docstring, which gives what it says it gives."""

import doctest
from pathlib import Path
from typing import Any

import pytest

import lhy_lightning

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE  # what a data module says when it has read is cut off


@pytest.mark.parametrize("name", lhy_lightning.__all__)
@pytest.mark.filterwarnings("ignore")
def test_an_example_gives_what_it_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    documented: Any = getattr(lhy_lightning, name)
    example = doctest.DocTestParser().get_doctest(documented.__doc__, {}, name, None, None)
    assert example.examples, f"{name} has no example"
    assert not [line for line in example.examples if line.options.get(doctest.SKIP)]
    assert any(name in line.source for line in example.examples), f"the example of {name} does not use it"
    said: list[str] = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(example, out=said.append)
    assert not said, "".join(said)
    assert not list(tmp_path.iterdir()), "an example leaves no file behind"
