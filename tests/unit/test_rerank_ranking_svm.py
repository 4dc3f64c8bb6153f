"""The ranking machine: a planted ranking is found, costly mistakes weigh more, and sets that teach nothing work."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest

from seglab.rerank.ranking_svm import RankingSvm


def planted(images: int, *, noise: float, seed: int, dimensions: int = 12) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Accuracy is a linear function of the features, more or less; features of an image have an offset in common."""
    rng = np.random.default_rng(seed)
    weight_D = np.random.default_rng(99).normal(size=dimensions)
    features, accuracies = [], []
    for _ in range(images):
        x_MD = rng.normal(size=(rng.integers(2, 9), dimensions))
        utility_M = x_MD @ weight_D + noise * rng.normal(size=len(x_MD))
        accuracies.append(1 / (1 + np.exp(-utility_M / 4)))
        features.append((x_MD + 50 * rng.normal(size=dimensions)) * np.logspace(-3, 3, dimensions))
    return features, accuracies


def mean_of_chosen(machine: RankingSvm, features: list[np.ndarray], accuracies: list[np.ndarray]) -> float:
    return float(np.mean([a[machine.score(x).argmax()] for x, a in zip(features, accuracies, strict=True)]))


@pytest.mark.parametrize("loss", ["squared_hinge", "hinge"])
def test_a_planted_ranking_is_found(loss):
    machine = RankingSvm(loss=loss, C=1.0).fit(*planted(60, noise=0, seed=0))
    features, accuracies = planted(100, noise=0, seed=1)
    chance, best = np.mean([a.mean() for a in accuracies]), np.mean([a.max() for a in accuracies])
    assert mean_of_chosen(machine, features, accuracies) > best - 0.05 * (best - chance)


def test_a_noisy_ranking_beats_chance_and_the_first_with_a_C_of_its_own():
    machine = RankingSvm().fit(*planted(80, noise=3, seed=0))
    features, accuracies = planted(100, noise=3, seed=1)
    chance, best = np.mean([a.mean() for a in accuracies]), np.mean([a.max() for a in accuracies])
    assert machine.chosen_C in machine.candidates
    assert mean_of_chosen(machine, features, accuracies) > chance + 0.5 * (best - chance)


def test_C_is_the_one_that_chooses_best_on_images_left_out():
    features, accuracies = planted(40, noise=8, seed=3, dimensions=60)
    tested = planted(200, noise=8, seed=4, dimensions=60)
    found = RankingSvm(candidates=(1e-3, 1e3)).fit(features, accuracies)
    by_C = {C: mean_of_chosen(RankingSvm(C=C).fit(features, accuracies), *tested) for C in (1e-3, 1e3)}
    assert found.chosen_C == max(by_C, key=by_C.get), by_C


def test_C_may_be_chosen_on_a_part_of_the_images():
    features, accuracies = planted(30, noise=1, seed=5)
    machine = RankingSvm(choose_on=6).fit(features, accuracies)
    whole = RankingSvm(C=machine.chosen_C).fit(features, accuracies)
    np.testing.assert_array_equal(machine.weight_D, whole.weight_D)


def test_the_costlier_mistake_wins_where_two_images_contradict_each_other():
    features = [np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]])]

    def weight(first: float, second: float) -> float:
        accuracies = [np.array([0.1 + first, 0.1]), np.array([0.1 + second, 0.1])]
        return float(RankingSvm(C=1.0).fit(features, accuracies).weight_D[0])

    assert weight(0.8, 0.2) > 0.1
    assert weight(0.2, 0.8) == pytest.approx(-weight(0.8, 0.2), abs=1e-4)
    assert weight(0.5, 0.5) == pytest.approx(0, abs=1e-4)
    assert weight(0.8, 0.4) < weight(0.8, 0.2)


def test_a_single_pair_has_the_minimum_of_the_formula():
    C, lost = 2.0, 0.5
    machine = RankingSvm(C=C).fit([np.array([[3.0], [1.0]])], [np.array([0.9, 0.9 - lost])])
    # Standardised by their spread of 1 the difference is 2: min w^2/2 + C l (1 - 2 w)^2 lies at 4 C l / (1 + 8 C l).
    assert machine.weight_D == pytest.approx([4 * C * lost / (1 + 8 * C * lost)], rel=1e-3)


def test_permuting_proposals_permutes_scores_and_changes_no_weight():
    features, accuracies = planted(20, noise=1, seed=5)
    machine = RankingSvm(C=0.1).fit(features, accuracies)
    np.testing.assert_array_equal(machine.score(features[0][::-1]), machine.score(features[0])[::-1])
    turned = RankingSvm(C=0.1).fit([x[::-1] for x in features], [a[::-1] for a in accuracies])
    np.testing.assert_allclose(turned.weight_D, machine.weight_D, rtol=1e-2, atol=1e-6)


def test_units_and_constant_features_do_not_matter():
    features, accuracies = planted(20, noise=1, seed=5)
    machine = RankingSvm(C=0.1).fit(features, accuracies)
    more = [np.concatenate([x * 7, np.full((len(x), 1), n * 1e6)], 1) for n, x in enumerate(features)]
    again = RankingSvm(C=0.1).fit(more, accuracies)
    assert again.weight_D[-1] == 0
    np.testing.assert_allclose(again.weight_D[:-1] * 7, machine.weight_D, rtol=1e-2, atol=1e-6)


def test_learning_twice_gives_the_same_bits_and_the_state_is_plain_arrays():
    features, accuracies = planted(20, noise=1, seed=5)
    one, two = (RankingSvm(folds=3).fit(features, accuracies) for _ in range(2))
    np.testing.assert_array_equal(one.weight_D, two.weight_D)
    file = io.BytesIO()
    np.savez(file, **one.state())
    file.seek(0)
    again = RankingSvm.load(np.load(file, allow_pickle=False))
    np.testing.assert_array_equal(again.score(features[0]), one.score(features[0]))
    assert again.chosen_C == one.chosen_C


@pytest.mark.parametrize(
    "accuracies",
    [[np.array([0.3]), np.array([0.8])], [np.array([0.5, 0.5]), np.array([0.2, 0.2])], [np.full(2, np.nan)] * 2],
    ids=["single proposals", "all equally good", "no mask"],
)
def test_where_nothing_can_be_learned_the_first_is_chosen_and_it_is_told(accuracies, caplog):
    features = [np.random.default_rng(0).normal(size=(len(a), 3)) for a in accuracies]
    with caplog.at_level(logging.WARNING):
        machine = RankingSvm().fit(features, accuracies)
    assert machine.score(features[0]).argmax() == 0
    assert not machine.score(features[0]).any()
    assert "the first proposal is chosen" in caplog.text


def test_images_without_accuracy_are_left_out():
    features, accuracies = planted(10, noise=0, seed=1)
    unknown = [np.full(len(a), np.nan) for a in accuracies]
    alone = RankingSvm(C=1.0).fit(features, accuracies)
    both = RankingSvm(C=1.0).fit(features + features, accuracies + unknown)
    np.testing.assert_array_equal(both.weight_D, alone.weight_D)


@pytest.mark.parametrize("images", [1, 2, 3])
def test_a_few_images_are_enough_for_a_C(images):
    machine = RankingSvm().fit(*planted(images, noise=0, seed=2))
    assert machine.weight_D.any()


def test_a_part_of_the_images_is_drawn_where_not_all_may_be_held(caplog):
    features, accuracies = planted(30, noise=0, seed=1)
    with caplog.at_level(logging.WARNING):
        machine = RankingSvm(C=1.0, max_values=600).fit(features, accuracies)
    assert "of 30 images drawn" in caplog.text
    assert machine.weight_D.any()
    assert not np.array_equal(machine.weight_D, RankingSvm(C=1.0).fit(features, accuracies).weight_D)


@pytest.mark.parametrize(
    ("features", "accuracies", "told"),
    [
        ([], [], "of 0, accuracies of 0 images"),
        ([np.zeros((2, 3))], [np.zeros(3)], r"image 0: features \(2, 3\): expected \(3, 3\)"),
        ([np.zeros((2, 3)), np.full((1, 3), np.inf)], [np.zeros(2), np.zeros(1)], "image 1: a feature is not finite"),
    ],
)
def test_what_does_not_fit_is_refused(features, accuracies, told):
    with pytest.raises(ValueError, match=told):
        RankingSvm().fit(features, accuracies)
    with pytest.raises(ValueError, match="C=-1"):
        RankingSvm(C=-1)
