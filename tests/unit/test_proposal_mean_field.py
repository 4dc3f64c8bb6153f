"""Mean field on the graph of superpixels."""

from __future__ import annotations

import numpy as np
import pytest
from potts import all_labellings, grid_energy, random_energy

from seglab.proposals.adjacency import adjacency
from seglab.proposals.energy import Energy
from seglab.proposals.mean_field import free_energy, mean_field, update


@pytest.mark.parametrize("damping", [0.0, 0.5, 0.9])
def test_marginals_sum_to_one(damping):
    energy = grid_energy(np.random.default_rng(0), side=6, classes=4, strength=2.0)
    labels, q = mean_field(energy, iterations=20, damping=damping)
    assert q.shape == (36, 4)
    assert (q >= 0).all()
    np.testing.assert_allclose(q.sum(1), 1, rtol=1e-12)
    assert np.array_equal(labels, q.argmax(1))


def test_without_weights_it_is_the_softmax_of_the_unary_costs():
    energy = grid_energy(np.random.default_rng(1), side=5, classes=3, strength=0.0)
    labels, q = mean_field(energy, iterations=5, damping=0.3)
    expected = np.exp(-energy.unary_SK)
    np.testing.assert_allclose(q, expected / expected.sum(1, keepdims=True), rtol=1e-12)
    assert np.array_equal(labels, energy.unary_SK.argmin(1))


@pytest.mark.parametrize("damping", [0.0, 0.4, 0.95])
@pytest.mark.parametrize("strength", [0.5, 3.0, 30.0])
def test_free_energy_never_rises(strength, damping):
    energy = grid_energy(np.random.default_rng(int(strength)), side=7, classes=4, strength=strength)
    near = adjacency(energy.edges_E2, 49)
    q = np.random.default_rng(2).dirichlet(np.ones(4), 49)
    values = [free_energy(energy, q)]
    for _ in range(30):
        update(energy, near, q, damping=damping)
        values.append(free_energy(energy, q))
    assert (np.diff(values) <= 1e-9 * (1 + np.abs(values[1:]))).all()
    assert values[-1] < values[0]


def test_free_energy_bounds_the_log_partition_function():
    rng = np.random.default_rng(4)
    for _ in range(30):
        energy = random_energy(rng, superpixels=5, classes=3)
        _, unary, pair = all_labellings(energy)
        log_z = np.log(np.exp(-(unary + pair)).sum())
        _, q = mean_field(energy, iterations=200, damping=0.0)
        assert free_energy(energy, q) >= -log_z - 1e-9


def test_free_energy_of_a_labelling_is_its_energy():
    energy = grid_energy(np.random.default_rng(5), side=4, classes=3, strength=1.0)
    labels = np.random.default_rng(6).integers(0, 3, 16)
    assert free_energy(energy, np.eye(3)[labels]) == pytest.approx(energy.of(labels))


def test_it_ends_at_a_fixed_point():
    energy = grid_energy(np.random.default_rng(7), side=6, classes=3, strength=1.0)
    _, q = mean_field(energy, iterations=1000, damping=0.0)
    assert update(energy, adjacency(energy.edges_E2, 36), q.copy()) <= 1e-6


def test_costs_of_any_size_give_finite_marginals():
    energy = Energy(np.array([[1e5, 0.0, -1e5], [3e4, 3e4, 3e4]]), np.array([[0, 1]]), np.array([1e6]))
    labels, q = mean_field(energy, iterations=10, damping=0.0)
    assert np.isfinite(q).all()
    assert labels.tolist() == [2, 2]


def test_one_superpixel():
    labels, q = mean_field(Energy(np.array([[2.0, 1.0]]), np.zeros((0, 2), int), np.zeros(0)), iterations=3, damping=0)
    assert labels.tolist() == [1]
    np.testing.assert_allclose(q, [[1 / (1 + np.e), np.e / (1 + np.e)]])


@pytest.mark.parametrize(
    ("iterations", "damping", "key"),
    [
        (0, 0.0, "iterations"),
        (1.5, 0.0, "iterations"),
        (True, 0.0, "iterations"),
        (1, 1.0, "damping"),
        (1, -0.1, "damping"),
        (1, float("nan"), "damping"),
        (1, True, "damping"),
    ],
)
def test_settings_have_ranges(iterations, damping, key):
    with pytest.raises(ValueError, match=rf"proposals\.{key}="):
        mean_field(Energy(np.zeros((1, 2)), np.zeros((0, 2), int), np.zeros(0)), iterations=iterations, damping=damping)
