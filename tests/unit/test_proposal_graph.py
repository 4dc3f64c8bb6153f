"""Superpixels, their graph and the energy on it, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2lab
from skimage.measure import label

from seglab.proposals.adjacency import adjacency
from seglab.proposals.energy import Energy
from seglab.proposals.graph import contrast_weights, region_graph
from seglab.proposals.superpixels import superpixels


def photo(height: int = 60, width: int = 80, seed: int = 0) -> np.ndarray:
    """Blocks of colour under noise, uint8 [H,W,3]."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 200, (height // 20, width // 20, 3))
    image = np.kron(blocks, np.ones((20, 20, 1), int)) + rng.integers(0, 10, (height, width, 3))
    return image.astype(np.uint8)


@pytest.mark.parametrize("kind", ["photo", "grey", "constant", "black"])
def test_superpixels_are_connected_and_numbered_without_gap(kind):
    image = photo()
    if kind == "grey":
        image = np.repeat(image[..., :1], 3, 2)
    elif kind in ("constant", "black"):
        image = np.full_like(image, 0 if kind == "black" else 130)
    labels = superpixels(image, count=40, compactness=10.0)
    count = labels.max() + 1
    assert labels.dtype == np.int32
    assert labels.shape == image.shape[:2]
    assert 10 <= count <= 60
    assert np.array_equal(np.unique(labels), np.arange(count))
    assert label(labels, background=-1, connectivity=1).max() == count
    assert (np.diff([np.flatnonzero(labels.ravel() == s)[0] for s in range(count)]) > 0).all()


def test_superpixels_follow_colours():
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 17:] = 255
    labels = superpixels(image, count=16, compactness=5.0)
    dark = np.bincount(labels.ravel(), (image[..., 0] == 0).ravel()) / np.bincount(labels.ravel())
    # a blur of one pixel may move a boundary by one pixel
    assert (np.minimum(dark, 1 - dark) < 0.2).all()


def test_one_superpixel_has_no_edges():
    image = photo()
    labels = superpixels(image, count=1, compactness=10.0)
    assert labels.max() == 0
    graph = region_graph(labels, image)
    assert graph.edges_E2.shape == (0, 2)
    assert contrast_weights(graph, beta=None, floor=0.1).shape == (0,)
    assert graph.area_S.tolist() == [60 * 80]


def test_one_pixel():
    graph = region_graph(superpixels(np.full((1, 1, 3), 7, np.uint8), count=1, compactness=1.0), np.ones((1, 1, 3)))
    assert graph.area_S.tolist() == [1]


@pytest.mark.parametrize("count", [0, -1, 1201, 2.5, True, None])
def test_superpixels_name_the_size_and_the_most(count):
    with pytest.raises(ValueError, match=r"proposals\.superpixels=.*1 to 1200 .* 80 x 60 pixels"):
        superpixels(photo(), count=count, compactness=10.0)


@pytest.mark.parametrize("compactness", [0, -1.0, float("nan"), float("inf"), True])
def test_compactness_has_a_range(compactness):
    with pytest.raises(ValueError, match=r"proposals\.compactness="):
        superpixels(photo(), count=10, compactness=compactness)


@pytest.mark.parametrize("image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)])
def test_superpixels_need_an_rgb_image(image):
    with pytest.raises(ValueError, match="expected uint8"):
        superpixels(image, count=1, compactness=10.0)


def naive_graph(labels, image):
    """Edges with lengths, areas and mean colours by loops over pixels."""
    lengths: dict[tuple[int, int], int] = {}
    height, width = labels.shape
    for i in range(height):
        for j in range(width):
            for di, dj in ((0, 1), (1, 0)):
                if i + di < height and j + dj < width and labels[i, j] != labels[i + di, j + dj]:
                    pair = tuple(sorted((int(labels[i, j]), int(labels[i + di, j + dj]))))
                    lengths[pair] = lengths.get(pair, 0) + 1
    lab = rgb2lab(image)
    colours = [lab[labels == s].mean(0) for s in range(labels.max() + 1)]
    return sorted(lengths.items()), [int((labels == s).sum()) for s in range(labels.max() + 1)], np.array(colours)


@pytest.mark.parametrize("seed", range(5))
def test_graph_equals_plain_loops(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (11, 7, 3), dtype=np.uint8)
    labels = rng.integers(0, 9, (11, 7)) if seed else superpixels(image, count=8, compactness=10.0)
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    graph = region_graph(labels, image)
    pairs, areas, colours = naive_graph(labels, image)
    assert [(tuple(e), n) for e, n in zip(graph.edges_E2.tolist(), graph.length_E.tolist(), strict=True)] == pairs
    assert graph.area_S.tolist() == areas
    assert graph.edges_E2.dtype == np.int32
    np.testing.assert_allclose(graph.colour_S3, colours, rtol=1e-10, atol=1e-10)


def test_graph_needs_every_number_and_one_size():
    image = np.zeros((2, 2, 3), np.uint8)
    for labels in (np.array([[0, 2], [2, 0]]), np.array([[0, 10**9], [0, 0]])):
        with pytest.raises(ValueError, match="every number occurs"):
            region_graph(labels, image)
    with pytest.raises(ValueError, match="expected \\[H, W\\]"):
        region_graph(np.zeros((2, 3), int), image)
    for labels in (np.zeros((2, 2)), np.array([[0, -1], [0, 0]])):
        with pytest.raises(ValueError, match="whole numbers from 0"):
            region_graph(labels, image)


def test_contrast_weights_are_the_formula():
    image = photo()
    graph = region_graph(superpixels(image, count=30, compactness=10.0), image)
    square = np.array([((graph.colour_S3[s] - graph.colour_S3[t]) ** 2).sum() for s, t in graph.edges_E2])
    beta = 1 / (2 * square.mean())
    expected = graph.length_E * (0.2 + 0.8 * np.exp(-beta * square))
    np.testing.assert_allclose(contrast_weights(graph, beta=None, floor=0.2), expected, rtol=1e-12)
    np.testing.assert_allclose(contrast_weights(graph, beta=beta, floor=0.2), expected, rtol=1e-12)
    assert np.array_equal(contrast_weights(graph, beta=0.0, floor=0.0), graph.length_E)
    assert np.array_equal(contrast_weights(graph, beta=1e9, floor=1.0), graph.length_E)


@pytest.mark.parametrize("value", [0, 77, 255])
def test_weights_of_a_constant_image_are_lengths(value):
    image = np.full((40, 40, 3), value, np.uint8)
    graph = region_graph(superpixels(image, count=9, compactness=10.0), image)
    assert len(graph.edges_E2) > 0
    np.testing.assert_allclose(contrast_weights(graph, beta=None, floor=0.0), graph.length_E, rtol=1e-9)


@pytest.mark.parametrize(
    ("beta", "floor", "key"),
    [(-1.0, 0.0, "beta"), (float("nan"), 0.0, "beta"), (True, 0.0, "beta"), (None, 1.5, "floor"), (None, -1, "floor")],
)
def test_contrast_weights_have_ranges(beta, floor, key):
    graph = region_graph(np.array([[0, 1]]), np.zeros((1, 2, 3), np.uint8))
    with pytest.raises(ValueError, match=rf"proposals\.{key}="):
        contrast_weights(graph, beta=beta, floor=floor)


def test_adjacency_has_every_edge_from_both_ends():
    edges = np.array([[2, 0], [1, 2], [0, 1], [3, 1]], np.int32)
    near = adjacency(edges, 5)
    for s in range(5):
        arcs = range(near.start_S1[s], near.start_S1[s + 1])
        found = sorted((int(near.other_A[a]), int(near.edge_A[a])) for a in arcs)
        expected = sorted((int(e[0] + e[1] - s), i) for i, e in enumerate(edges) if s in e)
        assert found == expected


def test_energy_is_its_formula():
    rng = np.random.default_rng(3)
    unary, edges = rng.standard_normal((4, 3)), np.array([[0, 1], [3, 1], [2, 3]])
    energy = Energy(unary.astype(np.float32), edges.astype(np.int32), np.array([1.0, 2.0, 4.0]))
    labels = np.array([2, 0, 1, 0], np.uint8)
    expected = sum(np.float32(unary[s, k]) for s, k in enumerate(labels)) + 1.0 + 0.0 + 4.0
    assert energy.of(labels) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("unary", "edges", "weights", "message"),
    [
        (np.zeros((0, 3)), [], [], "unary costs"),
        (np.zeros(3), [], [], "unary costs"),
        (np.full((2, 2), np.nan), [], [], "unary costs"),
        (np.full((2, 2), np.inf), [], [], "unary costs"),
        (np.zeros((2, 2)), [[0, 1, 1]], [1.0], "edges"),
        (np.zeros((2, 2)), [[0.0, 1.0]], [1.0], "edges"),
        (np.zeros((2, 2)), [[0, 2]], [1.0], "edges between"),
        (np.zeros((2, 2)), [[1, 1]], [1.0], "to itself"),
        (np.zeros((2, 2)), [[0, 1], [1, 0]], [1.0, 1.0], "twice"),
        (np.zeros((2, 2)), [[0, 1]], [-1.0], "edge weights"),
        (np.zeros((2, 2)), [[0, 1]], [np.nan], "edge weights"),
        (np.zeros((2, 2)), [[0, 1]], [1.0, 1.0], "edge weights"),
    ],
)
def test_energy_refuses_what_does_not_fit(unary, edges, weights, message):
    with pytest.raises(ValueError, match=message):
        Energy(unary, np.array(edges), np.array(weights))


@pytest.mark.parametrize("labels", [[0, 1, 0], [0, 2], [-1, 0], [0.0, 1.0]])
def test_energy_refuses_what_is_no_labelling(labels):
    with pytest.raises(ValueError, match="labelling"):
        Energy(np.zeros((2, 2)), np.array([[0, 1]]), np.array([1.0])).of(np.array(labels))
