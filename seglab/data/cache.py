"""Decode and resize once: uint8 arrays on disk, keyed by content, mapped into memory by every later run.

Images are resized with Pillow's bilinear filter (antialiased), masks with the nearest pixel (CAS section 4.1 resizes to
256 x 256; masks must stay two-valued). The key hashes the content of every file, the size and the rules, so changed
data never meets an old cache; checksums find a damaged one, which is built again.

One runnable line: ``python -c "from seglab.data.shapes import Shapes; from seglab.data.cache import load;
print(len(load(Shapes(train=8).items('train'), size=64)))"``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image
from tqdm import tqdm

from seglab.data.arrays import ArrayDataset
from seglab.data.sample import Item

log = logging.getLogger(__name__)

RULE = "bilinear+nearest 1"
"""Raised when resizing changes."""

_BLOCK = 128
_STALE_SECONDS = 24 * 3600


def load(
    items: Sequence[Item], *, size: int, folder: Path | str | None = None, workers: int = 0, progress: bool = True
) -> ArrayDataset:
    """The items as arrays of one size, from the cache if it holds them.

    Args:
        items: what to decode, see :class:`seglab.data.sample.Item`.
        size: side in pixels of the square images.
        folder: where caches lie; null keeps the arrays in memory only.
        workers: threads that decode; 0 decodes in this one.
        progress: a progress bar while decoding, on a terminal only.

    Raises:
        ValueError: no items, a bad size, or a file that cannot be read.
        OSError: the cache cannot be written; names the folder.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"data.size={size}: expected a whole number of pixels, 1 or more")
    if not len(items):
        raise ValueError("data: no images; expected at least one")
    ids = [item.id for item in items]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        rows = _decode(items, size, pool if workers else None, progress)
        if folder is None:
            images, masks = zip(*rows, strict=True)
            return ArrayDataset(np.stack(images), np.concatenate(masks), ids, items, counts=[len(m) for m in masks])
        prints = list(pool.map(lambda item: item.fingerprint(), items))
        place = Path(folder) / cache_key(ids, prints, size)
        found = _open(place)
        if found is None:
            _build(place, rows, ids, size)
            found = _open(place)
            assert found is not None, f"a cache just written does not read back: {place}"
    images, masks, counts = found
    return ArrayDataset(images, masks, ids, items, content=place.name, counts=counts)


def cache_key(ids: Sequence[str], prints: Sequence[bytes], size: int) -> str:
    """Name of a cache: 20 hexadecimal digits of a hash over names, contents, size and resize rule."""
    digest = hashlib.sha256(f"{RULE} {size}\n".encode())
    for name, content in zip(ids, prints, strict=True):
        digest.update(f"{name}\n".encode() + content)
    return digest.hexdigest()[:20]


def resize(image: np.ndarray, mask: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Resize one pair: image [H,W,3] to planar [3,S,S] (bilinear), mask [H,W] to [S,S] (nearest); uint8.

    A mask may have an axis in front, [A,H,W] of A people; it keeps it.
    """
    if image.shape[:2] != (size, size):
        image = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
        planes = mask.reshape(-1, *mask.shape[-2:])
        small = [Image.fromarray(plane).resize((size, size), Image.Resampling.NEAREST) for plane in planes]
        mask = np.stack([np.asarray(plane) for plane in small]).reshape(*mask.shape[:-2], size, size)
    return np.ascontiguousarray(image.transpose(2, 0, 1)), mask


def _decode(
    items: Sequence[Item], size: int, pool: ThreadPoolExecutor | None, progress: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Image [3,S,S] and masks [A,S,S] in order, a block of items at a time so that memory stays bounded."""

    def one(item: Item) -> tuple[np.ndarray, np.ndarray]:
        image, mask = resize(*item.read(), size)
        return image, mask.reshape(-1, size, size)

    with tqdm(total=len(items), desc="decode", unit="img", disable=None if progress else True) as bar:
        for start in range(0, len(items), _BLOCK):
            block = items[start : start + _BLOCK]
            for pair in pool.map(one, block) if pool else map(one, block):
                bar.update()
                yield pair


def _build(place: Path, rows: Iterator[tuple[np.ndarray, np.ndarray]], ids: Sequence[str], size: int) -> None:
    """Write a cache under a temporary name, then rename it: readers see a whole cache or none."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _sweep(place)
        temporary = Path(tempfile.mkdtemp(prefix=f"{place.name}.tmp-", dir=place.parent))
    except OSError as error:
        raise OSError(error.errno, f"cache folder '{place.parent}' cannot be written: {error.strerror}") from error
    try:
        _write(temporary, rows, ids, size)
        _publish(temporary, place)
    except OSError as error:
        raise OSError(error.errno, f"cache '{place}' could not be written: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(temporary: Path, rows: Iterator[tuple[np.ndarray, np.ndarray]], ids: Sequence[str], size: int) -> None:
    """Plain sequential writes: a full disk is an error here, where writing through a map would kill the process."""
    n, counts = len(ids), []
    sums = {"images.npy": 0, "masks.npy": 0}
    with (temporary / "images.npy").open("wb") as images, (temporary / "masks.npy").open("wb") as masks:
        files = {"images.npy": images, "masks.npy": masks}
        _header(images, (n, 3, size, size))
        begin = _header(masks, (n, size, size))
        for pair in rows:
            for name, array in zip(sums, pair, strict=True):
                content = np.ascontiguousarray(array).data
                files[name].write(content)
                sums[name] = zlib.crc32(content, sums[name])
            counts.append(len(pair[1]))
        masks.seek(0)  # how many masks there are is known only now; numpy leaves room for it
        assert _header(masks, (sum(counts), size, size)) == begin
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    meta = {"rule": RULE, "size": size, "crc32": sums, "ids": list(ids), "counts": counts}
    (temporary / "meta.json").write_text(json.dumps(meta, ensure_ascii=False), encoding="utf-8")


def _header(file: IO[bytes], shape: tuple[int, ...]) -> int:
    """Write the head of an array of bytes; returns where its content begins."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.tell()


def _publish(temporary: Path, place: Path) -> None:
    """Rename into place. If another process was first its cache is as good, unless it is damaged."""
    for _ in range(3):
        try:
            temporary.rename(place)
            return
        except OSError:
            if not place.exists():
                raise
        if _open(place) is not None:
            return
        broken = place.with_name(f"{place.name}.tmp-broken-{os.getpid()}")
        try:
            place.rename(broken)
        except FileNotFoundError:
            continue  # another process has just moved it away
        shutil.rmtree(broken, ignore_errors=True)
    raise OSError(f"other processes keep replacing '{place}'")


def _open(place: Path) -> tuple[np.ndarray, np.ndarray, list[int] | None] | None:
    """Map a cache, or None if it is absent or damaged. Checking the sums also warms the page cache."""
    if not place.exists():
        return None
    try:
        meta = json.loads((place / "meta.json").read_text(encoding="utf-8"))
        arrays = []
        for name, expected in meta["crc32"].items():
            array = np.load(place / name, mmap_mode="r", allow_pickle=False)
            total = 0
            for start in range(0, len(array), _BLOCK):
                total = zlib.crc32(np.ascontiguousarray(array[start : start + _BLOCK]).data, total)
            if total != expected:
                raise ValueError(f"checksum of {name} is {total}, expected {expected}")
            arrays.append(array)
        images, masks = arrays
        counts = meta.get("counts")  # those of older caches have one mask an image
        if sum(counts or [1] * len(images)) != len(masks):
            raise ValueError(f"{len(masks)} masks, expected {sum(counts or [1] * len(images))}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("cache '%s' is damaged (%s): building it again", place, error)
        return None
    return images, masks, counts


def _sweep(place: Path) -> None:
    """Remove what a killed builder of the same cache left behind a day or more ago."""
    for old in place.parent.glob(f"{place.name}.tmp-*"):
        with contextlib.suppress(FileNotFoundError):  # its builder may finish between the two lines
            if time.time() - old.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
