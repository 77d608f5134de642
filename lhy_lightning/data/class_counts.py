"""Says before training which classes were found, and which of them look as if nobody meant them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

NO_GOLD_LABEL = ("-", "")
"""How data sets write that a row has no agreed label: SNLI, MNLI and OCNLI by a hyphen."""
LONG_NAME = 40
RARE = 0.01
MANY = 20
"""Classes from which on it is remarkable that hardly any has two rows."""


def describe_classes(
    names: Sequence[str], counts: Sequence[int], *, shown: int = 12, unit: str = "training rows"
) -> str:
    """Returns `2 classes in 60 training rows: cat 20, dog 40`, the first `shown` of many.

    Args:
        names: of the classes, in the order of their numbers.
        counts: training rows of each.
        shown: classes named at most.
        unit: what is counted.
    """
    listed = ", ".join(f"{name} {count:,}" for name, count in list(zip(names, counts, strict=True))[:shown])
    more = f" … and {len(names) - shown:,} more" if len(names) > shown else ""
    return f"{len(names):,} class{'es' * (len(names) != 1)} in {sum(counts):,} {unit}: {listed}{more}"


def doubtful_classes(names: Sequence[str], counts: Sequence[int]) -> list[str]:
    """Returns a sentence for each kind of class that is probably none.

    Empty or nearly empty, long as a sentence, another's name in other letters, hardly a row for each of many.

    Args:
        names: of the classes, in the order of their numbers.
        counts: training rows of each.
    """
    even = sum(counts) / max(len(names), 1)
    alike, looking = Counter(map(_without_case_and_zeros, names)), Counter(map(_as_it_looks, names))
    kinds = {
        "have no training row, so they can never be learnt": [n == 0 for n in counts],
        "have hardly a training row (below 1 % of an even share)": [0 < n < max(RARE * even, 1.5) for n in counts],
        "differ from another in capitals or in zeros in front alone": [
            alike[_without_case_and_zeros(name)] > 1 for name in names
        ],
        "look like another, and differ in blanks, invisible characters, Unicode forms or as 1 and 1.0": [
            looking[_as_it_looks(name)] > 1 for name in names
        ],
        "are as long as a sentence: is a text read as a label?": [len(name) > LONG_NAME for name in names],
    }
    found = []
    for words, which in kinds.items():
        listed = [f"{name[:LONG_NAME]!r} ({n})" for name, n, yes in zip(names, counts, which, strict=True) if yes]
        if listed and not (words.startswith("have hardly") and even < 10):
            found.append(
                f"{len(listed)} of {len(names)} classes {words}: {', '.join(listed[:5])}"
                f"{' …' if len(listed) > 5 else ''}"
            )
    if len(names) > MANY and even < 2:
        found.append(
            f"{len(names):,} classes in {sum(counts):,} training rows are fewer than two rows a class: are the labels "
            "classes, or numbers of another kind (identities, dates, values to predict)?"
        )
    return found


def _without_case_and_zeros(name: str) -> str:
    return name.casefold().lstrip("0") or "0"


def _as_it_looks(name: str) -> str:
    """A name without what nobody sees: full-width and composed letters, format characters, blanks, `.0` of a number."""
    shown = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
    return re.sub(r"^([+-]?\d+)\.0+$", r"\1", " ".join(shown.split()))
