"""The README's example of a loader of one's own runs as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

README = Path(__file__).parents[1] / "README.md"
CODE = re.compile(r"A loader of your own.*?```python\n(.*?)```", re.DOTALL)


def test_the_example_of_the_readme_trains_and_predicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the Trainer writes its logs here
    found = CODE.search(README.read_text(encoding="utf-8"))
    assert found is not None
    told: dict[str, Any] = {}
    exec(found[1], told)
    assert torch.cat([batch["index"] for batch in told["predictions"]]).tolist() == [*range(64)]
    assert torch.cat([batch["probabilities"] for batch in told["predictions"]]).shape == (64, 10)
    assert told["trainer"].global_step == 2
