from pathlib import Path
from unittest.mock import patch

import pytest

from lhy_lightning.whole_file import csv_text, write_whole


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "results.json"
    write_whole(path, "old")
    with patch("os.replace", side_effect=OSError("No space left on device")), pytest.raises(OSError, match="No space"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]


def test_commas_are_quoted_and_lines_end_alike_everywhere() -> None:
    assert csv_text([["path", "class"], ["a,b.jpg", 3]]) == 'path,class\n"a,b.jpg",3\n'
