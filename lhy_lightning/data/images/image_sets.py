"""The sets of pictures behind one data module: which splits are handed out, their classes, size and channels."""

from collections.abc import Sequence
from copy import copy

import numpy as np

from lhy_lightning.data.images.image_store import ImageStore, read_headers
from lhy_lightning.data.images.reading.bit_depth import range_in_use
from lhy_lightning.data.images.reading.image_labels import LONGEST_NUMBER, places_of
from lhy_lightning.data.images.reading.image_sources import OpenedSplit, cache_folder, open_source
from lhy_lightning.data.images.reading.readers import PictureSet, Resize
from lhy_lightning.data.images.store_pool import Pool
from lhy_lightning.data.sources.folders import Role, natural
from lhy_lightning.data.splits import UNLABELLED
from lhy_lightning.metrics.classification import check_number_of_classes

ORDER: tuple[Role, ...] = ("train", "val", "test", "unlabelled")


class ImageSplitSources:
    """Opens a data module's sources.

    Args:
        source: hands out one split or several.
        val_source, test_source, unlabelled_source: each replaces (`unlabelled_source`: adds to) one split.
        image_column, label_column: for tables.
        value_range: (black, white) of images of more than 8 bits.
        labels: read them where there are any.
        cache_dir: where decoded pictures are kept.

    Attributes:
        by_role: the opened splits; only `unlabelled` may have several parts.
        value_range: as given, or what was evident from the images read so far.
        unused_range: it was given, and none of the images read so far has more than 8 bits.
    """

    def __init__(
        self,
        source: str,
        *,
        val_source: str | None = None,
        test_source: str | None = None,
        unlabelled_source: str | Sequence[str] | None = None,
        image_column: str | None = None,
        label_column: str | None = None,
        value_range: tuple[float, float] | None = None,
        labels: bool = True,
        cache_dir: str | None = None,
    ) -> None:
        self.source, self.cache, self.value_range = source, cache_folder(cache_dir), value_range
        self.unused_range = value_range is not None

        def opened(place: str) -> dict[Role, OpenedSplit]:
            return open_source(
                place,
                image_column=image_column,
                label_column=label_column,
                value_range=value_range,
                labels=labels,
            )

        self.by_role: dict[Role, list[OpenedSplit]] = {role: [split] for role, split in opened(source).items()}
        elsewhere: tuple[tuple[Role, str | None], ...] = (("val", val_source), ("test", test_source))
        for role, place in elsewhere:
            if place is not None:
                found = opened(place)
                split = found.get(role) or found.get("train")
                if split is None:
                    raise ValueError(f"{role}_source {place} hands out {', '.join(found)}, no {role} split.")
                self.by_role[role] = [split]
        places = [unlabelled_source] if isinstance(unlabelled_source, str) else unlabelled_source or []
        for place in places:
            found = opened(place)
            self.by_role.setdefault("unlabelled", []).append(found.get("unlabelled") or next(iter(found.values())))
        self.by_role = {role: self.by_role[role] for role in ORDER if role in self.by_role}
        for role, splits in self.by_role.items():
            if not sum(len(split.pictures) for split in splits):
                raise ValueError(f"the {role} split of {source} is empty.")
        self._stores: dict[tuple[int, tuple[object, ...]], ImageStore] = {}

    @property
    def roles(self) -> tuple[Role, ...]:
        return tuple(self.by_role)

    def splits(self, roles: Sequence[Role]) -> list[OpenedSplit]:
        return [split for role in roles for split in self.by_role[role]]

    def labelled(self, role: Role) -> bool:
        return role in self.by_role and all(split.labels is not None for split in self.by_role[role])

    def with_pictures(self, pictures: dict[Role, PictureSet]) -> "ImageSplitSources":
        """The same splits of other pictures, such as one half of each; without labels."""
        return self.with_splits({role: [OpenedSplit(found, None, None)] for role, found in pictures.items()})

    def with_splits(self, by_role: dict[Role, list[OpenedSplit]]) -> "ImageSplitSources":
        """The same source and cache with other splits."""
        other = copy(self)
        other.by_role, other._stores = by_role, {}
        return other

    # --- classes ---------------------------------------------------------------------------------------------------

    def classes(self, given: Sequence[str] | None, number: int | None) -> tuple[str, ...]:
        """Names of the classes, in the order of their numbers; empty where nothing is labelled.

        Args:
            given: names to insist on, in this order.
            number: how many classes there are, where bare numbers would not tell.

        Raises:
            ValueError: a label or a class folder beyond those.
        """
        known = [split for role in ("train", "val", "test") if self.labelled(role) for split in self.by_role[role]]
        names = next((split.class_names for split in known if split.class_names is not None), ())
        if given is not None:
            names = tuple(given)
            if len(set(names)) < len(names):
                raise ValueError(f"class_names has a name twice: {', '.join(names)}.")
        elif number is not None and known and all(_is_number(name) and int(name) < number for name in self._own()):
            check_number_of_classes(number)
            names = tuple(map(str, range(number)))
        if number is not None and len(names) > number:
            raise ValueError(
                f"num_classes={number} but labels reach {len(names) - 1}: {self.source} has {len(names)} classes "
                f"({', '.join(names[:12])}{' …' if len(names) > 12 else ''})."
            )
        if number is not None and names and len(names) < number:
            raise ValueError(f"num_classes={number} but {self.source} has {len(names)} classes ({', '.join(names)}).")
        check_number_of_classes(len(names))
        for split in known:
            self._numbered(split, names)
        return names

    def _own(self) -> list[str]:
        """Classes that occur in any labelled split, in natural order."""
        found: set[str] = set()
        for split in self.splits(self.roles):
            if split.labels is not None and split.class_names is not None:
                found.update(split.class_names[number] for number in np.unique(split.labels))
        return sorted(found, key=natural)

    def labels_of(self, roles: Sequence[Role], names: Sequence[str], *, strict: bool = True) -> np.ndarray:
        """Class numbers of all rows of the given roles, -1 where unknown: (N,) int64.

        Args:
            roles: which, in the order of their rows.
            names: the classes.
            strict: other classes are an error; without it, and for unlabelled splits, they count as unknown.
        """
        return np.concatenate(
            [
                self._numbered(split, names, strict=strict and role != "unlabelled")
                for role in roles
                for split in self.by_role[role]
            ]
        )

    def _numbered(self, split: OpenedSplit, names: Sequence[str], *, strict: bool = True) -> np.ndarray:
        """The split's labels as places in `names`, -1 where unknown."""
        if split.labels is None or split.class_names is None:
            return np.full(len(split.pictures), UNLABELLED)
        place = places_of(self._own(), names)
        numbers_of = np.array([place.get(name, UNLABELLED) for name in split.class_names], dtype=np.int64)
        labels: np.ndarray = numbers_of[split.labels]
        unknown = np.flatnonzero(labels == UNLABELLED)
        if len(unknown) and strict:
            row = int(unknown[0])
            others = sorted({split.class_names[number] for number in split.labels[unknown]}, key=natural)
            numbers = all(_is_number(name) for name in (*others, *names))
            raise ValueError(
                f"class {', '.join(others[:5])} of {split.pictures.name(row)} and others is none of the classes "
                f"{', '.join(names[:12])}{' …' if len(names) > 12 else ''}."
                + (f" Are there more? Set --data.num_classes {int(others[-1]) + 1}." if numbers else "")
            )
        return labels

    # --- pixels ----------------------------------------------------------------------------------------------------

    def shape(
        self, roles: Sequence[Role], size: tuple[int, int] | None, channels: int | None
    ) -> tuple[tuple[int, int], int]:
        """Size and channels of the pictures; what is not given is read from them, and must then be the same for all.

        Raises:
            ValueError: pictures differ; two of them are named.
        """
        for split in self.splits(roles):
            split.pictures.check_files()
        if size is not None and channels is not None:
            return size, channels
        first: tuple[str, tuple[int, ...]] | None = None
        columns = slice(2, 3) if size is not None else slice(0, 3) if channels is None else slice(0, 2)
        for split in self.splits(roles):
            headers = read_headers(split.pictures, self.cache)
            readable = np.flatnonzero(headers[:, 0])
            if not len(readable):
                continue
            if first is None:
                first = split.pictures.name(int(readable[0])), tuple(int(n) for n in headers[readable[0]])
            expected = np.array(first[1])
            for column, what in ((2, "channels"), (0, "size"), (1, "size")):
                other = readable[headers[readable, column] != expected[column]]
                if len(other) and column in range(*columns.indices(3)):
                    name, found = split.pictures.name(int(other[0])), headers[other[0]]
                    if what == "channels":
                        raise ValueError(
                            f"pictures of different channel counts: {first[0]} has {first[1][2]}, {name} has "
                            f"{found[2]}. Set --data.channels 1 or 3 to convert them."
                        )
                    raise ValueError(
                        f"pictures of different sizes: {first[0]} is {first[1][0]}×{first[1][1]} (height × width), "
                        f"{name} is {found[0]}×{found[1]}. Set --data.image_size to resize them."
                    )
        if first is None:
            raise ValueError(f"no picture of {self.source} can be read.{self._why_unreadable(roles)}")
        return size or (first[1][0], first[1][1]), channels or first[1][2]

    def _why_unreadable(self, roles: Sequence[Role]) -> str:
        """What the first picture is called, and what was said when it was opened."""
        pictures = self.splits(roles)[0].pictures
        try:
            with pictures.open(0):
                return ""
        except Exception as error:  # PIL raises OSError, SyntaxError, ValueError, struct.error … on corrupt files
            return f" {pictures.name(0)}: {' '.join(str(error).split())}"

    def read(
        self, roles: Sequence[Role], size: tuple[int, int], channels: int, resize: Resize, limit_gb: float
    ) -> Pool:
        """Decodes the pictures of the given roles, or opens what was decoded before; rows in the order of `roles`."""
        splits = self.splits(roles)
        rows = sum(len(split.pictures) for split in self.splits(self.roles))
        keep = rows * size[0] * size[1] * channels <= limit_gb * 1e9
        stores = []
        for split in splits:
            key = (id(split), (size, channels, resize, keep))
            if key not in self._stores:
                self._stores[key] = ImageStore(
                    split.pictures, size=size, channels=channels, resize=resize, folder=self.cache, keep=keep
                )
            stores.append(self._stores[key])
        pool = Pool(stores)
        for split in splits:
            self.value_range = self.value_range or split.pictures.value_range
        self._check_range(pool)
        return pool

    def _check_range(self, pool: Pool) -> None:
        """Refuses images of more than 8 bits whose range is not known; all that are read together share one."""
        deep = np.flatnonzero(~np.isnan(pool.facts.reach[:, 0]))
        if len(deep) or any(store.pictures.always_ranged for store in pool.stores):
            self.unused_range = False
        if not len(deep):
            return
        reach = pool.facts.reach[deep]
        lowest, highest = deep[reach[:, 0].argmin()], deep[reach[:, 1].argmax()]
        stated, where = self.value_range, self.source
        if stated is not None:
            where = pool.name(int(lowest if reach[:, 0].min() < stated[0] else highest))
        mode = str(pool.facts.mode[highest])
        self.value_range = range_in_use(where, (mode, float(reach[:, 0].min()), float(reach[:, 1].max())), stated)

    def rows_of(self, roles: Sequence[Role]) -> dict[Role, np.ndarray]:
        """For every role, its rows in the pool that `read` returns for these roles."""
        rows, first = {}, 0
        for role in roles:
            number = sum(len(split.pictures) for split in self.by_role[role])
            rows[role] = np.arange(first, first + number)
            first += number
        return rows

    def in_path_order(self, roles: Sequence[Role], pool: Pool) -> np.ndarray:
        """All rows of the pool: sorted by path where all are files, else as they come."""
        if not all(split.file_order for split in self.splits(roles)):
            return np.arange(len(pool.bad))
        names = pool.names()
        return np.array(sorted(range(len(names)), key=names.__getitem__))


def common_range(given: tuple[float, float] | None, sets: Sequence[ImageSplitSources]) -> tuple[float, float] | None:
    """The one range that was stated or evident in all sets with images of more than 8 bits; `given` without one."""
    found = {(float(one.value_range[0]), float(one.value_range[1])) for one in sets if one.value_range is not None}
    return found.pop() if len(found) == 1 else given


def _is_number(name: str) -> bool:
    """Whether a class is called by its number: 1, not 01."""
    return name.isdecimal() and len(name) <= LONGEST_NUMBER and name == str(int(name))
