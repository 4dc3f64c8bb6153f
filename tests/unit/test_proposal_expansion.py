"""Cuts, alpha-expansion and what it builds on, against all labellings of small graphs."""

from __future__ import annotations

import numpy as np
import pytest
from potts import all_labellings, grid_energy, random_energy
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from seglab.proposals.adjacency import adjacency
from seglab.proposals.blocks import improve_blocks
from seglab.proposals.cut import Cut
from seglab.proposals.elimination import possible_classes
from seglab.proposals.energy import Energy
from seglab.proposals.expansion import alpha_expansion, expansion

STRENGTHS = (0.3, 1.0, 4.0)
ENOUGH = 1e-9
"""Rounding of sums of a few numbers around 1."""


def small_energies(count: int, *, classes: int, seed: int, most: int = 6):
    rng = np.random.default_rng(seed)
    for n in range(count):
        superpixels = int(rng.integers(1, most + 1))
        yield random_energy(rng, superpixels=superpixels, classes=classes, strength=STRENGTHS[n % len(STRENGTHS)])


def plain_expansion(energy: Energy, labels_S: np.ndarray) -> np.ndarray:
    """Expansions alone, until none helps."""
    cut, gained = Cut(energy.edges_E2, len(labels_S)), True
    while gained:
        gained = False
        for alpha in range(energy.unary_SK.shape[1]):
            found_S = expansion(energy, cut, labels_S, alpha=alpha)
            if energy.of(found_S) < energy.of(labels_S) - ENOUGH:
                labels_S, gained = found_S, True
    return labels_S


def test_two_classes_are_exact_from_anywhere():
    rng = np.random.default_rng(9)
    for energy in small_energies(400, classes=2, seed=1, most=8):
        labels, unary, pair = all_labellings(energy)
        start = labels[rng.integers(len(labels))]
        for found in (alpha_expansion(energy), alpha_expansion(energy, start_S=start)):
            assert energy.of(found) <= (unary + pair).min() + ENOUGH


@pytest.mark.parametrize(("classes", "most", "seed"), [(3, 6, 2), (4, 5, 3), (5, 4, 4)])
def test_small_graphs_are_solved_exactly(classes, most, seed):
    for energy in small_energies(300, classes=classes, seed=seed, most=most):
        _, unary, pair = all_labellings(energy)
        assert energy.of(alpha_expansion(energy)) == pytest.approx((unary + pair).min(), abs=ENOUGH)


def test_expansions_alone_seldom_miss_and_keep_the_bound():
    missed = 0
    for energy in small_energies(400, classes=3, seed=5):
        _, unary, pair = all_labellings(energy)
        best = int((unary + pair).argmin())
        found = energy.of(plain_expansion(energy, energy.unary_SK.argmin(1)))
        missed += found > unary[best] + pair[best] + ENOUGH
        assert found <= unary[best] + 2 * pair[best] + ENOUGH
    # 25 in 3200 on other seeds; more would be a fault, none would mean that this test sees too little
    assert missed <= 12


def test_an_expansion_is_the_best_of_its_moves():
    rng = np.random.default_rng(6)
    for energy in small_energies(150, classes=3, seed=7):
        superpixels = len(energy.unary_SK)
        start, alpha = rng.integers(0, 3, superpixels), int(rng.integers(3))
        takes = (np.arange(2**superpixels)[:, None] >> np.arange(superpixels)) & 1
        best = min(energy.of(np.where(take, alpha, start)) for take in takes)
        found = expansion(energy, Cut(energy.edges_E2, superpixels), start, alpha=alpha)
        assert np.all((found == start) | (found == alpha))
        assert energy.of(found) == pytest.approx(best, abs=ENOUGH)


@pytest.mark.parametrize("strength", [0.5, 2.0, 20.0])
def test_energy_never_rises_and_no_expansion_is_left(strength):
    rng = np.random.default_rng(int(10 * strength))
    for _ in range(5):
        energy = grid_energy(rng, side=12, classes=5, strength=strength)
        start = rng.integers(0, 5, 144)
        found = alpha_expansion(energy, start_S=start)
        assert energy.of(found) <= energy.of(start)
        cut = Cut(energy.edges_E2, 144)
        for alpha in range(5):
            assert energy.of(expansion(energy, cut, found, alpha=alpha)) >= energy.of(found) - ENOUGH
        for sweeps in (1, 2):
            assert energy.of(alpha_expansion(energy, start_S=start, sweeps=sweeps)) <= energy.of(start)
        assert np.array_equal(start, np.clip(start, 0, 4))


def test_the_start_is_not_changed_and_a_best_one_stays():
    energy = grid_energy(np.random.default_rng(0), side=6, classes=3, strength=1.0)
    start = np.zeros(36, np.int64)
    best = alpha_expansion(energy, start_S=start)
    assert not start.any()
    assert np.array_equal(alpha_expansion(energy, start_S=best), best)


def flow_by_scipy(cost_S, weight_E, edges_E2):
    """The least cost of whole-number costs by a flow through all superpixels: the flow plus the costs below 0."""
    count = len(cost_S)
    capacity = np.zeros((count + 2, count + 2), np.int32)
    capacity[count, :count], capacity[:count, count + 1] = np.maximum(cost_S, 0), np.maximum(-cost_S, 0)
    for (s, t), weight in zip(edges_E2, weight_E, strict=True):
        capacity[s, t] = capacity[t, s] = weight
    return maximum_flow(csr_array(capacity), count, count + 1).flow_value + np.minimum(cost_S, 0).sum()


@pytest.mark.parametrize("side", [1, 2, 7, 15])
def test_cuts_have_the_value_of_a_flow_through_the_whole_graph(side):
    rng = np.random.default_rng(side)
    for largest in (3, 50, 1000, 10**6):
        energy = grid_energy(rng, side=side, classes=2, strength=1.0)
        cost = rng.integers(-largest, largest + 1, side * side)
        weight = rng.integers(0, 40 if largest <= 1000 else largest, len(energy.edges_E2))
        x = Cut(energy.edges_E2, side * side).solve(cost.astype(float), weight.astype(float))
        differ = x[energy.edges_E2[:, 0]] != x[energy.edges_E2[:, 1]]
        # x = 1 is the sink's side and pays c > 0; a flow of the same value proves that no labelling costs less
        assert set(x.tolist()) <= {0, 1}
        assert cost[x == 1].sum() + weight[differ].sum() == flow_by_scipy(cost, weight, energy.edges_E2)


@pytest.mark.parametrize("factor", [1e-250, 1.0, 1e250])
@pytest.mark.parametrize("spread", [0, 2, 6])
def test_cuts_are_least_within_the_rounding(factor, spread):
    rng = np.random.default_rng(spread)
    for _ in range(100):
        energy = random_energy(rng, superpixels=int(rng.integers(2, 9)), classes=2)
        cost = (energy.unary_SK[:, 1] - energy.unary_SK[:, 0]) * factor
        weight = energy.weight_E * factor * 10.0 ** rng.integers(-spread, spread + 1, len(energy.weight_E))
        energy = Energy(np.stack([np.zeros(len(cost)), cost], 1), energy.edges_E2, weight)
        _, unary, pair = all_labellings(energy)
        found = energy.of(Cut(energy.edges_E2, len(cost)).solve(cost, weight).astype(int))
        # no more than the sum of |c| flows, but a decided neighbour brings in its edge
        flow = np.abs(cost).sum() + weight.sum() * (spread > 0)
        assert found <= (unary + pair).min() + (len(cost) + len(weight)) * flow / 2**29


@pytest.mark.parametrize("sign", [1, -1])
def test_costs_of_one_sign_that_no_superpixel_decides_alone(sign):
    edges, weight = np.array([[0, 1], [1, 2]]), np.array([1e6, 1e6])
    x = Cut(edges, 3).solve(sign * np.array([1e-9, 2e-9, 1e-9]), weight)
    assert x.tolist() == [sign < 0] * 3


def test_weights_beyond_int32_join_superpixels():
    rng = np.random.default_rng(14)
    for _ in range(200):
        energy = grid_energy(rng, side=4, classes=2, strength=1.0)
        cost, weight = energy.unary_SK[:, 0], np.where(rng.random(24) < 0.8, 1e15, 2.0)
        x = Cut(energy.edges_E2, 16).solve(cost, weight)
        one, other = energy.edges_E2[weight > 2].T
        assert np.array_equal(x[one], x[other])
        joined = np.full(24, 1e15)
        assert Cut(energy.edges_E2, 16).solve(cost, joined).tolist() == [cost.sum() < 0] * 16


def test_a_flow_turns_back_on_an_edge_beyond_int32():
    # 1 fills 0 first; what 2 gives has to go on against that, through 0 and 1 to 3
    edges, weight = np.array([[0, 1], [0, 2], [1, 3]]), np.full(3, 1e15)
    assert Cut(edges, 4).solve(np.array([1.0, -1.0, -1.0, 1.2]), weight).tolist() == [0, 0, 0, 0]


def test_small_costs_count_beside_great_ones():
    edges, weight = np.array([[0, 1], [2, 3]]), np.array([1.5e-9, 1e10])
    assert Cut(edges, 4).solve(np.array([-1e-9, 2e-10, 1e9, 1e9]), weight).tolist() == [1, 1, 0, 0]
    assert Cut(edges, 4).solve(np.array([1e-9, -2e-10, -1e9, -1e9]), weight).tolist() == [0, 0, 1, 1]


def test_large_graphs_are_cut_to_the_unit():
    rng = np.random.default_rng(15)
    for _ in range(30):
        energy = grid_energy(rng, side=15, classes=2, strength=1.0)
        cost, weight = rng.integers(-(10**5), 10**5 + 1, 225), rng.integers(0, 10**5, len(energy.edges_E2))
        x = Cut(energy.edges_E2, 225).solve(cost.astype(float), weight.astype(float))
        differ = x[energy.edges_E2[:, 0]] != x[energy.edges_E2[:, 1]]
        assert cost[x == 1].sum() + weight[differ].sum() == flow_by_scipy(cost, weight, energy.edges_E2)


def test_given_superpixels_keep_their_value():
    edges = np.array([[0, 1], [1, 2]])
    x = Cut(edges, 3).solve(np.array([-np.inf, 1.0, np.inf]), np.array([5.0, 2.0]))
    assert x.tolist() == [1, 1, 0]


@pytest.mark.parametrize("strength", [1e-6, 1.0, 1e6])
def test_costs_of_any_size(strength):
    rng = np.random.default_rng(11)
    for _ in range(30):
        small = random_energy(rng, superpixels=6, classes=3, strength=strength)
        for factor in (1e-9, 1.0, 1e12):
            energy = Energy(small.unary_SK * factor, small.edges_E2, small.weight_E * factor)
            _, unary, pair = all_labellings(energy)
            assert energy.of(alpha_expansion(energy)) == pytest.approx((unary + pair).min(), rel=1e-7)


def test_ties_end():
    energy = grid_energy(np.random.default_rng(0), side=8, classes=4, strength=0.0)
    flat = Energy(np.zeros_like(energy.unary_SK), energy.edges_E2, np.ones(len(energy.edges_E2)))
    found = alpha_expansion(flat, start_S=np.arange(64) % 4)
    assert flat.of(found) == 0


@pytest.mark.parametrize("classes", [1, 2, 3, 21])
def test_one_superpixel_and_no_edges(classes):
    unary = np.random.default_rng(classes).standard_normal((5, classes))
    for size in (1, 5):
        energy = Energy(unary[:size], np.zeros((0, 2), int), np.zeros(0))
        assert np.array_equal(alpha_expansion(energy), unary[:size].argmin(1))


@pytest.mark.parametrize("sweeps", [0, -1, 1.5, True])
def test_sweeps_have_a_range(sweeps):
    with pytest.raises(ValueError, match="sweeps="):
        alpha_expansion(Energy(np.zeros((2, 3)), np.zeros((0, 2), int), np.zeros(0)), sweeps=sweeps)


def test_elimination_leaves_a_best_labelling():
    left_out = 0
    for energy in small_energies(300, classes=3, seed=12):
        labels, unary, pair = all_labellings(energy)
        may = possible_classes(energy.unary_SK, energy.weight_E, adjacency(energy.edges_E2, len(energy.unary_SK)))
        allowed = may[np.arange(len(may)), labels].all(1)
        assert (unary + pair)[allowed].min() == pytest.approx((unary + pair).min(), abs=ENOUGH)
        left_out += (~may).sum()
    assert left_out > 300


def test_blocks_lower_the_energy_or_say_that_nothing_changed():
    rng = np.random.default_rng(13)
    changes = 0
    for energy in [grid_energy(rng, side=9, classes=6, strength=1.0) for _ in range(10)]:
        start, near = rng.integers(0, 6, 81), adjacency(energy.edges_E2, 81)
        found, changed = improve_blocks(start, energy.unary_SK, energy.weight_E, near, np.ones((81, 6), bool))
        assert energy.of(found) < energy.of(start) if changed else np.array_equal(found, start)
        changes += changed
        # a pair of neighbours is a block: the last pass leaves none that could be better together
        while changed:
            found, changed = improve_blocks(found, energy.unary_SK, energy.weight_E, near, np.ones((81, 6), bool))
        for s in range(81):
            for k in range(6):
                other = found.copy()
                other[s] = k
                assert energy.of(other) >= energy.of(found) - ENOUGH
    assert changes == 10
