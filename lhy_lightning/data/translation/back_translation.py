"""Back-translation: sentences of the target language with the source that a reverse model gave them.

Sennrich et al. 2016 (https://arxiv.org/abs/1511.06709); the tag that marks such sources is that of Caswell et al. 2019
(https://arxiv.org/abs/1906.06442).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lhy_lightning.data.translation.parallel_files import open_parallel


@dataclass(frozen=True)
class SyntheticPairs:
    """What `lhy predict` of a reverse model wrote.

    Attributes:
        source: N sentences that a model made.
        target: N sentences that someone wrote.
        origin: the file, for messages.
    """

    source: Sequence[str]
    target: Sequence[str]
    origin: str


def open_back_translated(path: str, *, source_lang: str, target_lang: str) -> SyntheticPairs:
    """Reads a tab-separated file: synthetic source, then real target.

    Args:
        path: the .tsv, plain or .gz.
        source_lang, target_lang: of the two columns, in the direction that is trained.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it does not hold pairs.
    """
    splits = open_parallel(path, source_lang=source_lang, target_lang=target_lang)
    if set(splits) != {"train"} or splits["train"].target is None:
        raise ValueError(
            f"back_translated={path!r} is one tab-separated file: synthetic source, tab, real target. `lhy predict` of "
            "a model trained with --data.reverse true writes it."
        )
    pairs = splits["train"]
    return SyntheticPairs(pairs.source, splits["train"].target, pairs.origin)


def synthetic_per_epoch(real: int, synthetic: int, ratio: float) -> int:
    """Synthetic rows in an epoch: `ratio` for every real row, none where there are none."""
    return round(ratio * real) if synthetic else 0
