"""DivMBest: the guarantees hold for exact, approximate and useless solvers; exact solvers give the definition."""

from __future__ import annotations

import numpy as np
import pytest
from potts import all_labellings, grid_energy, random_energy

from seglab.proposals.divmbest import _Found, div_m_best
from seglab.proposals.energy import Energy
from seglab.proposals.expansion import alpha_expansion
from seglab.proposals.mean_field import mean_field

NONE = np.zeros((0, 2), int), np.zeros(0)
"""No edges."""


def expand(energy: Energy, start_S: np.ndarray | None) -> np.ndarray:
    return alpha_expansion(energy, start_S=start_S)


def enumerate_all(energy: Energy, start_S: np.ndarray | None) -> np.ndarray:
    labels, unary, pair = all_labellings(energy)
    return labels[int((unary + pair).argmin())]


def by_mean_field(energy: Energy, start_S: np.ndarray | None) -> np.ndarray:
    return mean_field(energy, iterations=5, damping=0.0)[0]


def useless(seed: int):
    rng = np.random.default_rng(seed)
    return lambda energy, start_S: rng.integers(0, energy.unary_SK.shape[1], len(energy.unary_SK))


def stubborn(energy: Energy, start_S: np.ndarray | None) -> np.ndarray:
    return np.zeros(len(energy.unary_SK), np.int64)


def agreements(labels_MS: np.ndarray, area_S: np.ndarray) -> np.ndarray:
    """Area on which each labelling agrees with those before it, summed over them."""
    return np.array([sum(area_S[y == z].sum() for z in labels_MS[:m]) for m, y in enumerate(labels_MS)])


def check(energy: Energy, solutions, *, count: int, diversity: float, area_S: np.ndarray) -> None:
    labels, augmented = solutions.labels_MS, solutions.augmented_M
    assert labels.shape == (count, len(energy.unary_SK))
    assert labels.dtype == np.int64
    assert len({tuple(row) for row in labels.tolist()}) == count
    assert (np.diff(augmented) >= 0).all()
    assert solutions.energy_M.tolist() == [energy.of(y) for y in labels]
    assert solutions.energy_M[0] == solutions.energy_M.min()
    assert augmented[0] == solutions.energy_M[0]
    # the diversity in force is the one asked for, or larger and never lowered
    agree = agreements(labels, area_S)
    assert (augmented >= solutions.energy_M + diversity * agree - 1e-9 * (1 + np.abs(augmented))).all()
    with np.errstate(invalid="ignore"):
        used = ((augmented - solutions.energy_M) / agree)[agree > 0]
    assert (np.diff(used) >= -1e-9 * (1 + used[1:])).all()


@pytest.mark.parametrize("solve", [expand, enumerate_all, by_mean_field, useless(0), stubborn])
def test_labellings_are_different_and_in_order(solve):
    rng = np.random.default_rng(1)
    for n in range(60):
        superpixels, classes = int(rng.integers(1, 6)), int(rng.integers(1, 4))
        energy = random_energy(rng, superpixels=superpixels, classes=classes, strength=(0.3, 1.0, 4.0)[n % 3])
        area = rng.uniform(0.5, 20, superpixels) if n % 2 else rng.integers(1, 50, superpixels)
        count, diversity = min(int(rng.integers(1, 10)), classes**superpixels), float(rng.choice([1e-6, 0.01, 0.3]))
        found = div_m_best(energy, count=count, diversity=diversity, area_S=area, solve=solve)
        check(energy, found, count=count, diversity=diversity, area_S=np.asarray(area, float))


@pytest.mark.parametrize("solve", [expand, by_mean_field, useless(2), stubborn])
def test_the_guarantees_hold_on_larger_graphs(solve):
    rng = np.random.default_rng(3)
    for diversity in (1e-4, 0.02, 1.0):
        energy, area = grid_energy(rng, side=8, classes=5, strength=1.0), rng.integers(1, 30, 64)
        found = div_m_best(energy, count=10, diversity=diversity, area_S=area, solve=solve)
        check(energy, found, count=10, diversity=diversity, area_S=area.astype(float))


def test_the_first_is_the_labelling_of_least_energy():
    rng = np.random.default_rng(4)
    for _ in range(100):
        energy = random_energy(rng, superpixels=5, classes=3)
        _, unary, pair = all_labellings(energy)
        found = div_m_best(energy, count=3, diversity=0.1, area_S=np.ones(5), solve=expand)
        assert found.energy_M[0] == pytest.approx((unary + pair).min(), abs=1e-9)


def test_an_exact_solver_gives_the_definition():
    rng, compared = np.random.default_rng(5), 0
    for _ in range(100):
        energy, area = random_energy(rng, superpixels=4, classes=3), rng.uniform(1, 5, 4)
        found = div_m_best(energy, count=3, diversity=0.5, area_S=area, solve=enumerate_all)
        agree = agreements(found.labels_MS, area)
        if not np.allclose(found.augmented_M, found.energy_M + 0.5 * agree):
            continue  # the diversity was raised
        labels, unary, pair = all_labellings(energy)
        for m in range(3):
            before = sum(((labels == y) @ area for y in found.labels_MS[:m]), np.zeros(len(labels)))
            values = unary + pair + 0.5 * before
            if not (found.labels_MS[:m] == labels[values.argmin()]).all(1).any():
                assert found.augmented_M[m] == pytest.approx(values.min(), abs=1e-9)
                compared += m > 0
    assert compared > 60


def test_all_labellings_that_there_are_can_be_asked_for():
    energy = random_energy(np.random.default_rng(6), superpixels=3, classes=3)
    for solve in (expand, stubborn, useless(7)):
        found = div_m_best(energy, count=27, diversity=0.1, area_S=np.ones(3), solve=solve)
        check(energy, found, count=27, diversity=0.1, area_S=np.ones(3))


def test_a_repeat_raises_the_diversity_for_the_rest_of_the_image():
    energy = Energy(np.array([[0.0, 1.0, 1.5], [0.0, 1.0, 1.5]]), *NONE)
    asked = []

    def solve(augmented, start_S):
        asked.append(float((augmented.unary_SK - energy.unary_SK).max()))
        return augmented.unary_SK.argmin(1)

    found = div_m_best(energy, count=3, diversity=0.3, area_S=np.ones(2), solve=solve)
    # 0.3 and 0.6 give the first again, 1.2 the second, then the first again; 2.4 gives the third
    assert asked == pytest.approx([0.0, 0.3, 0.6, 1.2, 1.2, 2.4])
    assert found.labels_MS.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert found.augmented_M.tolist() == pytest.approx([0.0, 2.0, 3.0])
    check(energy, found, count=3, diversity=0.3, area_S=np.ones(2))


def test_where_diversity_cannot_help_it_is_not_raised():
    # after both labellings of all 0 and all 1 every labelling agrees with them on the same area
    energy = Energy(np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 4.0]]), *NONE)
    found = div_m_best(energy, count=3, diversity=10.0, area_S=np.ones(3), solve=expand)
    assert found.labels_MS.tolist() == [[0, 0, 0], [1, 1, 1], [1, 0, 0]]
    assert found.augmented_M.tolist() == [0.0, 7.0, 1.0 + 10.0 * 3]


def test_a_better_labelling_found_late_takes_its_place():
    energy = Energy(np.array([[0.0, 5.0, 9.0], [0.0, 5.0, 9.0]]), *NONE)
    answers = iter([[2, 2], [1, 1], [0, 0], [1, 1], [2, 2]])
    given = []

    def solve(augmented, start_S):
        given.append(next(answers))
        return np.array(given[-1])

    found = div_m_best(energy, count=3, diversity=0.1, area_S=np.ones(2), solve=solve)
    # (1,1) beats (2,2) at the first step, then (0,0) beats it; what came after is solved again
    assert found.labels_MS.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert given == [[2, 2], [1, 1], [0, 0], [1, 1], [2, 2]]


def test_putting_in_order_keeps_the_best_first():
    energy = random_energy(np.random.default_rng(8), superpixels=5, classes=3)
    found = _Found(energy, np.arange(1.0, 6.0), 0.2)
    for seed in range(7):
        found.append(np.random.default_rng(seed).integers(0, 3, 5))
    found.put_in_order()
    assert found.energies[0] == min(found.energies)
    assert (np.diff(found.augmented()) >= 0).all()


def test_one_superpixel_has_as_many_labellings_as_classes():
    energy = Energy(np.array([[3.0, 1.0, 2.0]]), *NONE)
    found = div_m_best(energy, count=3, diversity=1e-9, area_S=np.array([50]), solve=expand)
    assert found.labels_MS.ravel().tolist() == [1, 2, 0]
    with pytest.raises(ValueError, match=r"proposals\.count=4: expected at most 3.*1 superpixels with 3 classes"):
        div_m_best(energy, count=4, diversity=1.0, area_S=np.array([50]), solve=expand)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"count": 0}, r"proposals\.count=0"),
        ({"count": 2.0}, r"proposals\.count=2\.0"),
        ({"count": True}, r"proposals\.count=True"),
        ({"diversity": 0}, r"proposals\.diversity=0"),
        ({"diversity": float("nan")}, r"proposals\.diversity=nan"),
        ({"diversity": -1.0}, r"proposals\.diversity=-1"),
        ({"area_S": np.ones(3)}, "areas"),
        ({"area_S": np.array([0.0, 1.0])}, "areas"),
        ({"solve": lambda energy, start_S: np.zeros(3, int)}, "labelling"),
        ({"solve": lambda energy, start_S: np.full(2, 7)}, "labelling"),
    ],
)
def test_what_is_wrong_is_named(changed, message):
    settings = {"count": 2, "diversity": 1.0, "area_S": np.ones(2), "solve": expand} | changed
    with pytest.raises(ValueError, match=message):
        div_m_best(Energy(np.zeros((2, 3)), *NONE), **settings)
