"""The examples run as they stand, only shorter."""

from pathlib import Path

import pytest

from examples import accelerate_loop, plain_pytorch, ten_lines, translate_plain_pytorch


def test_plain_pytorch() -> None:
    assert plain_pytorch.main(steps=60) > 0.5


def test_accelerate() -> None:
    assert accelerate_loop.main(steps=30) > 0.3


def test_ten_lines(tmp_path: Path) -> None:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    named = ten_lines.main(max_epochs=1, accelerator="cpu", default_root_dir=tmp_path, **quiet)
    assert len(named) == 3
    assert all(name in "0123456789" and 0 < probability <= 1 for name, probability in named)


def test_translation_in_plain_pytorch() -> None:
    loss, translations = translate_plain_pytorch.main(steps=30)
    assert loss < 4.5
    assert len(translations) == 5


@pytest.mark.parametrize("module", [plain_pytorch, accelerate_loop, ten_lines, translate_plain_pytorch])
def test_examples_stay_short(module: object) -> None:
    assert len(Path(str(module.__file__)).read_text("utf8").splitlines()) < 60  # type: ignore[attr-defined]
