"""Boundary matching of seglab against an exact minimum-cost one and SciPy, on photos of BSDS500; and a whole benchmark.

1. Soft boundary maps (gradient of the smoothed photo in CIE Lab), cut at --threshold, thinned, matched with every
   annotator: counts and milliseconds. "exact" has the most pairs and, of all such matchings, the smallest sum of
   distances (shortest augmenting paths with prices, written here for Numba); whole photos, no crops. On crops it is
   itself checked against scipy.optimize.linear_sum_assignment. Times of "exact" and "scipy" contain the list of pairs
   within reach. The ratio told is against "exact" on the same maps, not against the benchmark's own C++ program, which
   is not run here; seglab solves the easier problem, since it does not make the sum of distances smallest.
2. --sweep photos with all 99 thresholds and all annotators, in --processes processes: seconds, ODS, OIS, AP.

OMP_NUM_THREADS=1 SEGLAB_DATA=data python scripts/bench_boundaries.py --images 20 --sweep 100
"""

from __future__ import annotations

import argparse
import heapq
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numba
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching
from skimage.color import rgb2lab

from seglab.data.files import read_image
from seglab.data.mat import read_bsds
from seglab.metrics.boundaries import MAX_DISTANCE, boundary_counts, thin
from seglab.metrics.boundary_summary import THRESHOLDS, summary
from seglab.metrics.matching import Plane, match, squared_reach

log = logging.getLogger("bench")
OUTLIER = 10.0**7
"""Price of a found pixel without partner: above any sum of distances, so that as many pairs as possible are made."""


def photos(part: str) -> list[Path]:
    root = Path(os.environ.get("SEGLAB_DATA", "data")) / "BSDS500" / "data" / "images" / part
    found = sorted(root.glob("*.jpg"))
    if not found:
        raise SystemExit(f"{root}: no photos; set SEGLAB_DATA to the folder that holds BSDS500/")
    return found


def truth_of(photo: Path) -> np.ndarray:
    """Boundaries as drawn, bool [A, H, W]."""
    drawn = read_bsds(photo.parents[2] / "groundTruth" / photo.parent.name / f"{photo.stem}.mat").boundaries_AHW
    assert drawn is not None
    return drawn


def soft_boundaries(photo: Path, *, sigma: float = 2.0) -> np.ndarray:
    """A simple detector: gradient magnitude of the smoothed Lab image over its maximum, float64 [H, W] in 0..1."""
    lab_HW3 = gaussian_filter(rgb2lab(read_image(photo)), (sigma, sigma, 0))
    square_HW = sum((np.gradient(lab_HW3, axis=axis) ** 2).sum(-1) for axis in (0, 1))
    return np.sqrt(square_HW / square_HW.max())


def edges(found_HW: np.ndarray, truth_HW: np.ndarray, reach2: int) -> csr_matrix:
    """All pairs within reach with their distance + 1 (SciPy takes a stored 0 for no pair)."""
    plane = Plane(found_HW.shape, reach2)
    (place_P, _), (place_Q, grid) = plane.points(found_HW), plane.points(truth_HW)
    partner_OP = np.stack([grid[place_P + step] for step in plane.steps_O])
    o, p = np.nonzero(partner_OP >= 0)
    y, x = np.mgrid[-plane.rim : plane.rim + 1, -plane.rim : plane.rim + 1].reshape(2, -1)
    square_O = np.sort(y**2 + x**2)
    return csr_matrix((1 + np.sqrt(square_O[o]), (p, partner_OP[o, p])), shape=(place_P.size, place_Q.size))


def exact(found_HW: np.ndarray, truth_HW: np.ndarray, reach2: int) -> np.ndarray:
    """Minimum-cost matching, int32 [P]: index of the partner or -1."""
    graph = edges(found_HW, truth_HW, reach2)
    return _exact(graph.indptr, graph.indices, graph.data - 1, graph.shape[1])


@numba.njit(cache=True)
def _exact(start_P, near_E, cost_E, columns):
    rows = start_P.size - 1
    price_Q, owner_Q = np.zeros(columns), np.full(columns, -1, np.int32)
    far_Q, from_Q, done_Q = np.full(columns, np.inf), np.empty(columns, np.int32), np.zeros(columns, np.bool_)
    own_P, partner_P = np.empty(rows), np.full(rows, -1, np.int32)  # own_P: cost of the pair that a row is in
    seen = np.empty(columns, np.int32)
    for row in range(rows):
        count, current, base = 0, row, 0.0  # base: length of the path to the current row, less its own price
        best_end, best_row, end = OUTLIER, row, -1
        heap = [(np.inf, np.int64(-1))]
        while True:
            for e in range(start_P[current], start_P[current + 1]):
                q = near_E[e]
                length = base + cost_E[e] - price_Q[q]
                if not done_Q[q] and length < far_Q[q] and length < best_end:
                    if far_Q[q] == np.inf:
                        seen[count] = q
                        count += 1
                    far_Q[q], from_Q[q] = length, current
                    heapq.heappush(heap, (length, np.int64(q)))
            if base + OUTLIER < best_end:
                best_end, best_row = base + OUTLIER, current
            length, q = heapq.heappop(heap)
            while q >= 0 and (done_Q[q] or length > far_Q[q]):
                length, q = heapq.heappop(heap)
            if q < 0 or length >= best_end:
                length = best_end
                break
            if owner_Q[q] < 0:
                end = q
                break
            done_Q[q] = True
            current = owner_Q[q]
            base = length - (own_P[current] - price_Q[q])
        for i in range(count):
            q = seen[i]
            if done_Q[q]:
                price_Q[q] += far_Q[q] - length
            far_Q[q], done_Q[q] = np.inf, False
        if end < 0:  # best_row gives up its column, everyone on the way to it moves on
            end, current = partner_P[best_row], best_row
            partner_P[best_row] = -1
            if current == row:
                continue
        while True:
            current = from_Q[end]
            before = partner_P[current]
            partner_P[current], owner_Q[end] = end, current
            for e in range(start_P[current], start_P[current + 1]):
                if near_E[e] == end:
                    own_P[current] = cost_E[e]
            if current == row:
                break
            end = before
    return partner_P


def check_exact(maps: list[tuple[np.ndarray, np.ndarray]], *, size: int) -> None:
    """The exact matching against SciPy's assignment with outliers, on crops of size x size pixels."""
    pairs, worst = 0, 0.0
    for found_HW, truth_AHW in maps:
        for truth_HW in truth_AHW:
            found, truth = found_HW[:size, :size], truth_HW[:size, :size]
            graph = edges(found, truth, squared_reach(found_HW.shape, MAX_DISTANCE))
            dense = np.full((graph.shape[0], graph.shape[1] + graph.shape[0]), OUTLIER)
            costs = graph.toarray()
            dense[:, : graph.shape[1]] = np.where(costs > 0, costs - 1, 10 * OUTLIER)
            theirs = dense[linear_sum_assignment(dense)].sum()
            partner_P = exact(found, truth, squared_reach(found_HW.shape, MAX_DISTANCE))
            single = partner_P < 0
            total = dense[np.flatnonzero(~single), partner_P[~single]].sum() + OUTLIER * single.sum()
            pairs, worst = pairs + 1, max(worst, abs(total - theirs))
    log.info("exact against SciPy's assignment: %d crops of %d^2, largest difference in cost %.1e", pairs, size, worst)


def ours(found_HW: np.ndarray, truth_HW: np.ndarray, reach2: int) -> np.ndarray:
    return match(found_HW, truth_HW, reach2=reach2)[found_HW]


def scipys(found_HW: np.ndarray, truth_HW: np.ndarray, reach2: int) -> np.ndarray:
    return maximum_bipartite_matching(edges(found_HW, truth_HW, reach2), perm_type="column")


def compare(maps: list[tuple[np.ndarray, np.ndarray]], *, repeat: int) -> None:
    """Counts and milliseconds of the three programs, and how seglab's time compares with that of minimum cost."""
    programs: dict[str, Callable[..., np.ndarray]] = {"seglab": ours, "exact": exact, "scipy": scipys}
    counts = {name: np.zeros((len(maps), 2), np.int64) for name in programs}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for name, program in programs.items():
        program(maps[0][0], maps[0][1][0], 18)
        for i, (found_HW, truth_AHW) in enumerate(maps):
            hit = np.zeros(int(found_HW.sum()), bool)
            for truth_HW in truth_AHW:
                times = []
                for _ in range(repeat):
                    start = time.perf_counter()
                    matched = program(found_HW, truth_HW, squared_reach(found_HW.shape, MAX_DISTANCE)) >= 0
                    times.append(time.perf_counter() - start)
                seconds[name].append(min(times))
                counts[name][i, 0] += int(matched.sum())
                hit |= matched
            counts[name][i, 1] = int(hit.sum())
    for name in programs:
        difference = 100 * (counts[name] / counts["exact"] - 1)
        pooled = 100 * (counts[name].sum(0) / counts["exact"].sum(0) - 1)
        ms = 1000 * np.array(seconds[name])
        log.info(
            "%-7s %3d pairs  ms median %7.2f mean %7.2f max %8.2f   "
            "recall count %7d (%+.3f %%, worst image %+.3f %%)   precision count %6d (%+.3f %%, worst image %+.3f %%)",
            *(name, len(ms), np.median(ms), ms.mean(), ms.max()),
            *(counts[name][:, 0].sum(), pooled[0], max(difference[:, 0], key=abs)),
            *(counts[name][:, 1].sum(), pooled[1], max(difference[:, 1], key=abs)),
        )
    ours_S, theirs_S = np.array(seconds["seglab"]), np.array(seconds["exact"])
    log.info(
        "minimum cost (exact) takes %.1f times as long as seglab in all, best of %d; median %.1f, %.1f to %.1f a pair",
        *(theirs_S.sum() / ours_S.sum(), repeat, np.median(theirs_S / ours_S)),
        *((theirs_S / ours_S).min(), (theirs_S / ours_S).max()),
    )


def image_counts(photo: Path) -> tuple[np.ndarray, int, float]:
    """Counts of one photo at all thresholds, its annotators, seconds for them."""
    soft_HW, truth_AHW = soft_boundaries(photo), truth_of(photo)
    start = time.perf_counter()
    counts = boundary_counts(soft_HW >= THRESHOLDS[:, None, None], truth_AHW)
    return np.stack(counts, axis=1), len(truth_AHW), time.perf_counter() - start


def sweep(chosen: list[Path], *, processes: int) -> None:
    """The whole benchmark, 99 thresholds and all annotators."""
    start = time.perf_counter()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(image_counts, chosen))
    wall, pairs = time.perf_counter() - start, 99 * sum(annotators for _, annotators, _ in results)
    log.info(
        "%d photos, 99 thresholds, %d pairs of maps, %d processes: %.1f s (all 100 photos at this rate: %.1f min); "
        "%.2f ms a pair and process, thinning included",
        *(len(chosen), pairs, processes, wall, wall / len(chosen) * 100 / 60),
        1000 * sum(seconds for _, _, seconds in results) / pairs,
    )
    numbers = summary(np.stack([counts for counts, _, _ in results]), THRESHOLDS)
    log.info("gradient of smoothed Lab: %s", "  ".join(f"{name} {value:.4f}" for name, value in numbers.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20, help="photos for the comparison")
    parser.add_argument("--sweep", type=int, default=20, help="photos for the whole benchmark, 0 = none")
    parser.add_argument("--part", default="val", choices=("train", "val", "test"))
    parser.add_argument("--threshold", type=float, default=0.2)
    parser.add_argument("--crop", type=int, default=96)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    chosen = photos(args.part)
    maps = [(thin(soft_boundaries(p) >= args.threshold), truth_of(p)) for p in chosen[: args.images]]
    if maps:
        check_exact(maps, size=args.crop)
        compare(maps, repeat=args.repeat)
    if args.sweep:
        sweep(chosen[: args.sweep], processes=args.processes)


if __name__ == "__main__":
    main()
