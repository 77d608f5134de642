"""A topic's README opens with its idea and one figure, and has its results beside it."""

import re
from pathlib import Path

import pytest
from PIL import Image

import lhy_lightning

PACKAGE = Path(lhy_lightning.__file__).parent
TOPICS = sorted(file.parent for file in PACKAGE.glob("*/RESULTS.md"))
MOST_BYTES = 100_000


@pytest.mark.parametrize("topic", TOPICS, ids=[topic.name for topic in TOPICS])
def test_a_topic_opens_with_idea_figure_command_and_use(topic: Path) -> None:
    text = (topic / "README.md").read_text("utf8")
    title, idea, *rest = text.split("\n\n")
    assert title.startswith("# ")
    assert 2 <= len(idea.splitlines()) <= 4
    found = re.match(r"!\[.+\]\((.+\.png)\)\n\n.+: `lhy fit --config ([\w/]+)`", "\n\n".join(rest))
    assert found, "a figure, and under it the command that makes it"
    figure, recipe = topic / found[1], found[2]
    assert figure.stat().st_size <= MOST_BYTES
    with Image.open(figure) as image:
        image.verify()
    assert list(PACKAGE.parent.glob(f"recipes/{recipe}.yaml"))
    assert text.index("```python") < text.index("## ")
    assert "[RESULTS.md](RESULTS.md)" in text
    assert "|" in (topic / "RESULTS.md").read_text("utf8")
