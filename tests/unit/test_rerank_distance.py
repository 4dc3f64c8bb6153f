"""Reduced proposals against the rule of the coarse grid, and the divergence by hand."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from seglab.coarse import class_shares
from seglab.rerank.distance import kl_directions, reduce, symmetric_kl


def outputs(seed: int, *shape: int) -> np.ndarray:
    p = np.random.default_rng(seed).dirichlet(np.ones(shape[0]), shape[1:])
    return np.moveaxis(p, -1, 0)


@pytest.mark.parametrize("size", [(30, 41), (13, 13), (5, 60)])
def test_reduced_proposals_are_the_shares_of_the_coarse_grid(size):
    labels_MHW = np.random.default_rng(1).integers(0, 4, (3, *size)).astype(np.uint8)
    labels_MHW[0, 0] = 255
    q_MKGG = reduce(labels_MHW, classes=4, grid=(13, 13))
    for q_KGG, labels_HW in zip(q_MKGG, labels_MHW, strict=True):
        np.testing.assert_array_equal(q_KGG, class_shares(labels_HW, classes=4)[0])


@pytest.mark.parametrize("bad", [4, 200, 254])
def test_a_label_that_is_no_class_is_refused(bad):
    labels_MHW = np.zeros((2, 4, 4), np.uint8)
    labels_MHW[1, 2, 2] = bad
    with pytest.raises(ValueError, match=f"0 to {bad}: expected 0 to 3"):
        reduce(labels_MHW, classes=4, grid=(2, 2))


def test_distance_by_hand_of_two_cells_and_two_classes():
    e, b = 0.1, 0.02
    p_KGG = np.array([[[0.75, 0.5]], [[0.25, 0.5]]])
    q_MKGG = np.array([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    forward = backward = 0.0
    for p, q in (((0.75, 0.25), (1.0, 0.0)), ((0.5, 0.5), (0.0, 1.0))):
        for x, y in zip(p, q, strict=True):
            x, y = (x + e) / (1 + 2 * e), (y + e) / (1 + 2 * e)
            forward += x * log(x / y)
            backward += y * log(y / x)
    assert kl_directions(p_KGG, q_MKGG, epsilon=e)[0] == pytest.approx([forward, backward])
    total = forward + backward + b * 1.0  # the proposal has one cell of background
    assert symmetric_kl(p_KGG, q_MKGG, epsilon=e, background=b) == pytest.approx([total])


def test_distance_is_zero_only_for_the_same_distribution():
    p_KGG = outputs(0, 5, 13, 13)
    other = p_KGG.copy()
    other[:2, 3, 4] = other[1::-1, 3, 4]
    found = symmetric_kl(p_KGG, np.stack([p_KGG, other]), epsilon=1e-6, background=0)
    assert found[0] == 0
    assert found[1] > 1e-6


def test_distance_does_not_depend_on_the_order_of_proposals_or_classes():
    p_KGG = outputs(2, 4, 6, 6)
    q_MKGG = reduce(np.random.default_rng(3).integers(0, 4, (5, 30, 30)), classes=4, grid=(6, 6))
    found = symmetric_kl(p_KGG, q_MKGG, epsilon=1e-3, background=0.02)
    order = [3, 0, 4, 1, 2]
    np.testing.assert_array_equal(symmetric_kl(p_KGG, q_MKGG[order], epsilon=1e-3, background=0.02), found[order])
    swapped = [0, 3, 2, 1]
    again = symmetric_kl(p_KGG[swapped], q_MKGG[:, swapped], epsilon=1e-3, background=0.02)
    np.testing.assert_allclose(again, found, rtol=1e-12)


def test_the_background_term_counts_cells_of_background_and_can_be_switched_off():
    p_KGG = np.full((3, 2, 2), 1 / 3)
    q_MKGG = np.zeros((2, 3, 2, 2))
    q_MKGG[0, 0], q_MKGG[1, 1] = 1.0, 1.0
    with_term = symmetric_kl(p_KGG, q_MKGG, epsilon=1e-3, background=0.02)
    assert with_term[0] - with_term[1] == pytest.approx(4 * 0.02)
    without = symmetric_kl(p_KGG, q_MKGG, epsilon=1e-3, background=0)
    assert without[0] == pytest.approx(without[1])


def test_hard_proposals_and_hard_outputs_have_finite_distances():
    q_MKGG = reduce(np.array([np.zeros((20, 20)), np.ones((20, 20))]).astype(np.uint8), classes=3, grid=(13, 13))
    assert np.isfinite(symmetric_kl(q_MKGG[0], q_MKGG, epsilon=1e-6, background=0.02)).all()


@pytest.mark.parametrize("epsilon", [0, -1e-3, float("nan")])
def test_epsilon_has_to_be_above_zero(epsilon):
    with pytest.raises(ValueError, match="expected a number above 0"):
        symmetric_kl(outputs(0, 2, 2, 2), outputs(1, 2, 2, 2)[None], epsilon=epsilon)


def test_outputs_that_are_no_probabilities_or_of_another_grid_are_refused():
    p_KGG = outputs(0, 3, 2, 2)
    with pytest.raises(ValueError, match="negative or not finite"):
        symmetric_kl(np.log(p_KGG), p_KGG[None], epsilon=1e-3)
    with pytest.raises(ValueError, match=r"expected \[K,G,G\] and \[M,K,G,G\]"):
        symmetric_kl(p_KGG, outputs(0, 3, 3, 3)[None], epsilon=1e-3)
