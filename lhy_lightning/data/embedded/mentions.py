"""`embedded:mentions` and `embedded:mentions_zh`: sentences about people, places, money and time, every word tagged.

    Tralome   owes Vesudin   7       Swiss   francs  since Monday .
    B-PERSON  O    B-PERSON  B-MONEY I-MONEY I-MONEY O     B-DATE O

The sentences and names are those of `embedded:names`, whose slots say what each word is. No name is in two splits, so
that a tagger has to go by what stands round it. Words stand apart by spaces in both languages.
"""

from collections.abc import Iterator
from functools import cache
from itertools import count

import numpy as np

from lhy_lightning.data.embedded.cldr import SplitName
from lhy_lightning.data.embedded.names import TEMPLATES, known_words, made_up_names
from lhy_lightning.data.splits import shuffled

Sentence = tuple[list[str], list[str]]
"""Words, and a tag for each."""

SIZES: dict[SplitName, int] = {"train": 4_000, "val": 400, "test": 800}
NAMES: dict[SplitName, int] = {"train": 6_000, "val": 800, "test": 1_500}
KINDS = {
    **dict.fromkeys("abc", "PERSON"), "place": "PLACE", "other": "PLACE", "day": "DATE", "month": "DATE",
    "money": "MONEY", "time": "DURATION",
}  # fmt: skip
"""What the words in a place of a sentence are; a number belongs to what it counts."""
SEED = 1
_WORDS, _PEOPLE = range(2)  # streams of random bits


@cache
def mentions(side: int) -> dict[SplitName, list[Sentence]]:
    """Tagged sentences of each split in English (0) or Chinese (1)."""
    names, found = iter(made_up_names(sum(NAMES.values()))), dict[SplitName, list[Sentence]]()
    for number, (split, size) in enumerate(SIZES.items()):
        people = _trios([next(names) for _ in range(NAMES[split])], number)
        raw = np.random.PCG64(np.random.SeedSequence((SEED, _WORDS, number))).random_raw(size * 8)
        found[split] = [_sentence(row, next(people), side) for row in raw.reshape(size, 8).tolist()]
    return found


def _trios(names: list[str], number: int) -> Iterator[list[str]]:
    """Three different names at a time, all names once before any comes again."""
    for turn in count():
        order = shuffled(np.arange(len(names)), SEED, _PEOPLE, number, turn)
        for first in range(0, len(names) - 2, 3):
            yield [names[place] for place in order[first : first + 3]]


def _sentence(draws: list[int], trio: list[str], side: int) -> Sentence:
    words = known_words()
    chosen = {
        place: options[draw % len(options)] for (place, options), draw in zip(words.items(), draws[1:], strict=True)
    }
    if chosen["other"] == chosen["place"]:
        chosen["other"] = words["place"][words["place"].index(chosen["place"]) - 1]
    parts = TEMPLATES[draws[0] % len(TEMPLATES)][side].split()
    said: list[str] = []
    tags: list[str] = []
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        slot = part.strip("{}") if part.startswith("{") else None
        if slot is None:
            said.append(part)
            tags.append("O")
            continue
        text = trio["abc".index(slot)] if slot in "abc" else chosen[slot][side]
        kind = KINDS.get(slot) or KINDS[following.strip("{}")]  # a number's is that of what follows
        inside = parts[parts.index(part) - 1] == "{number}"
        pieces = text.split()
        said += pieces
        tags += [f"{'I' if inside or place else 'B'}-{kind}" for place in range(len(pieces))]
    return said, tags
