"""Decoded pictures: once into a memory-mapped file where they fit, or read anew for every batch where they do not.

Either way every picture is read once beforehand. That one pass finds the corrupt ones, before training and not in
the third hour of it, and hashes the content, which keeps equal pictures on one side of a split.
"""

import hashlib
import mmap
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import get_worker_info

from lhy_lightning.core.atomic_files import atomic_open
from lhy_lightning.data.augmentation.transforms import GREY
from lhy_lightning.data.cache_checks import BlockSums, same_bytes, tell_damage
from lhy_lightning.data.images.image_facts import ImageFacts
from lhy_lightning.data.images.reading.readers import PictureSet, Resize

VERSION = 3  # of the files' layout and of decoding: raise it and old files are not used any more
SMALL = 3e-4  # seconds: pictures that decode faster are decoded in one thread (measured: .2 to .4 ms is the turn)
FORGET_AFTER = 2**22  # bytes read of a mapped file until its pages are given back; the system maps ten times as many
DAMAGED = (OSError, ValueError, EOFError, KeyError, BadZipFile)
"""What numpy raises on files that are not what it wrote."""
TASK, CHUNK = 64, 1024  # pictures that a thread decodes in one go, and that are in memory at a time


def threads() -> int:
    """Threads to decode with: the cores that this process may use."""
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@contextmanager
def cache_file(path: Path) -> Iterator[BinaryIO]:
    """A file of the cache, whole or not at all; a disk that is full is answered with what to do.

    Written front to back and not as a memory map, on which a full disk would kill the process.
    """
    try:
        with atomic_open(path) as file:
            yield file
    except OSError as error:
        raise OSError(
            error.errno,
            f"decoded pictures could not be written to {path.parent} ({error.strerror}); make room "
            "there, choose another place with --data.cache_dir, or set --data.cache_limit_gb 0 to read them anew "
            "for every batch",
        ) from error


def read_headers(pictures: PictureSet, folder: Path) -> np.ndarray:
    """Height, width and channels of every picture, from their first bytes; remembered in a file.

    Returns:
        (N, 3) int32, zeros where a picture cannot be opened.
    """
    shape = pictures.common_shape()
    if shape is not None:
        return np.tile(np.array(shape, dtype=np.int32), (len(pictures), 1))
    path = folder / f"{pictures.fingerprint}.headers{VERSION}.npz"
    try:
        with np.load(path, allow_pickle=False) as kept:  # an archive, which has checksums
            headers: np.ndarray = kept["headers"]
        if headers.shape == (len(pictures), 3):
            return headers
    except FileNotFoundError:
        pass
    except DAMAGED:
        tell_damage(path)

    def read_rows(first: int) -> list[tuple[int, int, int]]:
        return [pictures.header(row) for row in range(first, min(first + TASK, len(pictures)))]

    with ThreadPoolExecutor(threads()) as pool:
        found = pool.map(read_rows, range(0, len(pictures), TASK))
        headers = np.array(list(chain.from_iterable(found)), dtype=np.int32)
    with cache_file(path) as file:
        np.savez(file, headers=headers)
    return headers


class ImageStore:
    """One set of pictures at one size, indexed a batch at a time.

    Args:
        pictures: the set.
        size: (height, width).
        channels: 1 or 3.
        resize: how other shapes are brought to `size`.
        folder: where decoded copies are kept.
        keep: keep the decoded pixels, or decode anew for every batch.

    Attributes:
        content: (N,) int64 hashes of the decoded pixels, before edges or the like were made of them.
        bad: (N,) bool, pictures that could not be read; a grey one stands in.
        facts: what can be seen in the decoded pixels, and the values of pictures of more than 8 bits.
    """

    def __init__(
        self, pictures: PictureSet, *, size: tuple[int, int], channels: int, resize: Resize, folder: Path, keep: bool
    ) -> None:
        self.pictures, self.size, self.channels, self.resize, self.keep = pictures, size, channels, resize, keep
        key = f"{VERSION} {pictures.fingerprint} {size} {channels} {resize} {len(pictures)}"
        stem = hashlib.blake2b(key.encode(), digest_size=12).hexdigest()
        self.pixels_file, self.facts_file = folder / f"{stem}.pixels.npy", folder / f"{stem}.facts.npz"
        self._pixels = pictures.as_array(size, channels)
        self._reopen, self._read = self._pixels is None and keep, 0
        if self._pixels is not None:
            self.bad = np.zeros(len(pictures), dtype=bool)
            self.content = np.zeros(len(pictures), dtype=np.int64)
            self.facts = ImageFacts.of_rows(len(pictures))
            for first in range(0, len(pictures), CHUNK):
                pixels = self._pixels[first : first + CHUNK]
                self.content[first : first + CHUNK] = [_hash(picture) for picture in pixels]
                self.facts.note(first, pixels)
                forget_pages(self._pixels)
        elif not self._open():
            self._decode_all()
            if not self._open():
                raise OSError(f"{self.facts_file} was written but cannot be read back.")

    def __len__(self) -> int:
        return len(self.pictures)

    def __getstate__(self) -> dict[str, object]:
        """Without pixels: a worker process that is not forked opens the file itself."""
        return {key: None if key == "_pixels" else value for key, value in vars(self).items()}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        if self._reopen:
            self._open()
        else:
            self._pixels = self.pictures.as_array(self.size, self.channels)

    def take(self, rows: np.ndarray) -> Tensor:
        """The pictures of a batch.

        Args:
            rows: (B,) int64.

        Returns:
            (B, C, H, W) uint8, in channels-last memory order.
        """
        if self._pixels is not None:
            taken = self._pixels[rows]
            self._read += taken.nbytes
            if self._read > FORGET_AFTER:
                self._read = 0
                forget_pages(self._pixels)
            return torch.from_numpy(taken).permute(0, 3, 1, 2)
        out = np.empty((len(rows), *self.size, self.channels), dtype=np.uint8)

        def fill(place: int) -> None:
            out[place] = self._decode(int(rows[place]))[0]

        if get_worker_info() is None:
            with ThreadPoolExecutor(threads()) as pool:
                list(pool.map(fill, range(len(rows))))
        else:
            for place in range(len(rows)):
                fill(place)
        return torch.from_numpy(out).permute(0, 3, 1, 2)

    def _decode(self, row: int) -> tuple[np.ndarray, np.ndarray, bool]:
        """A picture, what it is known by, and whether it could not be read."""
        found = self.pictures.decode_with_origin(row, self.size, self.channels, self.resize)
        if found is None:
            grey = np.full((*self.size, self.channels), GREY, np.uint8)
            return grey, grey, True
        return (*found, False)

    def _open(self) -> bool:
        """Whether whole files of the right shape are there; opens them."""
        try:
            with np.load(self.facts_file, allow_pickle=False) as facts:
                self.content, self.bad = facts["content"], facts["bad"]
                self.facts = ImageFacts(**{name: facts[name] for name in ImageFacts.names()})
                sums = facts["sums"]
        except FileNotFoundError:
            return False
        except DAMAGED:
            tell_damage(self.facts_file)
            return False
        return not self.keep or self._map(sums)

    def _map(self, sums: np.ndarray) -> bool:
        """Maps the pixels; False where they were not kept, or, with a word, where they are damaged."""
        if not self.pixels_file.is_file() or (not len(sums) and len(self.pictures)):
            return False
        try:
            mapped = np.asarray(np.load(self.pixels_file, mmap_mode="r", allow_pickle=False))
            shape = (len(self.pictures), *self.size, self.channels)
            same = mapped.shape == shape and mapped.dtype == np.uint8 and same_bytes(mapped, sums)
        except DAMAGED:
            same = False
        if not same:
            tell_damage(self.pixels_file)
            return False
        forget_pages(mapped)
        self._pixels = mapped
        return True

    def _decode_all(self) -> None:
        """One pass over all pictures, large ones in parallel threads, written front to back."""
        rows, where = len(self.pictures), self.pixels_file if self.keep else "nowhere: the set is streamed"
        rank_zero_info(f"Reading {rows:,} pictures once at {self.size[0]}×{self.size[1]} (kept in {where}) …")
        content, bad, facts = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=bool), ImageFacts.of_rows(rows)

        def decode_rows(first: int) -> bytes:
            chunk = range(first, min(first + TASK, rows))
            pictures, origins, bad[chunk.start : chunk.stop] = zip(*map(self._decode, chunk), strict=True)
            content[chunk.start : chunk.stop] = [_hash(origin) for origin in origins]
            facts.note(chunk.start, np.stack(pictures))
            return b"".join(picture.tobytes() for picture in pictures)

        def batches(write: Callable[[bytes], object]) -> None:
            if not rows:
                return
            start = time.perf_counter()
            write(decode_rows(0))
            # Small pictures take longer in several threads than in one: too little of it runs without Python's lock.
            small = time.perf_counter() - start < SMALL * min(TASK, rows)
            with ThreadPoolExecutor(1 if small else threads()) as pool:
                for first in range(TASK, rows, CHUNK):
                    for data in pool.map(decode_rows, range(first, min(first + CHUNK, rows), TASK)):
                        write(data)

        sums = BlockSums()
        if self.keep:
            with cache_file(self.pixels_file) as file:
                shape = (rows, *self.size, self.channels)
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)

                def write(data: bytes) -> None:
                    file.write(data)
                    sums.add(data)

                batches(write)
        else:
            batches(len)
        facts.note_reach(self.pictures.reach)
        with cache_file(self.facts_file) as file:
            np.savez(file, content=content, bad=bad, sums=sums.sums(), **vars(facts))


def forget_pages(array: np.ndarray) -> None:
    """Gives back the memory of the pages that were read of a memory-mapped array; others are left alone.

    The system keeps them cached, so that reading them again costs little, but they do not count as this process's.
    """
    owner: object = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def _hash(picture: np.ndarray) -> int:
    return int.from_bytes(hashlib.blake2b(picture.tobytes(), digest_size=8).digest(), "little", signed=True)
