"""From which domain to which pictures are translated without pairs."""

from typing import Literal

Direction = Literal["a_to_b", "b_to_a"]
SIDES: dict[Direction, tuple[str, str]] = {"a_to_b": ("a", "b"), "b_to_a": ("b", "a")}
"""The domain that pictures come from and the one that they go to."""
BACK: dict[Direction, Direction] = {"a_to_b": "b_to_a", "b_to_a": "a_to_b"}
