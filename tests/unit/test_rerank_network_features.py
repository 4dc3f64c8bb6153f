"""Features from the coarse network against loops over cells, and classes that are missing."""

from __future__ import annotations

import numpy as np
import pytest

from seglab.rerank.distance import kl_directions, reduce
from seglab.rerank.network_features import network_feature_names, network_features


def example(classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    p_KGG = np.moveaxis(rng.dirichlet(np.ones(classes), (5, 5)), -1, 0)
    return p_KGG, reduce(rng.integers(0, classes, (3, 17, 23)), classes=classes, grid=(5, 5))


def test_features_are_the_sums_over_cells():
    p_KGG, q_MKGG = example()
    found = network_features(p_KGG, q_MKGG, epsilon=1e-3)
    np.testing.assert_array_equal(found[:, :2], kl_directions(p_KGG, q_MKGG, epsilon=1e-3))
    for m in range(3):
        for k in range(4):
            cells = [(p_KGG[k, i, j], q_MKGG[m, k, i, j]) for i in range(5) for j in range(5)]
            both = sum(p * q for p, q in cells)
            either = sum(p + q - p * q for p, q in cells)
            wanted = [both, either, (both + 1e-3) / (either + 1e-3), (either + 1e-3) / (both + 1e-3)]
            assert found[m, [2 + k, 6 + k, 10 + k, 14 + k]] == pytest.approx(wanted)


def test_intersections_and_unions_of_all_classes_add_up_to_twice_the_cells():
    found = network_features(*example(), epsilon=1e-3)
    np.testing.assert_allclose(found[:, 2:10].sum(1), 2 * 25)


def test_the_21_classes_have_86_features_with_a_name_each():
    p_KGG, q_MKGG = example(21)
    names = network_feature_names(21)
    assert network_features(p_KGG, q_MKGG, epsilon=1e-3).shape == (3, 86) == (3, len(set(names)))
    assert network_feature_names(["sky", "road"])[:4] == [
        "kl_network_proposal", "kl_proposal_network", "intersection_sky", "intersection_road",
    ]  # fmt: skip


def test_a_class_that_neither_has_agrees_and_one_that_only_one_has_is_finite():
    p_KGG, q_MKGG = np.zeros((3, 2, 2)), np.zeros((2, 3, 2, 2))
    p_KGG[0] = q_MKGG[0, 0] = q_MKGG[1, 1] = 1.0
    found = dict(zip(network_feature_names(3), network_features(p_KGG, q_MKGG, epsilon=1e-6).T, strict=True))
    assert found["iou_2"].tolist() == found["uoi_2"].tolist() == [1, 1]
    assert found["iou_0"].tolist() == [1, pytest.approx(0.001 / 4.001)]
    assert found["uoi_1"].tolist() == [1, pytest.approx(4001)]
    assert all(np.isfinite(values).all() for values in found.values())


def test_permuting_proposals_permutes_features():
    p_KGG, q_MKGG = example()
    found = network_features(p_KGG, q_MKGG, epsilon=1e-3)
    np.testing.assert_array_equal(network_features(p_KGG, q_MKGG[[2, 0, 1]], epsilon=1e-3), found[[2, 0, 1]])
