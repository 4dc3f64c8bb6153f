"""Features of superpixels, against the slow way to write them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import logm

from seglab.proposals.features import (
    REGULAR,
    descriptors,
    neighbour_means,
    pooled,
    second_order,
    superpixel_features,
)


@pytest.fixture
def scene():
    draw = np.random.default_rng(1)
    image = draw.integers(0, 256, (24, 30, 3), dtype=np.uint8)
    labels = (np.arange(24)[:, None] // 8 * 3 + np.arange(30)[None] // 10).astype(np.int32)
    edges = [(s, s + 1) for s in range(9) if s % 3 < 2] + [(s, s + 3) for s in range(6)]
    return image, labels, np.array(edges, np.int32)


def test_descriptors_are_finite_and_of_moderate_size(scene) -> None:
    values = descriptors(scene[0])
    assert values.shape == (14, 24, 30)
    assert np.isfinite(values).all()
    assert np.abs(values).max() < 10
    assert values[-2, 0, 0] == pytest.approx(0.5 / 30)
    assert values[-1, -1, 0] == pytest.approx(23.5 / 24)


def test_a_constant_image_has_no_texture() -> None:
    values = descriptors(np.full((16, 16, 3), 90, np.uint8))
    assert np.abs(values[3:-2]).max() < 1e-2


def test_second_order_is_the_logarithm_of_the_mean_outer_product(scene) -> None:
    image, labels, _ = scene
    values = descriptors(image)[:4]
    found = second_order(values, labels, count=9)
    rows, columns = np.triu_indices(4)
    for s in (0, 4, 8):
        points = values[:, labels == s].astype(np.float64)
        expected = logm(points @ points.T / points.shape[1] + REGULAR * np.eye(4))
        weight = np.where(rows == columns, 1, np.sqrt(2))
        assert found[s] == pytest.approx(expected[rows, columns] * weight, abs=1e-4)
        assert np.linalg.norm(found[s]) == pytest.approx(np.linalg.norm(expected), rel=1e-4)


def test_pooled_is_the_mean(scene) -> None:
    image, labels, _ = scene
    values = np.moveaxis(image, -1, 0).astype(np.float32)
    assert pooled(values, labels, count=9)[5] == pytest.approx(values[:, labels == 5].mean(1), rel=1e-6)


def test_neighbours_count_by_area_and_the_lonely_are_their_own() -> None:
    values, area = np.array([[1.0], [2.0], [6.0], [9.0]]), np.array([1, 1, 3, 1])
    found = neighbour_means(values, np.array([[0, 1], [0, 2]]), area)
    assert found[:, 0].tolist() == [5.0, 1.0, 1.0, 9.0]


def test_features_join_what_a_network_says(scene) -> None:
    image, labels, edges = scene
    plain = superpixel_features(image, labels, edges)
    assert plain.shape == (9, 105 + 14 + 14 + 12 + 1)
    assert plain.dtype == np.float32
    assert np.isfinite(plain).all()
    probabilities = np.full((3, 24, 30), 1 / 3, np.float32)
    more = superpixel_features(image, labels, edges, probabilities_KHW=probabilities)
    assert more.shape == (9, plain.shape[1] + 6)
    assert np.array_equal(more[:, : plain.shape[1]], plain)


def test_one_superpixel_is_enough() -> None:
    image = np.zeros((5, 5, 3), np.uint8)
    found = superpixel_features(image, np.zeros((5, 5), np.int32), np.zeros((0, 2), np.int32))
    assert found.shape[0] == 1
    assert np.isfinite(found).all()


def test_a_training_image_is_judged_by_the_network_that_did_not_see_it(monkeypatch) -> None:
    import torch

    from seglab.proposals import network

    class Maps:
        size = 8

        def __init__(self, folder: str) -> None:
            self.sure = float(folder)

        def __call__(self, image: torch.Tensor) -> torch.Tensor:
            assert image.shape == (1, 3, 8, 8)
            return torch.tensor([self.sure, 0.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)

    monkeypatch.setattr(network, "_maps", lambda folder, runtime: Maps(folder))
    image = np.zeros((6, 9, 3), np.uint8)
    judges = network.Judges(["0", "1", "2"], {})
    for fold, sure in ((None, 0.0), (0, 1.0), (1, 2.0)):
        found = judges.probabilities(image, fold=fold)
        assert found.shape == (2, 6, 9)
        assert found[0] == pytest.approx(np.full((6, 9), 1 / (1 + np.exp(-sure))), rel=1e-5)
    assert network.Judges(["3"], {}).probabilities(image, fold=1)[0, 0, 0] > 0.9
    assert network.Judges([], {}).probabilities(image, fold=None) is None
