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

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

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

CANDIDATES = 20_000
"""Pairs of a part, or of two parts, that are looked at again; more mean almost equal images, as in a film."""

_ROWS = 256
_PAIRS = 512
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


def near_pairs(
    hashes: np.ndarray,
    mirrors: np.ndarray,
    thumbs: np.ndarray,
    parts: Sequence[str] | None = None,
    *,
    within: bool = True,
) -> tuple[list[Alike], bool]:
    """All pairs that look alike.

    Args:
        hashes: uint64 [N].
        mirrors: uint64 [N], hashes of the mirrored images.
        thumbs: uint8 [N,32,32].
        parts: the part of every image; None = one part. No part takes candidates from another one.
        within: whether images of one part are compared with each other.

    Returns:
        The pairs, the most alike first, and whether there were too many candidates to look at all.
    """
    names = np.asarray(parts if parts is not None else [""] * len(hashes))
    rows = [np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())]
    found: list[Alike] = []
    cut = False
    for first, second in combinations_with_replacement(range(len(rows)), 2):
        if first == second and not within:
            continue
        pairs, more = _close(hashes, mirrors, rows[first], rows[second])
        cut = cut or more
        found += _looked_at_again(thumbs, pairs)
    return sorted(found, key=lambda a: (-round(a.correlation, 4), a.first, a.second)), cut


def _looked_at_again(thumbs: np.ndarray, pairs: np.ndarray) -> list[Alike]:
    """Those of the pairs [K,2] whose small pictures agree."""
    found = []
    for start in range(0, len(pairs), _PAIRS):
        # Every picture of a block is cropped once, however many pairs it is in.
        known, where = np.unique(pairs[start : start + _PAIRS], return_inverse=True)
        views, detailed = _views(thumbs[known])
        block = where.reshape(-1, 2)
        block = block[detailed[block].all(axis=1)]
        straight = _agreement(views, views, block)
        mirrored = _agreement(views, [np.ascontiguousarray(view[:, :, ::-1]) for view in views], block)
        best = np.maximum(straight, mirrored)
        found += [
            Alike(int(known[block[k, 0]]), int(known[block[k, 1]]), bool(mirrored[k] > straight[k]), min(best[k], 1.0))
            for k in np.flatnonzero(best >= CORRELATION).tolist()
        ]
    return found


def _views(thumbs: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Small pictures [K,32,32] cropped to every one of :data:`CROPS`, of mean 0 and length 1; which have detail [K]."""
    pixels = thumbs.astype(np.float32)
    views = []
    for side in CROPS:
        view = pixels if side == 1 else _middle(side) @ pixels @ _middle(side).T
        view = view - view.mean(axis=(1, 2), keepdims=True)
        length = np.sqrt(np.einsum("khw,khw->k", view, view))
        views.append(view / np.maximum(length, 1e-3)[:, None, None])
    return views, pixels.std(axis=(1, 2)) >= DETAIL


def _agreement(first: list[np.ndarray], second: list[np.ndarray], pairs: np.ndarray) -> np.ndarray:
    """Best correlation [K] of the pictures of the pairs [K,2], either of them cropped."""
    best = np.full(len(pairs), -1.0)
    for one, other in [(0, 0)] + [pair for crop in range(1, len(CROPS)) for pair in ((crop, 0), (0, crop))]:
        a, b = first[one][pairs[:, 0]], second[other][pairs[:, 1]]
        best = np.maximum(best, np.einsum("khw,khw->k", a, b))
    return best


def _middle(side: float) -> np.ndarray:
    """Matrix [32,32] that stretches the middle of a row of pixels to the whole row, linearly."""
    places = (np.arange(THUMB) + 0.5) * side + THUMB * (1 - side) / 2 - 0.5
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(THUMB))).astype(np.float32)


def _close(hashes: np.ndarray, mirrors: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, bool]:
    """Rows [K,2] of one list and another whose hashes differ in few bits, themselves or one mirrored; smaller first.

    The two lists are the same or have nothing in common. Whether there were too many is told too.
    """
    same = first is second
    found = [np.zeros((0, 2), np.int64)]
    count = 0
    for start in range(0, len(first), _ROWS):
        rows, others = first[start : start + _ROWS], second[start:] if same else second
        own = hashes[rows, None]
        near = np.minimum(_bits(own ^ hashes[others]), _bits(own ^ mirrors[others])) <= DISTANCE
        i, j = np.nonzero(np.triu(near, 1) if same else near)
        found.append(np.sort(np.stack([rows[i], others[j]], axis=1), axis=1))
        count += len(i)
        if count > CANDIDATES:
            return np.concatenate(found)[:CANDIDATES], True
    return np.concatenate(found), False


def _bits(words: np.ndarray) -> np.ndarray:
    """Number of ones in every word of 64 bits."""
    if hasattr(np, "bitwise_count"):
        return np.bitwise_count(words)
    quarters = np.ascontiguousarray(words)[..., None].view(np.uint16)
    return _BITS[quarters].sum(axis=-1, dtype=np.uint8)
