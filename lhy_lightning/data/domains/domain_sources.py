"""Opens the domains of a `DomainDataModule` and brings their pictures to one size and number of channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lhy_lightning.data.domains.domain_arguments import names_of_places
from lhy_lightning.data.domains.domain_transforms import Change, changed
from lhy_lightning.data.image_pairs.two_sides import Side
from lhy_lightning.data.images.arguments import kept_and_cut
from lhy_lightning.data.images.image_sets import ImageSplitSources
from lhy_lightning.data.images.reading.readers import Resize
from lhy_lightning.data.images.store_pool import Pool
from lhy_lightning.data.sources.folders import Role

PHOTO_DIGITS = Side("embedded:photo_digits", "embedded:photo_digits_val", "embedded:photo_digits_test")


@dataclass(frozen=True)
class Domain:
    """One domain, and what a stage reads of it."""

    name: str
    sets: ImageSplitSources
    change: Change
    roles: tuple[Role, ...]


class DomainSources:
    """The opened domains, each once however many stages ask for it.

    Args:
        given: the data module's arguments.
        report: is told of what might be labels of an unlabelled target.

    Attributes:
        names: of the sources, then of the target.
    """

    def __init__(self, given: Any, report: Callable[[str], None]) -> None:
        self.given, self.report = given, report
        self.places: list[str] = [given.source] if isinstance(given.source, str) else list(given.source)
        ends = [] if given.target is None else [given.target]
        self.names = (*names_of_places([*self.places, *ends]), *([] if ends else ["test pictures"]))
        self._opened: dict[tuple[Side, bool], ImageSplitSources] = {}
        self._changed: dict[tuple[ImageSplitSources, str], ImageSplitSources] = {}

    def sources(self) -> list[Domain]:
        """The source domains.

        Raises:
            ValueError: one has no labelled training pictures.
        """
        found = []
        for place, name in zip(self.places, self.names, strict=False):
            sets = self._open(Side(place), labels=True)
            if not sets.labelled("train"):
                raise ValueError(
                    f"source {place} "
                    + ("has no labels" if "train" in sets.roles else f"hands out only {' and '.join(sets.roles)} rows")
                    + ": a source needs labelled training pictures, such as class folders or a label column "
                    "(--data.label_column)."
                )
            change = self.given.source_transform
            roles: tuple[Role, ...] = ("train", "val") if sets.labelled("val") else ("train",)
            found.append(Domain(name, self._change(sets, change), change, roles))
        return found

    def target(self, stage: str) -> Domain:
        """The target, and what a stage reads of it.

        Raises:
            ValueError: labels are asked for that it does not have, or there are no test pictures to be the target.
        """
        sets, change = self._target() if self.given.target else self._own_target(), self.given.target_transform
        whole = self.given.transductive or stage in ("fit", "validate") or "test" not in sets.roles
        return Domain(self.names[-1], self._change(sets, change), change, sets.roles if whole else ("test",))

    def _target(self) -> ImageSplitSources:
        given = self.given
        side = PHOTO_DIGITS if given.target == PHOTO_DIGITS.source else Side(given.target)
        side = side if given.target_test is None else replace(side, test_source=given.target_test)
        sets = self._open(side, labels=given.target_labelled)
        for split in sets.splits(sets.roles):
            if split.unread:
                self.report(
                    f"target {given.target}: {split.unread} of {len(split.pictures):,} pictures may be labels; they "
                    "are not read. To evaluate on them, set --data.target_labelled true."
                )
        labelled = {role for role in sets.roles if sets.labelled(role)}
        if given.target_labelled and not labelled & ({"test"} if sets.roles == ("test",) else {"train"}):
            raise ValueError(
                f"target_labelled, but target {given.target} has no labels: give class folders or a label column "
                "(--data.label_column), or set --data.target_labelled false."
            )
        return sets

    def _own_target(self) -> ImageSplitSources:
        """The source's unlabelled test pictures as a domain of their own."""
        [place] = self.places
        source = self._open(Side(place), labels=True)
        roles: tuple[Role, ...] = ("test", "unlabelled")
        own = next((role for role in roles if role in source.roles and not source.labelled(role)), None)
        if own is None:
            raise ValueError(
                f"target=None, but {place} hands out no unlabelled test pictures, only {' and '.join(source.roles)} "
                "rows with labels: set --data.target."
            )
        key = (Side(place), False)
        if key not in self._opened:
            self._opened[key] = source.with_splits({"train": source.by_role[own]})
        return self._opened[key]

    def _open(self, side: Side, *, labels: bool) -> ImageSplitSources:
        if (side, labels) not in self._opened:
            given = self.given
            self._opened[side, labels] = ImageSplitSources(
                side.source,
                val_source=side.val_source,
                test_source=side.test_source,
                image_column=given.image_column,
                label_column=given.label_column,
                value_range=given.value_range,
                labels=labels,
                cache_dir=given.cache_dir,
            )
        return self._opened[side, labels]

    def _change(self, sets: ImageSplitSources, change: Change) -> ImageSplitSources:
        if (sets, change) not in self._changed:
            canny = tuple(self.given.canny)
            self._changed[sets, change] = sets.with_splits(
                {
                    role: [replace(split, pictures=changed(split.pictures, change, canny=canny)) for split in splits]
                    for role, splits in sets.by_role.items()
                }
            )
        return self._changed[sets, change]


def read_alike(
    domains: Sequence[Domain], image_size: Any, channels: int | None, resize: Resize, limit_gb: float
) -> list[Pool]:
    """The pictures of every domain, all of one size and number of channels; what is not given is as in the domains.

    Raises:
        ValueError: they differ.
    """
    size, _ = kept_and_cut(None, image_size)
    shapes = {}
    for domain in domains:
        known = channels or (None if domain.change == "none" else 1)  # a change makes them grey
        shapes[domain.name] = domain.sets.shape(domain.roles, size, known)
    if len({size for size, _ in shapes.values()}) > 1:
        told = ", ".join(f"{name} has {height}×{width}" for name, ((height, width), _) in shapes.items())
        raise ValueError(f"all domains need one size (height × width): {told}. Set --data.image_size.")
    if len({channels for _, channels in shapes.values()}) > 1:
        told = ", ".join(f"{name} has {channels}" for name, (_, channels) in shapes.items())
        raise ValueError(
            f"all domains need one number of channels: {told}. Set --data.channels 1 or 3, or make them grey by "
            "--data.source_transform or --data.target_transform."
        )
    size, channels = next(iter(shapes.values()))
    return [domain.sets.read(domain.roles, size, channels, resize, limit_gb) for domain in domains]
