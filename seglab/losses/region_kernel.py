"""Compiled CPU kernels behind `seglab.losses.regions`: softmax, region sums and their gradient in one pass over memory.

The quantities are those of CAS, Eqs. 1 and 2 (region means of the channel softmax, mean squares, gradient at a pixel).

    python -c "import seglab.losses.region_kernel"

Why a kernel: the softmax of a tile of pixels stays in the cache, so the only array of the size of the logits is their
gradient, and sums are taken over runs of equal labels instead of over one mask per region.

Why the result does not depend on label names or on the number of threads: the sum of a run never looks at its label,
runs are added to their region in pixel order, and chunks of pixels have a fixed length and are combined in order.

Legend: B batch, M channels, P = H*W pixels, R rows of a table (one per label value), J = B * chunks per image.
"""

import numpy as np
import torch
from numba import njit

from seglab.data.sample import IGNORE
from seglab.losses.threads import share

ROWS = 256
INVALID = 1000
CHUNK = 16384  # pixels of one unit of work; fixed, so that results do not change with the number of threads
CACHE_FLOATS = 32768  # floats of the softmax tile: 128 KiB, well inside a second-level cache
BLOCK = 32  # pixels compared at once in the search for the end of a run

_LOG2E = np.float32(1.44269504088896341)
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440e-4)
_ROUND = np.float32(12582912.0)  # 1.5 * 2^23: adding it rounds to an integer kept in the low bits
_SMALLEST = np.float32(-86.0)
_P0, _P1, _P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_P3, _P4, _P5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
_ONE = np.float32(1.0)
_ZERO = np.float32(0.0)


@njit(nogil=True, cache=True, fastmath={"contract"})
def _exp(x):
    """Exponential for x <= 0 to about one unit in the last place (Cephes polynomial), branch-free; NaN stays NaN."""
    x = _SMALLEST if x < _SMALLEST else x
    shifted = x * _LOG2E + _ROUND
    power = shifted - _ROUND
    r = x - power * _LN2_HIGH
    r = r - power * _LN2_LOW
    p = ((((_P0 * r + _P1) * r + _P2) * r + _P3) * r + _P4) * r + _P5
    y = p * (r * r) + (r + _ONE)
    scale = np.int32(np.int32(np.float32(shifted).view(np.int32) << np.int32(23)) + np.int32(0x3F800000))
    return y * np.int32(scale).view(np.float32)


@njit(nogil=True, cache=True, fastmath={"contract"})
def _softmax_pair(first, second, n, gap_T, small_T):
    """Softmax of two channels in place, with one exponential; short loops, because longer ones are not vectorised."""
    for t in range(n):
        gap = second[t] - first[t]
        gap_T[t] = gap
        small_T[t] = gap if gap < _ZERO else -gap
    for t in range(n):
        small_T[t] = _exp(small_T[t])
    for t in range(n):
        second[t] = small_T[t] if gap_T[t] < _ZERO else _ONE
    for t in range(n):
        first[t] = _ONE if gap_T[t] < _ZERO else small_T[t]
    for t in range(n):
        small_T[t] = _ONE / (_ONE + small_T[t])
    for t in range(n):
        second[t] *= small_T[t]
    for t in range(n):
        first[t] *= small_T[t]


@njit(nogil=True, cache=True, fastmath={"contract"})
def _softmax_tile(x_BMP, b, start, n, tile_MT, top_T, total_T):
    """Write the softmax of pixels start..start+n of image b into the tile."""
    for m in range(x_BMP.shape[1]):
        row, source = tile_MT[m], x_BMP[b, m, start : start + n]
        for t in range(n):
            row[t] = source[t]
    if x_BMP.shape[1] == 2:
        _softmax_pair(tile_MT[0], tile_MT[1], n, top_T, total_T)
        return
    first = tile_MT[0]
    for t in range(n):
        top_T[t] = first[t]
        total_T[t] = _ZERO
    for m in range(1, x_BMP.shape[1]):
        row = tile_MT[m]
        for t in range(n):
            top_T[t] = row[t] if row[t] > top_T[t] else top_T[t]
    for m in range(x_BMP.shape[1]):
        row = tile_MT[m]
        for t in range(n):
            y = _exp(row[t] - top_T[t])
            row[t] = y
            total_T[t] += y
    for t in range(n):
        total_T[t] = _ONE / total_T[t]
    for m in range(x_BMP.shape[1]):
        row = tile_MT[m]
        for t in range(n):
            row[t] *= total_T[t]


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def _run_sums(row_T):
    """Sum and sum of squares; reassociation is allowed here only, it never sees a label."""
    total = _ZERO
    square = _ZERO
    for t in range(row_T.shape[0]):
        total += row_T[t]
        square += row_T[t] * row_T[t]
    return total, square


@njit(nogil=True, cache=True)
def _runs(labels_BP, b, start, n, stop_T, label_T):
    """Cut n pixels into runs of equal labels: fills where each ends and its label, returns how many."""
    count = 0
    labels_P = labels_BP[b, start : start + n]
    current = labels_P[0]
    for low in range(0, n, BLOCK):
        block = labels_P[low : min(n, low + BLOCK)]
        changes = current ^ current
        for t in range(block.shape[0]):
            changes |= block[t] ^ current
        if changes == 0:  # masks are mostly smooth: whole blocks are passed over with vector instructions
            continue
        for t in range(block.shape[0]):
            if block[t] != current:
                stop_T[count] = low + t
                label_T[count] = current
                count += 1
                current = block[t]
    stop_T[count] = n
    label_T[count] = current
    return count + 1


@njit(nogil=True, cache=True)
def _sums(x_BMP, labels_BP, first, last, tile, counts_JR, sums_JRM, squares_JR):
    """Region sums of the work units first..last; returns the largest label met, or INVALID outside 0..255."""
    M, P = x_BMP.shape[1], x_BMP.shape[2]
    per_image = (P + CHUNK - 1) // CHUNK
    tile_MT = np.empty((M, tile), np.float32)
    top_T = np.empty(tile, np.float32)
    total_T = np.empty(tile, np.float32)
    stop_T = np.empty(tile, np.int64)
    label_T = np.empty(tile, np.int64)
    largest = -1
    for j in range(first, last):
        b = j // per_image
        begin = (j % per_image) * CHUNK
        end = min(P, begin + CHUNK)
        for start in range(begin, end, tile):
            n = min(tile, end - start)
            runs = _runs(labels_BP, b, start, n, stop_T, label_T)
            if runs == 1 and label_T[0] == IGNORE:
                continue
            _softmax_tile(x_BMP, b, start, n, tile_MT, top_T, total_T)
            a = 0
            for k in range(runs):
                z, r = stop_T[k], label_T[k]
                if r < 0 or r > IGNORE:
                    return INVALID
                if r != IGNORE:
                    largest = max(largest, r)
                    if counts_JR[j, r] == 0:  # rows are cleared at first use: most of the table is never touched
                        squares_JR[j, r] = 0.0
                        for m in range(M):
                            sums_JRM[j, r, m] = 0.0
                    counts_JR[j, r] += z - a
                    for m in range(M):
                        total, square = _run_sums(tile_MT[m, a:z])
                        sums_JRM[j, r, m] += total
                        squares_JR[j, r] += square
                a = z
    return largest


@njit(nogil=True, cache=True)
def _combine(counts_JR, sums_JRM, squares_JR, count_BR, sum_BRM, square_BR):
    """Add the work units of each image in order; the outputs come in as zeros."""
    B, R, M = sum_BRM.shape
    per_image = counts_JR.shape[0] // B
    for j in range(counts_JR.shape[0]):
        b = j // per_image
        for r in range(R):
            if counts_JR[j, r] > 0:
                count_BR[b, r] += counts_JR[j, r]
                square_BR[b, r] += squares_JR[j, r]
                for m in range(M):
                    sum_BRM[b, r, m] += sums_JRM[j, r, m]


@njit(nogil=True, cache=True, fastmath={"contract"})
def _gradient(x_BMP, labels_BP, first, last, tile, slope_BR, shift_BRM, grad_BMP):
    """Gradient for the logits where that for the softmax s is slope[r] * s + shift[r] at a pixel of region r."""
    M, P = x_BMP.shape[1], x_BMP.shape[2]
    per_image = (P + CHUNK - 1) // CHUNK
    tile_MT = np.empty((M, tile), np.float32)
    top_T = np.empty(tile, np.float32)
    dot_T = np.empty(tile, np.float32)
    stop_T = np.empty(tile, np.int64)
    label_T = np.empty(tile, np.int64)
    for j in range(first, last):
        b = j // per_image
        begin = (j % per_image) * CHUNK
        end = min(P, begin + CHUNK)
        for start in range(begin, end, tile):
            n = min(tile, end - start)
            runs = _runs(labels_BP, b, start, n, stop_T, label_T)
            _softmax_tile(x_BMP, b, start, n, tile_MT, top_T, dot_T)
            a = 0
            for k in range(runs):
                z, r = stop_T[k], label_T[k]
                if r == IGNORE:
                    for m in range(M):
                        for t in range(a, z):
                            grad_BMP[b, m, start + t] = _ZERO
                    a = z
                    continue
                slope = slope_BR[b, r]
                for t in range(z - a):  # slices, not offsets: an index that might be negative is not vectorised
                    dot_T[t] = _ZERO
                for m in range(M):
                    row, shift = tile_MT[m, a:z], shift_BRM[b, r, m]
                    for t in range(z - a):
                        dot_T[t] += row[t] * (slope * row[t] + shift)
                for m in range(M):
                    row, shift, out = tile_MT[m, a:z], shift_BRM[b, r, m], grad_BMP[b, m, start + a : start + z]
                    for t in range(z - a):
                        out[t] = row[t] * (slope * row[t] + shift - dot_T[t])
                a = z


def _tile(channels: int) -> int:
    return max(64, min(512, CACHE_FLOATS // channels))


def softmax_sums(
    x_BMP: torch.Tensor, labels_BP: torch.Tensor, *, rows: int | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
    """Sum the channel softmax over the regions of each image.

    Args:
        x_BMP: float32 CPU logits, any strides.
        labels_BP: integer CPU labels 0..254, 255 ignored.
        rows: rows of the returned tables; None means one more than the largest label.

    Returns:
        float64 tables: pixels per region [B, R], softmax sums [B, R, M], sums of squares over channels [B, R]; and the
        largest label (-1: every pixel is ignored, INVALID: a label outside 0..255 was met).
    """
    x, labels = x_BMP.detach().numpy(), labels_BP.numpy()
    B, M, P = x.shape
    units = B * -(-P // CHUNK)
    counts_JR = np.zeros((units, ROWS), np.int64)
    sums_JRM = np.empty((units, ROWS, M), np.float64)
    squares_JR = np.empty((units, ROWS), np.float64)
    tile = _tile(M)
    largest = max(
        share(lambda first, last: _sums(x, labels, first, last, tile, counts_JR, sums_JRM, squares_JR), units),
        default=-1,
    )
    R = rows or (1 if largest == INVALID else max(1, largest + 1))
    count_BR = torch.zeros(B, R, dtype=torch.float64)
    sum_BRM = torch.zeros(B, R, M, dtype=torch.float64)
    square_BR = torch.zeros(B, R, dtype=torch.float64)
    if largest < R:
        _combine(counts_JR, sums_JRM, squares_JR, count_BR.numpy(), sum_BRM.numpy(), square_BR.numpy())
    return count_BR, sum_BRM, square_BR, int(largest)


def softmax_gradient(
    x_BMP: torch.Tensor, labels_BP: torch.Tensor, slope_BR: torch.Tensor, shift_BRM: torch.Tensor
) -> torch.Tensor:
    """Gradient with respect to the logits of a function whose softmax gradient is slope[r] * s + shift[r] in region r.

    Args:
        x_BMP: float32 CPU logits, any strides.
        labels_BP: integer CPU labels, each below R or 255; they were checked by `softmax_sums`.
        slope_BR: float32.
        shift_BRM: float32.

    Returns:
        float32 [B, M, P] with the strides of the logits; 0 at ignored pixels.
    """
    grad_BMP = torch.empty_like(x_BMP)
    x, labels, grad = x_BMP.detach().numpy(), labels_BP.numpy(), grad_BMP.numpy()
    slope, shift = slope_BR.contiguous().numpy(), shift_BRM.contiguous().numpy()
    B, M, P = x.shape
    tile = _tile(M)
    units = B * -(-P // CHUNK)
    share(lambda first, last: _gradient(x, labels, first, last, tile, slope, shift, grad), units)
    return grad_BMP
