"""Sets of images in a column of a table: encoded bytes, paths, or nested lists of numbers."""

import io
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from lhy_lightning.data.images.reading.bit_depth import DeepImage, Range, deep_image
from lhy_lightning.data.images.reading.image_files import open_image
from lhy_lightning.data.images.reading.readers import PictureSet, files_fingerprint, ranged


def _named_files(values: Any) -> list[str]:
    """The paths in a column of pictures that holds paths, or no bytes in some rows; nothing of other columns."""
    import pyarrow as pa

    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return [path for path in values.to_pylist() if path is not None]
    if not pa.types.is_struct(values.type) or {"bytes", "path"} - {field.name for field in values.type}:
        return []
    parts = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    paths: list[str] = []
    for part in parts:
        held, named = part.field("bytes"), part.field("path")
        if held.null_count:
            paths += [path for path in named.filter(held.is_null()).to_pylist() if path is not None]
    return paths


class TablePictures(PictureSet):
    """Pictures in a column of a `datasets` table: encoded bytes, paths, or nested lists of numbers.

    Args:
        table: a `datasets.Dataset`.
        column: the picture column, not decoded (`Image(decode=False)`).
        source: what the table was loaded from, for names and for relative paths.
        fingerprint: names the table's content; files that it names change the set's own.
        value_range: (black, white) of pictures of more than 8 bits, and of lists of numbers.
    """

    def __init__(
        self, table: Any, column: str, source: str, fingerprint: str, value_range: Range | None = None
    ) -> None:
        self.table, self.column, self.source, self.value_range = table, column, source, value_range
        self.folder = Path(source) if Path(source).is_dir() else Path(source).parent
        named = _named_files(self.values)
        whole = f"{fingerprint}-{files_fingerprint(self.folder, named)}" if named else fingerprint
        self.fingerprint = ranged(whole, value_range)

    def __len__(self) -> int:
        return len(self.table)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_values"}

    @property
    def values(self) -> Any:
        """The column as Arrow holds it: one value costs a tenth of what indexing the table does."""
        if "_values" not in vars(self):
            self._values = self.table.data.column(self.column)
        return self._values

    @cached_property
    def _lists(self) -> bool:
        """Whether the column holds nested lists of numbers, not files or paths."""
        from pyarrow import types

        kind, files = self.values.type, (types.is_struct, types.is_binary, types.is_string, types.is_large_binary)
        return not any(of(kind) for of in files)

    def name(self, row: int) -> str:
        value = self.values[row].as_py()
        return self._path(value) if isinstance(value, str) else f"{self.source}#{row}"

    def _path(self, value: str) -> str:
        """Of a named file; a path with the other slash, as Windows writes it, is taken where only that is there."""
        path = os.path.join(self.folder, value)
        if "\\" in value and not os.path.exists(path):
            slashes = os.path.join(self.folder, value.replace("\\", "/"))
            return slashes if os.path.exists(slashes) else path
        return path

    def check_files(self) -> None:
        """Looks for the files that the table names.

        Raises:
            ValueError: none of them is there.
        """
        if str(self.values.type) not in ("string", "large_string"):
            return
        named = [(row, value) for row, value in enumerate(self.values.to_pylist()) if value is not None]
        if not named or any(os.path.exists(self._path(value)) for _, value in named):
            return
        row, value = named[0]
        why = f"Paths are relative to the table's folder, {self.folder}."
        if "://" in value:
            why = "Addresses are not fetched: download the images and name the files."
        elif "\\" in value:
            why += " Write them with / in place of \\."
        elif beside := [child.name for child in sorted(self.folder.iterdir()) if (child / value).is_file()]:
            why += f" {value} lies in {beside[0]}: write {beside[0]}/{value}."
        raise ValueError(
            f"{self.source}: none of the {len(named):,} files that column {self.column!r} names is there, such as "
            f"{value[:80]!r} in row {row}. {why}"
        )

    def open(self, row: int) -> Image.Image:
        value = self.values[row].as_py()
        if isinstance(value, dict):
            value = value["bytes"] if value.get("bytes") is not None else value["path"]
        if isinstance(value, bytes):
            try:
                return open_image(io.BytesIO(value))
            except UnidentifiedImageError as error:  # whose own message names the place in memory
                raise UnidentifiedImageError(f"its {len(value):,} bytes are no image") from error
        if isinstance(value, str):
            return open_image(self._path(value))
        shape = self._numbers(value).shape
        return Image.new("L" if len(shape) == 2 else "RGB", (shape[1], shape[0]))

    def deep(self, row: int, image: Image.Image) -> DeepImage | None:
        if not self._lists:
            return deep_image(image)
        numbers = self._numbers(self.values[row].as_py())
        return DeepImage(numbers.dtype.name, numbers)

    @staticmethod
    def _numbers(value: Any) -> np.ndarray:
        """(H, W) or (H, W, 3) of nested lists.

        Raises:
            ValueError: they are of another shape, or not of numbers.
        """
        numbers = np.asarray(value).squeeze()
        if numbers.dtype.kind not in "iufb" or numbers.ndim not in (2, 3) or numbers.shape[2:] not in ((), (3,)):
            raise ValueError(
                f"lists of {numbers.dtype} values of shape {numbers.shape}; pictures are lists of numbers of shape "
                "(height, width) or (height, width, 3)"
            )
        return numbers.astype(np.int64) if numbers.dtype.kind in "ub" else numbers
