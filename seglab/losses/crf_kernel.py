"""Compiled CPU kernels of the two CRF losses: neighbouring pixels (sparse) and all pairs of pixels (dense).

The quantities are Eqs. 1-3 of the regularized loss (Veksler 2020) and their gradients. Callers are
`seglab.losses.sparse_crf` and `seglab.losses.dense_crf`, which say what the numbers mean.

    python -c "import seglab.losses.crf_kernel"

Why a kernel: an edge weight is used once and never written to memory, and all pairs of pixels are never held. Colours
stay whole grey levels until they are subtracted, so differences are exact. Work is cut in units of fixed size that are
added in order, so results do not change with the number of threads.

Legend: B batch, P = H*W pixels, W width, D directions to a neighbour, T pixels of a tile, N work units.
"""

import math

import numpy as np
from numba import njit

from seglab.losses.threads import share

EDGE_TILE = 2048  # pixels at a time: their weights, products and gradients stay in the first-level cache
PAIR_TILE = 512
PAIR_UNITS = 16  # shares of the pairs of an image; fixed, so that results do not change with the number of threads
PAIR_BLOCK = 128  # pixels whose sums are added up in float32 before they join a float64 total
_LARGEST_SCALE = 1e28  # keeps 0 * scale from being 0 * infinity for the smallest sigma

_LOG2E = math.log2(math.e)
_ROUND = np.float32(12582912.0)  # 1.5 * 2^23: adding it rounds to an integer kept in the low bits
_LOWEST = np.float32(-60.0)  # 2^-60 cannot be told from no weight; smaller numbers would become denormal, and slow
_P0, _P1, _P2 = np.float32(1.5353362e-4), np.float32(1.3398874e-3), np.float32(9.6184373e-3)
_P3, _P4, _P5 = np.float32(5.5503324e-2), np.float32(2.4022648e-1), np.float32(6.9314720e-1)
_ONE, _ZERO = np.float32(1.0), np.float32(0.0)
# Rows of the pair loop's table. Unsigned: an index that might be negative is not vectorised.
_R1, _R2, _R3, _R4, _R5, _R6 = (np.uint64(k * PAIR_TILE) for k in range(1, 7))


@njit(nogil=True, cache=True, fastmath={"contract"})
def _exp2(x):
    """Two to the power of x <= 0 to about one unit in the last place (Cephes polynomial), branch-free."""
    x = _LOWEST if x < _LOWEST else x
    shifted = x + _ROUND
    power = shifted - _ROUND
    r = x - power
    y = (((((_P0 * r + _P1) * r + _P2) * r + _P3) * r + _P4) * r + _P5) * r + _ONE
    scale = np.int32(np.int32(np.float32(shifted).view(np.int32) << np.int32(23)) + np.int32(0x3F800000))
    return y * np.int32(scale).view(np.float32)


@njit(nogil=True, cache=True, fastmath={"contract"})
def _edge_weights(image_B3P, b, start, other, scale_3, w_T):
    """Weights between two stretches of image b, one channel at a time: short loops are vectorised."""
    n = w_T.shape[0]
    first_T, second_T, scale = image_B3P[b, 0, start : start + n], image_B3P[b, 0, other : other + n], scale_3[0]
    for t in range(n):
        d = np.float32(first_T[t]) - np.float32(second_T[t])
        w_T[t] = -scale * (d * d)
    for c in (1, 2):
        first_T, second_T, scale = image_B3P[b, c, start : start + n], image_B3P[b, c, other : other + n], scale_3[c]
        for t in range(n):
            d = np.float32(first_T[t]) - np.float32(second_T[t])
            w_T[t] -= scale * (d * d)
    for t in range(n):
        w_T[t] = _exp2(w_T[t])


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def _edge_terms(first_T, second_T, w_T, factor, slope_T):
    """Sum of w |a - b|; its derivative with respect to a, times the factor, is written to ``slope_T``."""
    total = _ZERO
    for t in range(slope_T.shape[0]):
        d = first_T[t] - second_T[t]
        total += w_T[t] * abs(d)
        sign = factor if d > _ZERO else -factor
        slope_T[t] = w_T[t] * (sign if d != _ZERO else _ZERO)
    return total


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def _mixed_terms(first_T, second_T, w_T, factor, bilinear, slope_T, other_T):
    """Sum of w ((1 - c) |a - b| + c (a (1 - b) + b (1 - a))), c the share of the bilinear form.

    Its derivatives with respect to a and b, times the factor, are written to ``slope_T`` and ``other_T``.
    """
    total, straight = _ZERO, _ONE - bilinear
    for t in range(slope_T.shape[0]):
        a, b = first_T[t], second_T[t]
        d = a - b
        low, high = (b if d > _ZERO else a), (a if d > _ZERO else b)
        total += w_T[t] * (abs(d) + bilinear * ((low + low) * (_ONE - high)))  # exactly |d| on hard labels
        sign = straight if d > _ZERO else -straight
        sign = sign if d != _ZERO else _ZERO
        scaled = factor * w_T[t]
        slope_T[t] = scaled * (sign + bilinear * (_ONE - (b + b)))
        other_T[t] = scaled * (bilinear * (_ONE - (a + a)) - sign)
    return total


@njit(nogil=True, cache=True, fastmath={"contract"})
def _add_and_subtract(a_T, b_T, slope_T):
    for t in range(slope_T.shape[0]):
        a_T[t] += slope_T[t]
    for t in range(slope_T.shape[0]):
        b_T[t] -= slope_T[t]


@njit(nogil=True, cache=True, fastmath={"contract"})
def _add_both(a_T, b_T, slope_T, other_T):
    for t in range(slope_T.shape[0]):
        a_T[t] += slope_T[t]
    for t in range(slope_T.shape[0]):
        b_T[t] += other_T[t]


@njit(nogil=True, cache=True)
def _edges(
    x_BP, image_B3P, weights_BDP, use_B, W, step_D, column_D, factor_D, scale_3, bilinear, first, last, value_B, grad_BP
):
    """Sparse-CRF values (and gradients, where there is room for them) of the images first..last.

    ``bilinear`` is None where there is no such share: a program of its own, compiled without these branches.
    """
    P = x_BP.shape[1]
    given, wanted = weights_BDP.shape[1] > 0, grad_BP.shape[0] > 0
    weights_T, slopes_T = np.empty(EDGE_TILE, np.float32), np.empty(EDGE_TILE, np.float32)
    if bilinear is not None:
        others_T = np.empty(EDGE_TILE, np.float32)
    for b in range(first, last):
        if wanted:
            grad_BP[b, :] = _ZERO
        if not use_B[b]:
            continue
        total = 0.0
        for start in range(0, P, EDGE_TILE):
            for k in range(step_D.shape[0]):
                n = min(EDGE_TILE, P - step_D[k] - start)
                if n <= 0:
                    continue
                w_T, slope_T = weights_T[:n], slopes_T[:n]
                end, other = start + n, start + step_D[k]
                if given:
                    w_T[:] = weights_BDP[b, k, start:end]
                else:
                    _edge_weights(image_B3P, b, start, other, scale_3, w_T)
                if column_D[k] >= 0:  # the image is one long row: pixels of this column have no such neighbour
                    for t in range((column_D[k] - start) % W, n, W):
                        w_T[t] = _ZERO
                a_T, b_T = x_BP[b, start:end], x_BP[b, other : other + n]
                if bilinear is None:
                    sums = _edge_terms(a_T, b_T, w_T, factor_D[k], slope_T)
                    if wanted:
                        _add_and_subtract(grad_BP[b, start:end], grad_BP[b, other : other + n], slope_T)
                else:
                    sums = _mixed_terms(a_T, b_T, w_T, factor_D[k], bilinear, slope_T, others_T[:n])
                    if wanted:
                        _add_both(grad_BP[b, start:end], grad_BP[b, other : other + n], slope_T, others_T[:n])
                total += factor_D[k] * np.float64(sums)
        value_B[b] = total


def edge_terms(
    x_BHW: np.ndarray,
    image_B3HW: np.ndarray | None,
    weights_BDHW: np.ndarray | None,
    use_B: np.ndarray,
    *,
    steps: list[tuple[int, int]],
    factors: list[float],
    scales: tuple[float, float, float],
    gradient: bool,
    bilinear: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Sum over directions of factor * sum of w |x_p - x_q| over the pairs of an image, and its gradient.

    With c the share of the bilinear form, (1 - c) |x_p - x_q| + c (x_p (1 - x_q) + x_q (1 - x_p)) is in its place.

    Args:
        x_BHW: float32, contiguous.
        image_B3HW: uint8, contiguous; read where no weights are given.
        weights_BDHW: float32, contiguous, weight of a pixel and its neighbour in each direction, or None.
        use_B: bool; other images are skipped and get zeros.
        steps: rows (0 or 1) and columns (-1, 0 or 1) to the neighbour, D of them.
        factors: one of each direction.
        scales: w = exp(-sum over channels of scale * squared difference in grey levels).
        gradient: whether it is wanted.
        bilinear: share of the bilinear form, 0..1.

    Returns:
        float64 [B]; float32 [B, H, W], of length 0 where it is not wanted.
    """
    B, H, W = x_BHW.shape
    value_B, grad_BHW = np.zeros(B), np.empty((B if gradient else 0, H, W), np.float32)
    image_B3P = np.empty((B, 3, 0), np.uint8) if image_B3HW is None else image_B3HW.reshape(B, 3, H * W)
    weights_BDP = np.empty((B, 0, 0), np.float32) if weights_BDHW is None else weights_BDHW.reshape(B, -1, H * W)
    step_D = np.array([rows * W + columns for rows, columns in steps])
    column_D = np.array([{1: W - 1, 0: -1, -1: 0}[columns] for _, columns in steps])
    factor_D = np.array(factors, np.float32)
    scale_3 = np.array([min(_LOG2E * scale, _LARGEST_SCALE) for scale in scales], np.float32)
    x_BP, grad_BP = x_BHW.reshape(B, H * W), grad_BHW.reshape(-1, H * W)
    mixed = np.float32(bilinear) if bilinear > 0 else None
    inputs = x_BP, image_B3P, weights_BDP, use_B, W, step_D, column_D, factor_D, scale_3, mixed
    share(lambda first, last: _edges(*inputs, first, last, value_B, grad_BP), B)
    return value_B, grad_BHW


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def _pairs_of_one(tile, sums, low, n, colours, place, scales, x, y):
    """One pixel with pixels low..n of a tile: adds its share to theirs, returns theirs.

    ``tile`` holds seven rows of PAIR_TILE numbers (three colours, row, column, x, 1 - x), ``sums`` two, in one array
    each, so that the compiler sees that they do not overlap.
    """
    c0, c1, c2 = colours
    row, column = place
    colour_scale, space_scale = scales
    to_x = to_y = _ZERO
    for i in range(n - low):
        t = np.uint64(i) + np.uint64(low)
        d0, d1, d2 = tile[t] - c0, tile[t + _R1] - c1, tile[t + _R2] - c2
        d3, d4 = tile[t + _R3] - row, tile[t + _R4] - column
        w = _exp2(colour_scale * (d0 * d0 + d1 * d1 + d2 * d2) + space_scale * (d3 * d3 + d4 * d4))
        to_x += w * tile[t + _R5]
        to_y += w * tile[t + _R6]
        sums[t] += w * x
        sums[t + _R1] += w * y
    return to_x, to_y


@njit(nogil=True, cache=True)
def _pairs(f_7P, cut_N, scales, first, last, out_N2P):
    """Units first..last of the pairs p < q: unit u has all with cut[u] <= p < cut[u + 1]."""
    P = f_7P.shape[1]
    tile, sums = np.zeros(7 * PAIR_TILE, np.float32), np.zeros(2 * PAIR_TILE, np.float32)
    for u in range(first, last):
        out_2P = out_N2P[u]
        for start in range(cut_N[u], cut_N[u + 1], PAIR_BLOCK):
            stop = min(cut_N[u + 1], start + PAIR_BLOCK)
            for base in range(start - start % PAIR_TILE, P, PAIR_TILE):
                n = min(PAIR_TILE, P - base)
                for row in range(7):
                    tile[row * PAIR_TILE : row * PAIR_TILE + n] = f_7P[row, base : base + n]
                sums[:] = _ZERO
                for p in range(start, stop):
                    low = max(0, p + 1 - base)
                    if low >= n:
                        continue
                    x, y = f_7P[5, p], f_7P[6, p]
                    colours, place = (f_7P[0, p], f_7P[1, p], f_7P[2, p]), (f_7P[3, p], f_7P[4, p])
                    to_x, to_y = _pairs_of_one(tile, sums, low, n, colours, place, scales, x, y)
                    out_2P[0, p] += to_x
                    out_2P[1, p] += to_y
                for t in range(n):
                    out_2P[0, base + t] += sums[t]
                    out_2P[1, base + t] += sums[PAIR_TILE + t]


def pair_sums(x_HW: np.ndarray, image_3HW: np.ndarray, *, sigma_colour: float, sigma_space: float) -> np.ndarray:
    """Bilateral kernel times x and 1 - x, over all other pixels of one image; every pair is computed once.

    Args:
        x_HW: float32.
        image_3HW: uint8 or float32, grey levels.
        sigma_colour: standard deviation, grey levels.
        sigma_space: standard deviation, pixels.

    Returns:
        float64 [2, H, W]: sum over q != p of w_pq x_q, and of w_pq (1 - x_q).
    """
    H, W = x_HW.shape
    P = H * W
    f_7P = np.empty((7, P), np.float32)
    f_7P[:3] = image_3HW.reshape(3, P)
    f_7P[3], f_7P[4] = (plane.ravel() for plane in np.mgrid[:H, :W])
    f_7P[5] = x_HW.reshape(P)
    f_7P[6] = 1 - f_7P[5]
    # The pairs of p are those with later pixels, so equal shares of the pairs are unequal stretches of pixels.
    cut_N = np.array([P - int(P * math.sqrt(1 - k / PAIR_UNITS)) for k in range(PAIR_UNITS)] + [P])
    sigmas = sigma_colour, sigma_space
    scales = tuple(np.float32(-min(_LOG2E / 2 / sigma / sigma, _LARGEST_SCALE)) for sigma in sigmas)
    out_N2P = np.zeros((PAIR_UNITS, 2, P))
    share(lambda first, last: _pairs(f_7P, cut_N, scales, first, last, out_N2P), PAIR_UNITS)
    return out_N2P.sum(0).reshape(2, H, W)
