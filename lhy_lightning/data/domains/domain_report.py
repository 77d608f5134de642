"""What is told of the domains that were read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lhy_lightning.data.domains.domain_sources import Domain
from lhy_lightning.data.images.image_report import describe_splits
from lhy_lightning.data.images.image_splits import Split
from lhy_lightning.data.splits import duplicates_between


def describe_domains(
    splits: Mapping[str, Split], sources: Sequence[Domain], target: Domain, names: Sequence[str], *, transductive: bool
) -> tuple[str, str]:
    """Where the rows of the sources and of the target went, a sentence each.

    Args:
        splits: by the names of `DomainDataModule`.
        sources, target: what was read.
        names: of the sources, then of the target.
        transductive: validation and test are the target's training rows.
    """
    parts = {name: splits[f"source_{name}"] for name in ("train", "val")}
    handed = [role for domain in sources for role in domain.roles]
    of_source = describe_splits(f"source {', '.join(names[:-1])}", parts, handed)
    keys = {"train": "target_train", "val": "target_val", "test": "test"}
    parts = {name: splits[key] for name, key in keys.items() if key in splits}
    handed = [*target.roles, *(("val", "test") if transductive else ())]
    return of_source, describe_splits(f"target {names[-1]}", parts, handed)


def tell_of_common_rows(splits: Mapping[str, Split], report: Callable[[str], None]) -> None:
    """Counts target pictures that the source has too."""
    source, target = splits["source_train"], splits["target_train"]
    common = int(duplicates_between(source.content, target.content).sum())
    known = set(source.content) | set(splits["source_val"].content)
    same = known.issuperset(target.content)
    if common:
        report(
            f"{common:,} target training pictures are in the source too, pixel by pixel"
            f"{': source and target are the same images, there is nothing to adapt to' if same else ''}."
        )
