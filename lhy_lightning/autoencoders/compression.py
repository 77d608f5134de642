"""Pictures as a file of codes: what an auto-encoder is worth as a compressor, header and all."""

from __future__ import annotations

import hashlib
import json
import lzma
import struct
from collections.abc import Iterable
from math import ceil, log2
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lhy_lightning.core.atomic_files import atomic_write

MAGIC, VERSION = b"LHYCODES", 1
AT_ONCE = 256
# A stream without container: the header says what it is, and small files are not half container.
LZMA = {"format": lzma.FORMAT_RAW, "filters": [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]}


def pack(numbers: np.ndarray, bits: int) -> bytes:
    """Whole numbers at `bits` bits each, the last byte filled with zeros: (n,) int64 in 0 ... 2^bits - 1."""
    places = np.arange(bits - 1, -1, -1)
    return np.packbits(((numbers[:, None] >> places) & 1).astype(np.uint8)).tobytes()


def unpack(content: bytes, bits: int, count: int) -> np.ndarray:
    """What `pack` was given, (count,) int64."""
    digits = np.unpackbits(np.frombuffer(content, np.uint8), count=count * bits).reshape(count, bits)
    return digits.astype(np.int64) @ (1 << np.arange(bits - 1, -1, -1))


def fingerprint(model: nn.Module) -> str:
    """16 characters that tell one set of weights from another."""
    summary = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        summary.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        summary.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return summary.hexdigest()[:16]


def compress(model: Any, batches: Iterable[Tensor], path: str | Path, *, bits: int = 8) -> int:
    """Writes pictures as codes to a file, from which `decompress` makes pictures again.

    Codes of a codebook of K are packed at ceil(log2 K) bits; the latents of an `AutoEncoder` or of
    `PrincipalComponents` are first rounded to 2^bits levels between the smallest and the largest value that each of
    them has. The stream is stored as it is or by LZMA, whichever is shorter.

    Args:
        model: a `VQVAE`, `AutoEncoder` or `PrincipalComponents`.
        batches: pictures (N, C, H, W) in [-1, 1].
        path: the file; written whole or not at all.
        bits: of each continuous latent, 1 to 16.

    Returns:
        Bytes of the file, header included.

    Raises:
        ValueError: no pictures, bits that make no sense, or latents that are not finite.
    """
    if not 1 <= bits <= 16:
        raise ValueError(f"bits={bits}: 1 to 16 a latent")
    with torch.inference_mode():
        device = next(iter(model.state_dict().values())).device
        parts = [_latents(model, batch.to(device)).cpu() for batch in batches]
    if not parts or not sum(map(len, parts)):
        raise ValueError("there are no pictures to compress")
    latents = torch.cat(parts)
    header: dict[str, Any] = {"model": fingerprint(model), "count": len(latents), "shape": list(latents.shape[1:])}
    ranges = b""
    if latents.dtype == torch.int64:
        numbers, bits = latents, ceil(log2(model.codebook_size))
    else:
        if not bool(latents.isfinite().all()):
            raise ValueError("some latents are not finite: the model or a picture is broken")
        low, high = latents.amin(0), latents.amax(0)
        ranges = torch.stack((low, high)).float().numpy().tobytes()
        step = (high - low).clamp(min=1e-12) / (2**bits - 1)
        numbers = ((latents - low) / step).round().long()
    header["bits"], header["ranges"] = bits, len(ranges)
    stored = pack(numbers.flatten().numpy(), bits)
    shorter = lzma.compress(numbers.flatten().numpy().astype(_dtype(bits)).tobytes(), **LZMA)  # type: ignore[arg-type]
    header["lzma"] = len(shorter) < len(stored)
    text = json.dumps(header, separators=(",", ":")).encode()
    content = MAGIC + struct.pack("<HI", VERSION, len(text)) + text + ranges + (shorter if header["lzma"] else stored)
    atomic_write(Path(path), content)
    return len(content)


def decompress(model: Any, path: str | Path) -> Tensor:
    """Pictures (N, C, H, W) in [-1, 1] from a file of `compress`.

    Raises:
        ValueError: the file is of something else, of another version or model, or cut short.
    """
    latents = read_latents(model, path)
    with torch.inference_mode():
        device = next(iter(model.state_dict().values())).device
        return torch.cat([_pictures(model, part.to(device)).cpu() for part in latents.split(AT_ONCE)])


def read_latents(model: Any, path: str | Path) -> Tensor:
    """The codes (N, h, w) int64, or the rounded latents (N, Z) float32, of a file of `compress`."""
    content = Path(path).read_bytes()
    start = len(MAGIC) + 6
    if content[: len(MAGIC)] != MAGIC or len(content) < start:
        raise ValueError(f"{path} is no file of compressed pictures: `compress` writes them")
    version, length = struct.unpack("<HI", content[len(MAGIC) : start])
    if version != VERSION:
        raise ValueError(f"{path} is of version {version}, this package reads version {VERSION}")
    try:
        header = json.loads(content[start : start + length])
        made_by, own = header["model"], fingerprint(model)
        if made_by != own:
            raise ValueError(f"{path} was written with the model {made_by}, this is {own}: load that checkpoint")
        first = start + length + header["ranges"]
        ranges, stream = content[start + length : first], content[first:]
        shape, bits = header["shape"], header["bits"]
        count = header["count"] * int(np.prod(shape))
        if header["lzma"]:
            plain = lzma.decompress(stream, **LZMA)  # type: ignore[arg-type]
            numbers = np.frombuffer(plain, _dtype(bits)).astype(np.int64)
            if len(numbers) != count:
                raise EOFError
        else:
            if len(stream) != ceil(count * bits / 8):
                raise EOFError
            numbers = unpack(stream, bits, count)
    except (KeyError, EOFError, lzma.LZMAError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is damaged or cut short: write it again") from error
    latents = torch.from_numpy(numbers).view(header["count"], *shape)
    if not ranges:
        return latents
    low, high = torch.from_numpy(np.frombuffer(ranges, np.float32).copy()).view(2, *shape)
    restored: Tensor = low + latents * (high - low).clamp(min=1e-12) / (2**bits - 1)
    return restored


def bits_per_pixel(size: int, images: Tensor | tuple[int, ...]) -> float:
    """Of a file of `size` bytes: bits over pixels of pictures (N, C, H, W), whose channels are one pixel."""
    shape = images.shape if isinstance(images, Tensor) else images
    return 8 * size / (shape[0] * shape[2] * shape[3])


def _dtype(bits: int) -> np.dtype:
    return np.dtype(np.uint8 if bits <= 8 else "<u2")


def _latents(model: Any, images: Tensor) -> Tensor:
    if hasattr(model, "codes_of"):
        codes: Tensor = model.codes_of(images)
        return codes
    model.eval()
    latents: Tensor = model.encode(images)
    return latents.float()


def _pictures(model: Any, latents: Tensor) -> Tensor:
    pictures: Tensor = model.draw(latents) if hasattr(model, "codes_of") else model.decode(latents)
    return pictures
