"""Images that look alike: a perceptual hash, all close pairs of hashes, and a second look at every pair.

The hash is the usual one of 64 bits: the signs, against their median, of the 8 x 8 lowest frequencies of the discrete
cosine transform of a grey 32 x 32 picture (Zauner, Implementation and benchmarking of perceptual image hash functions,
2010). Mirroring an image changes the sign of every odd horizontal frequency, so the hash of the mirrored image costs
nothing. A hash says little about flat pictures, so a pair counts only if the small pictures themselves agree, one of
them perhaps cropped by a few per cent on every side.

Legend: N images. One runnable line: ``python -c "import numpy as np; from seglab.audit.hashes import
perceptual_hashes; print(perceptual_hashes(np.eye(32, dtype=np.uint8)))"``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import dctn

THUMB = 32
"""Side of the small grey pictures in pixels."""

DISTANCE = 14
"""Hashes that differ in more bits are not looked at again."""

CORRELATION = 0.93
"""Least correlation of two small pictures that show the same; re-encoded and scaled copies reach 0.99, cropped ones
0.93 to 0.98."""

CROPS = (1.0, 0.96, 0.9)
"""Sides of the middle of a picture that is compared with the whole of the other one."""

DETAIL = 2.0
"""Least standard deviation of a small picture, in grey levels, to be compared at all."""

CANDIDATES = 500_000
"""Pairs that are looked at again; more would mean a set of almost equal images, such as a film."""

_ROWS = 256
_BITS = np.array([bin(i).count("1") for i in range(1 << 16)], dtype=np.uint8)


@dataclass(frozen=True)
class Alike:
    """Two images that look alike.

    Attributes:
        first: row of one.
        second: row of the other, larger than ``first``.
        mirrored: whether they agree after one is mirrored.
        correlation: of their small pictures, in -1..1.
    """

    first: int
    second: int
    mirrored: bool
    correlation: float


def perceptual_hashes(thumb: np.ndarray) -> tuple[int, int]:
    """The hash of a small grey picture uint8 [32,32], and that of the same mirrored left to right."""
    waves = dctn(thumb.astype(np.float64), norm="ortho")[:8, :8]
    odd = np.where(np.arange(8) % 2, -1.0, 1.0)
    return _pack(waves), _pack(waves * odd)


def _pack(waves: np.ndarray) -> int:
    flat = waves.ravel()[1:]  # without the mean brightness
    bits = flat > np.median(flat)
    return int(np.packbits(np.concatenate([[False], bits])).view(">u8")[0])


def near_pairs(hashes: np.ndarray, mirrors: np.ndarray, thumbs: np.ndarray) -> tuple[list[Alike], bool]:
    """All pairs that look alike.

    Args:
        hashes: uint64 [N].
        mirrors: uint64 [N], hashes of the mirrored images.
        thumbs: uint8 [N,32,32].

    Returns:
        The pairs, the most alike first, and whether there were too many candidates to look at all.
    """
    pairs, cut = _close(hashes, mirrors)
    detailed = thumbs.reshape(len(thumbs), -1).std(axis=1) >= DETAIL
    found = []
    for start in range(0, len(pairs), 1024):
        block = pairs[start : start + 1024]
        block = block[detailed[block[:, 0]] & detailed[block[:, 1]]]
        if not len(block):  # nothing but flat images
            continue
        first, second = (thumbs[rows].astype(np.float32) for rows in block.T)
        straight, mirrored = _agreement(first, second), _agreement(first, second[:, :, ::-1])
        best = np.maximum(straight, mirrored)
        found += [
            Alike(int(block[k, 0]), int(block[k, 1]), bool(mirrored[k] > straight[k]), float(min(best[k], 1.0)))
            for k in np.flatnonzero(best >= CORRELATION)
        ]
    return sorted(found, key=lambda a: (-round(a.correlation, 4), a.first, a.second)), cut


def _agreement(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Best correlation [K] of small pictures [K,32,32], either of them cropped."""
    best = np.full(len(first), -1.0, np.float32)
    for side in CROPS:
        middle = _middle(side)
        for one, other in ((first, second),) if side == 1 else ((first, second), (second, first)):
            best = np.maximum(best, _correlation(middle @ one @ middle.T, other))
    return best


def _middle(side: float) -> np.ndarray:
    """Matrix [32,32] that stretches the middle of a row of pixels to the whole row, linearly."""
    places = (np.arange(THUMB) + 0.5) * side + THUMB * (1 - side) / 2 - 0.5
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(THUMB))).astype(np.float32)


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    a, b = (x.reshape(len(x), -1) - x.mean(axis=(1, 2))[:, None] for x in (first, second))
    length = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return (a * b).sum(axis=1) / np.maximum(length, 1e-6)


def _close(hashes: np.ndarray, mirrors: np.ndarray) -> tuple[np.ndarray, bool]:
    """Rows [K,2] of hashes that differ in few bits, themselves or one mirrored."""
    found: list[np.ndarray] = []
    count = 0
    for start in range(0, len(hashes), _ROWS):
        rows = hashes[start : start + _ROWS, None]
        near = np.minimum(_bits(rows ^ hashes[start:]), _bits(rows ^ mirrors[start:])) <= DISTANCE
        i, j = np.nonzero(np.triu(near, 1))
        found.append(np.stack([i, j], axis=1) + start)
        count += len(i)
        if count > CANDIDATES:
            return np.concatenate(found)[:CANDIDATES], True
    return np.concatenate(found) if found else np.zeros((0, 2), np.int64), False


def _bits(words: np.ndarray) -> np.ndarray:
    """Number of ones in every word of 64 bits."""
    if hasattr(np, "bitwise_count"):
        return np.bitwise_count(words)
    quarters = np.ascontiguousarray(words)[..., None].view(np.uint16)
    return _BITS[quarters].sum(axis=-1, dtype=np.uint8)
