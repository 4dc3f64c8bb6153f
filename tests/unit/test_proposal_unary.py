"""The classifier of superpixels, its samples, and the settings that are chosen with it."""

from __future__ import annotations

import numpy as np
import pytest

from seglab.proposals.choose import Judged, choose, confusions, mean_iou
from seglab.proposals.graph import region_graph
from seglab.proposals.recipe import Recipe, choose_folder
from seglab.proposals.unary import FLOOR, Classifier, Samples, fit, label_counts, sample, unaries


def rings(count: int, seed: int = 0) -> Samples:
    """Two classes that no line divides, and a third one apart."""
    draw = np.random.default_rng(seed)
    angle, radius = draw.uniform(0, 2 * np.pi, count), draw.choice([1.0, 3.0], count)
    points = np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None] + draw.normal(0, 0.2, (count, 2))
    labels = np.where(radius > 2, 2, 0)
    points[: count // 4] += 12
    labels[: count // 4] = 3
    return Samples(points.astype(np.float32), labels, np.ones(count))


def test_waves_divide_what_no_line_does() -> None:
    learnt, others = rings(600), rings(300, seed=1)
    right = {}
    for waves in (0, 300):
        found = fit(learnt, classes=5, waves=waves, strength=0.01).probabilities(others.features_ND).argmax(1)
        right[waves] = (found == others.labels_N).mean()
    assert right[300] > 0.95
    assert right[0] < 0.8


def test_probabilities_add_up_and_a_class_never_seen_keeps_the_floor() -> None:
    found = fit(rings(200), classes=5, waves=50).probabilities(rings(50, seed=2).features_ND)
    assert found.sum(1) == pytest.approx(np.ones(50))
    assert found[:, [1, 4]] == pytest.approx(np.full((50, 2), FLOOR))
    assert found.min() >= FLOOR * 0.999


def test_a_single_class_is_what_every_superpixel_gets() -> None:
    one = Samples(rings(40).features_ND, np.zeros(40, np.int64), np.ones(40))
    found = fit(one, classes=3).probabilities(one.features_ND)
    assert found[:, 0] == pytest.approx(np.full(40, 1 - 2 * FLOOR))


def test_of_two_classes_each_has_a_row() -> None:
    both = rings(200)
    both = both.rows(both.labels_N != 3)
    found = fit(both, classes=3, waves=200, strength=0.01).probabilities(both.features_ND)
    assert (found.argmax(1) == both.labels_N).mean() > 0.95


def test_the_same_samples_give_the_same_classifier_which_survives_a_file(tmp_path) -> None:
    one, two = (fit(rings(100), classes=4, waves=20, seed=3) for _ in range(2))
    np.savez(tmp_path / "c.npz", **one.state())
    with np.load(tmp_path / "c.npz", allow_pickle=False) as file:
        three = Classifier.load(dict(file))
    points = rings(9, seed=5).features_ND
    assert np.array_equal(one.probabilities(points), two.probabilities(points))
    assert np.array_equal(one.probabilities(points), three.probabilities(points))


def test_nothing_to_learn_from_is_told() -> None:
    with pytest.raises(ValueError, match="nothing to learn from"):
        fit(Samples(np.zeros((0, 3), np.float32), np.zeros(0, np.int64), np.zeros(0)), classes=2)


def test_superpixels_that_are_mostly_void_are_not_learnt_from_and_no_class_has_too_many() -> None:
    pixels = np.repeat(np.arange(40), 10).reshape(40, 10)
    mask = np.zeros((40, 10), np.uint8)
    mask[30:] = 1
    mask[0, :6] = 255
    counts = label_counts(mask, pixels, count=40, classes=3)
    assert counts[0].tolist() == [4, 0, 0]
    features = np.arange(40, dtype=np.float32)[:, None]
    found = sample(features, counts, np.full(40, 10), most=5, rng=np.random.default_rng(0))
    assert np.bincount(found.labels_N).tolist() == [5, 5]
    assert 0 not in found.features_ND[:, 0]
    assert found.weights_N[found.labels_N == 0].sum() == pytest.approx(np.sqrt(29))
    void = label_counts(np.full_like(mask, 255), pixels, count=40, classes=3)
    assert not len(sample(features, void, np.full(40, 10), most=5, rng=np.random.default_rng(0)).labels_N)


def test_unaries_are_in_nats_of_mean_superpixels() -> None:
    found = unaries(np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([1, 3]))
    assert found == pytest.approx(-np.log([[0.5, 0.5], [0.25, 0.75]]) * [[0.5], [1.5]])


def test_confusions_on_superpixels_are_those_on_pixels() -> None:
    draw = np.random.default_rng(0)
    pixels, mask, labels = (
        np.arange(100).reshape(10, 10) // 9,
        draw.integers(0, 3, (10, 10)),
        draw.integers(0, 3, (2, 12)),
    )
    mask[0, :4] = 255
    found = confusions(labels, label_counts(mask, pixels, count=12, classes=3))
    expected = np.zeros((2, 3, 3), int)
    for m in range(2):
        for true, said in zip(mask.ravel(), labels[m][pixels].ravel(), strict=True):
            if true != 255:
                expected[m, true, said] += 1
    assert np.array_equal(found, expected)
    assert mean_iou(np.array([[2, 1, 0], [1, 2, 0], [0, 0, 0]])) == pytest.approx(0.5)


def test_smoothness_is_chosen_by_the_first_and_diversity_by_the_oracle() -> None:
    draw = np.random.default_rng(0)
    pixels = (np.arange(40)[:, None] // 4 * 10 + np.arange(40)[None] // 4).astype(np.int32)
    mask = np.where(np.arange(40)[None] < 20, 0, 1) * np.ones((40, 1), int)
    graph = region_graph(pixels, np.zeros((40, 40, 3), np.uint8))
    counts = label_counts(mask, pixels, count=100, classes=3)
    noisy = np.clip(0.1 + 0.5 * (counts > 0) + draw.normal(0, 0.3, (100, 3)), 0.05, 1)
    images = [Judged(graph, noisy / noisy.sum(1, keepdims=True), counts)]
    found = choose(images, Recipe(count=3))
    rows = found["tried"]["smoothness"]
    assert found["smoothness"] > 0
    assert max(row["miou_first"] for row in rows) > rows[0]["miou_first"]
    best = max(found["tried"]["diversity"], key=lambda row: row["accuracy_oracle"])
    assert found["diversity"] == best["diversity"]
    assert all(row["accuracy_oracle"] >= row["accuracy_first"] for row in found["tried"]["diversity"])
    assert choose([], Recipe(smoothness=0.3, diversity=0.2))["smoothness"] == 0.3


@pytest.mark.parametrize(
    ("key", "value"),
    [("count", 0), ("count", 2.5), ("folds", 1), ("inference", "magic"), ("diversity", 0), ("smoothness", -1),
     ("floor", 1.5), ("compactness", float("nan")), ("network", 3), ("damping", 1), ("seed", True)],
)  # fmt: skip
def test_a_setting_outside_its_range_is_told(key, value) -> None:
    with pytest.raises(ValueError, match=rf"proposals\.{key}={value}: expected|proposals\.{key}=1: expected"):
        Recipe(**{key: value})


def test_an_unknown_setting_is_told() -> None:
    with pytest.raises(ValueError, match=r"unknown key 'proposals\.diverse', did you mean 'proposals\.diversity'"):
        Recipe.of({"diverse": 1})


def test_a_folder_may_be_typed_for_an_option(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my maps").mkdir()
    assert choose_folder(["a=b", "proposals=meanfield", "-m"]) == ["a=b", "proposals=meanfield", "-m"]
    assert choose_folder(["proposals=divmbest,meanfield"]) == ["proposals=divmbest,meanfield"]
    there = (tmp_path / "my maps").resolve()
    found = [f"proposals.folder='{there}'"]
    assert choose_folder(["proposals=my maps"]) == choose_folder(["proposals.folder=my maps"]) == found
    assert choose_folder(found) == found
    assert choose_folder(["proposals.folder=null"]) == ["proposals.folder=null"]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert choose_folder(["proposals=~/my maps"]) == found
    for wrong in ("meanfeld", "not/there"):
        with pytest.raises(ValueError, match=f"proposals={wrong}: no such"):
            choose_folder([f"proposals={wrong}"])
