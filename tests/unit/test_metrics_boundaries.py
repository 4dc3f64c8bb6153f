"""Contour precision and recall: matching, thinning and counts against worked examples and against SciPy and skimage."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching, maximum_flow
from skimage.morphology import thin as skimage_thin

from seglab.metrics.boundaries import boundary_counts, segment_boundaries, thin, truth_boundaries
from seglab.metrics.matching import match, squared_reach

REACH2 = squared_reach((321, 481), 0.0075)


def distances2(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Squared distances of all pairs of pixels, [P, Q]."""
    a, b = np.argwhere(found), np.argwhere(truth)
    return ((a[:, None] - b[None]) ** 2).sum(-1)


def pairs_of(found: np.ndarray, truth: np.ndarray, reach2: int) -> int:
    """Number of pairs, after checking that they are pairs: one to one, of boundary pixels, within reach."""
    partner = match(found, truth, reach2=reach2)
    assert partner.dtype == np.int32
    assert (partner[~found] == -1).all()
    place, other = np.flatnonzero(partner.ravel() >= 0), partner[partner >= 0]
    assert len(set(other.tolist())) == len(other)
    assert truth.ravel()[other].all()
    (y, x), (v, u) = np.divmod(place, found.shape[1]), np.divmod(other, found.shape[1])
    assert ((y - v) ** 2 + (x - u) ** 2 <= reach2).all()
    return len(other)


def random_maps(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    shape = tuple(rng.integers(1, 16, 2))
    return rng.random(shape) < rng.random() ** 2, rng.random(shape) < rng.random() ** 2


def test_as_many_pairs_as_scipy() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        (found, truth), reach2 = random_maps(rng), int(rng.integers(0, 20))
        near = distances2(found, truth) <= reach2
        expected = (maximum_bipartite_matching(csr_matrix(near)) >= 0).sum() if near.size else 0
        assert pairs_of(found, truth, reach2) == expected == pairs_of(truth, found, reach2)


def test_as_many_pairs_as_the_assignment_with_outliers() -> None:
    """The benchmark's problem: every pixel has a partner or pays more than any sum of distances."""
    rng = np.random.default_rng(1)
    for _ in range(60):
        (found, truth), reach2 = random_maps(rng), int(rng.integers(0, 20))
        square = distances2(found, truth)
        cost = np.full((len(square), square.shape[1] + len(square)), 1e5)
        cost[:, : square.shape[1]] = np.where(square <= reach2, np.sqrt(square), 1e9)
        rows, columns = linear_sum_assignment(cost)
        assert pairs_of(found, truth, reach2) == (cost[rows, columns] < 1e5).sum()


def test_near_pairs_are_broken_up_for_more_pairs() -> None:
    # o and x at distance 1 are joined first, which leaves one o and one x that only this pair's ends can reach.
    #        columns 0123456:  o..x o..x  with reach 3: o0-x3, o4-x7; the near pair is x3-o4.
    found, truth = np.zeros((1, 8), bool), np.zeros((1, 8), bool)
    found[0, [0, 4]], truth[0, [3, 7]] = True, True
    assert match(found, truth, reach2=9)[0].tolist() == [3, -1, -1, -1, 7, -1, -1, -1]
    assert match(found, truth, reach2=8)[0].tolist() == [-1, -1, -1, -1, 3, -1, -1, -1]


def test_a_chain_of_any_length_needs_no_stack() -> None:
    """Every near pair is wrong: the only full matching moves all of them along."""
    count = 40_000
    found, truth = np.zeros((1, 7 * count), bool), np.zeros((1, 7 * count), bool)
    found[0, ::7], truth[0, 4::7] = True, True  # found is 4 left of one true pixel and 3 right of another
    found[0, 0], truth[0, -3] = True, True
    assert pairs_of(found, truth, 16) == count
    assert pairs_of(truth, found, 16) == count


def test_limit_of_the_distance_is_exact() -> None:
    assert REACH2 == 18 == squared_reach((481, 321), 0.0075)  # 0.0075 * 578.28 = 4.337, squared 18.81
    assert squared_reach((3, 4), 0.2) == 1  # 0.2 * 5 = 1 pixel, though 0.2**2 * 25 in binary is above 1
    assert squared_reach((30, 40), 0.06) == 9
    assert squared_reach((300, 400), 0.0141) == 49  # 7.05 pixels
    assert squared_reach((600, 800), 0.007) == 49  # exactly 7, which is below 7 in binary
    for dy, dx in ((0, 4), (3, 3), (4, 1), (4, 2), (0, 5), (-3, 3), (-4, -1), (-4, 2)):
        found, truth = np.zeros((321, 481), bool), np.zeros((321, 481), bool)
        found[160, 240], truth[160 + dy, 240 + dx] = True, True
        assert pairs_of(found, truth, REACH2) == (dy * dy + dx * dx <= 18)


def test_pixels_at_the_border_do_not_reach_around_it() -> None:
    found, truth = np.zeros((6, 9), bool), np.zeros((6, 9), bool)
    found[2, 8], truth[3, 0] = True, True
    assert pairs_of(found, truth, 9) == 0


@pytest.mark.parametrize("limit", [-0.1, 1, float("nan"), True, "0.1", float("inf")])
def test_limit_must_be_a_share(limit: object) -> None:
    with pytest.raises(ValueError, match=r"max_distance=.*0 or more and below 1"):
        squared_reach((3, 4), limit)


def test_thinning_is_that_of_skimage() -> None:
    rng = np.random.default_rng(2)
    for _ in range(300):
        mask = rng.random(rng.integers(1, 24, 2)) < rng.random()
        assert np.array_equal(thin(mask), skimage_thin(mask))
    for sigma in (1, 2, 4):
        noise = gaussian_filter(rng.standard_normal((90, 120)), sigma)
        for part in (0.2, 0.5, 0.9):
            mask = noise > np.quantile(noise, part)
            assert np.array_equal(thin(mask), skimage_thin(mask))
    assert np.array_equal(thin(np.ones((40, 60), bool)), skimage_thin(np.ones((40, 60), bool)))


def test_every_neighbourhood_is_thinned_as_in_skimage() -> None:
    """All 256 neighbourhoods of a pixel, as islands."""
    codes = (np.arange(256)[:, None] >> np.arange(8)) & 1
    cells = np.insert(codes, 4, 1, axis=1).reshape(256, 3, 3).astype(bool)
    mask = np.pad(cells, ((0, 0), (1, 1), (1, 1))).transpose(1, 0, 2).reshape(5, -1)
    assert np.array_equal(thin(mask), skimage_thin(mask))


def test_boundaries_by_hand() -> None:
    labels = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 2, 2, 2]])
    expected = np.array([[0, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]], bool)
    assert np.array_equal(segment_boundaries(labels), expected)
    assert not segment_boundaries(np.zeros((4, 5), np.uint8)).any()
    assert segment_boundaries(np.array([[3]])).tolist() == [[False]]
    assert segment_boundaries(np.array([[0, 1]], np.uint16)).tolist() == [[True, False]]


def test_ignored_pixels_make_no_boundary() -> None:
    labels = np.array([[0, -1, 1], [0, -1, 1], [0, 0, 1]])
    assert np.array_equal(segment_boundaries(labels), [[0, 0, 0], [0, 0, 0], [0, 1, 0]])
    assert not segment_boundaries(np.where(np.eye(6, dtype=bool), -1, 4)).any()
    # With the diagonal ignored two regions meet nowhere.
    labels = np.add.outer(np.arange(6), np.arange(6)) > 5
    band = np.abs(np.add.outer(np.arange(6), np.arange(6)) - 5) <= 1
    assert not segment_boundaries(np.where(band, -1, labels.astype(int))).any()


def test_counts_by_hand() -> None:
    # Two annotators on a 30 x 40 image, reach 0.06 * 50 = 3 pixels.
    found, truth = np.zeros((1, 30, 40), bool), np.zeros((2, 30, 40), bool)
    found[0, 5, 5], found[0, 5, 8], found[0, 20, 20] = True, True, True
    truth[0, 5, 5], truth[1, 5, 11], truth[1, 25, 35], truth[1, 8, 5] = True, True, True, True
    counts = boundary_counts(found, truth, max_distance=0.06)
    # Annotator 0 matches (5, 5); annotator 1 matches (5, 8) to (5, 11) and (5, 5) to (8, 5); (20, 20) is nobody's.
    assert [c.tolist() for c in counts] == [[3], [4], [2], [3]]
    assert all(c.dtype == np.int64 for c in counts)


def test_a_pixel_serves_one_partner_of_each_annotator() -> None:
    found, truth = np.zeros((1, 30, 40), bool), np.zeros((2, 30, 40), bool)
    found[0, 5, 5], truth[:, 5, 4], truth[:, 5, 6] = True, True, True
    assert [int(c[0]) for c in boundary_counts(found, truth, max_distance=0.02)] == [2, 4, 1, 1]


def test_predictions_are_thinned_and_truth_is_not() -> None:
    maps, truth = np.zeros((1, 40, 60), bool), np.zeros((1, 40, 60), bool)
    maps[0, 10:13, 5:50], truth[0, 11:13, 5:50] = True, True
    line = int(skimage_thin(maps[0]).sum())
    counts = boundary_counts(maps, truth)
    assert (counts.found[0], counts.truth[0]) == (line, 90)
    assert counts.matched_precision[0] == line
    assert boundary_counts(maps, truth, thin=False).found[0] == 135


def test_empty_maps_and_empty_truth() -> None:
    line = np.zeros((2, 20, 30), bool)
    line[1, 10] = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [c.tolist() for c in boundary_counts(line, line[:1])] == [[0, 0], [0, 0], [0, 0], [0, 30]]
        assert [c.tolist() for c in boundary_counts(line, line[1:])] == [[0, 30], [30, 30], [0, 30], [0, 30]]
        assert [c.tolist() for c in boundary_counts(line, line[:0])] == [[0, 0], [0, 0], [0, 0], [0, 30]]
        assert [c.tolist() for c in boundary_counts(line[:0], line)] == [[], [], [], []]


def test_maps_are_counted_each_for_itself() -> None:
    """Equal maps, equal lines under different maps, and maps in any order give what each gives alone."""
    rng = np.random.default_rng(3)
    soft = gaussian_filter(rng.random((60, 80)), 2)
    soft = (soft - soft.min()) / np.ptp(soft)
    maps = np.concatenate([soft >= np.array([0.3, 0.3, 0.5, 0.7, 1.1])[:, None, None], (soft >= 0.5)[None]])
    truth = np.stack([segment_boundaries((soft > t).astype(int)) for t in (0.4, 0.6)])
    together = np.stack(boundary_counts(maps, truth), 1)
    alone = np.concatenate([np.stack(boundary_counts(one[None], truth), 1) for one in maps])
    thinned = np.stack(boundary_counts(np.stack([skimage_thin(one) for one in maps]), truth, thin=False), 1)
    assert np.array_equal(together, alone)
    assert np.array_equal(together, thinned)
    assert np.array_equal(together[2], together[5])


@pytest.mark.parametrize(
    ("maps", "truth", "what"),
    [
        (np.zeros((1, 4, 5)), np.zeros((1, 4, 5), bool), "maps_KHW of type float64"),
        (np.zeros((1, 4, 5), bool), np.zeros((4, 5), bool), r"truth_AHW of type bool and shape \(4, 5\)"),
        (np.zeros((1, 4, 5), bool), np.zeros((1, 5, 4), bool), "expected one size"),
    ],
)
def test_wrong_maps_are_named(maps: np.ndarray, truth: np.ndarray, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        boundary_counts(maps, truth)
    with pytest.raises(ValueError, match="expected integers"):
        segment_boundaries(np.zeros((2, 2)))


def test_real_annotations(data_root: Path) -> None:
    """Stored boundaries are those of the segments; whole drawings match in SciPy's number of pairs."""
    from seglab.data.mat import read_bsds

    folder = data_root / "BSDS500" / "data" / "groundTruth" / "val"
    for file in sorted(folder.glob("*.mat"))[:4]:
        segments, drawn = read_bsds(file)
        assert np.array_equal(truth_boundaries(segments), drawn)
        for found, truth in ((drawn[0], drawn[1]), (segment_boundaries(segments[2]), drawn[0])):
            assert pairs_of(found, truth, REACH2) == flow(found, truth)


def flow(found: np.ndarray, truth: np.ndarray) -> int:
    """Most pairs, as SciPy's maximum flow through pixels of capacity one."""
    from scipy.spatial import KDTree

    a, b = np.argwhere(found), np.argwhere(truth)
    near = KDTree(a).sparse_distance_matrix(KDTree(b), np.sqrt(REACH2 + 0.5), output_type="coo_matrix")
    sink = 1 + len(a) + len(b)
    rows = np.concatenate([np.zeros(len(a), int), 1 + near.row, 1 + len(a) + np.arange(len(b))])
    columns = np.concatenate([1 + np.arange(len(a)), 1 + len(a) + near.col, np.full(len(b), sink)])
    graph = csr_matrix((np.ones(len(rows), np.int32), (rows, columns)), shape=(sink + 1, sink + 1))
    return int(maximum_flow(graph, 0, sink).flow_value)
