"""Image classifiers: their labels, classes with one answer only, and what their scores become for a proposal."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest

from seglab.rerank.classification import (
    Classification,
    answers,
    classification_feature_names,
    classification_features,
    proposal_shares,
    size_thresholds,
)


def images(count: int = 60, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Images whose features tell the share of every class; the last class is in none."""
    rng = np.random.default_rng(0)
    shares_NK = rng.random((count, classes)) * (rng.random((count, classes)) < 0.6)
    shares_NK[:, -1] = 0
    shares_NK[:, 0] += 0.1
    shares_NK /= shares_NK.sum(1, keepdims=True)
    features_NF = shares_NK @ rng.normal(size=(classes, 12)) * 5 + rng.normal(size=(count, 12)) * 0.02
    return features_NF, shares_NK


def test_sizes_are_those_of_the_images_that_contain_the_class():
    shares_NK = np.zeros((20, 3))
    shares_NK[:10, 1] = np.arange(1, 11) / 100
    thresholds = size_thresholds(shares_NK)
    assert thresholds[0].tolist() == [0.02, 0.04, 0.06, 0.08]
    assert np.isinf(thresholds[1]).all()
    yes_NS = answers(shares_NK, thresholds)
    assert yes_NS.sum(0).tolist() == [10, 0, 9, 7, 5, 3, 0, 0, 0, 0]


def test_scores_tell_images_with_a_class_from_those_without_and_large_from_small():
    features_NF, shares_NK = images()
    machine = Classification(C=1.0).fit(features_NF, shares_NK)
    yes_NS = answers(shares_NK, machine.thresholds)
    scores_NS = machine.scores(features_NF)
    assert scores_NS.shape == (60, 15)
    names = classification_feature_names(4)
    for name in ("has_1", "has_2", "1_above_p40", "2_above_p80"):
        s = names.index(name)
        assert ((scores_NS[:, s] > 0) == yes_NS[:, s]).mean() > 0.9, name


def test_a_class_without_two_answers_scores_zero_and_is_named_once(caplog):
    features_NF, shares_NK = images()
    with caplog.at_level(logging.WARNING):
        machine = Classification().fit(features_NF, shares_NK, names=["sky", "cow", "cat", "bus"])
    scores_NS = machine.scores(features_NF)
    names = classification_feature_names(["sky", "cow", "cat", "bus"])
    assert not scores_NS[:, [i for i, name in enumerate(names) if "bus" in name]].any()
    assert len(caplog.records) == 1
    assert "has_bus, bus_above_p20" in caplog.text
    assert "cow" not in caplog.text


def test_a_class_in_every_image_scores_zero_for_presence_but_not_for_size():
    features_NF, shares_NK = images()
    shares_NK[:, 1] += 0.01
    scores_NS = Classification().fit(features_NF, shares_NK).scores(features_NF)
    names = classification_feature_names(4)
    assert not scores_NS[:, names.index("has_1")].any()
    assert scores_NS[:, names.index("1_above_p60")].any()


def test_the_21_classes_have_20_and_80_scores():
    assert len(set(classification_feature_names(21))) == 100


def test_scores_count_where_the_proposal_agrees():
    thresholds = np.array([[0.1, 0.2, 0.3, 0.4], [np.inf] * 4])
    scores_S = np.arange(1.0, 11.0) * np.array([1, -1] * 5)
    shares_MK = np.array([[0.75, 0.25, 0.0], [1.0, 0.0, 0.0], [0.5, 0.0, 0.5]])
    found = classification_features(scores_S, shares_MK, thresholds=thresholds)
    assert found.tolist() == [[1, 0, 3, -4, 0, 0, 0, 0, 0, 0], [0] * 10, [0, -2, 0, 0, 0, 0, 0, 0, 0, 0]]
    with pytest.raises(ValueError, match=r"expected \[5\(K-1\)\]"):
        classification_features(scores_S[:5], shares_MK, thresholds=thresholds)


def test_shares_of_proposals():
    labels_MHW = np.array([[[0, 1], [1, 1]], [[2, 2], [2, 255]]], np.uint8)
    assert proposal_shares(labels_MHW, classes=3).tolist() == [[0.25, 0.75, 0], [0, 0, 1]]


def test_the_state_is_plain_arrays_and_gives_the_same_scores():
    features_NF, shares_NK = images()
    machine = Classification().fit(features_NF, shares_NK)
    file = io.BytesIO()
    np.savez(file, **machine.state())
    file.seek(0)
    again = Classification.load(np.load(file, allow_pickle=False))
    np.testing.assert_array_equal(again.scores(features_NF), machine.scores(features_NF))
    np.testing.assert_array_equal(again.thresholds, machine.thresholds)
    np.testing.assert_array_equal(Classification().fit(features_NF, shares_NK).weight_SF, machine.weight_SF)
    with pytest.raises(ValueError, match=r"expected \[N,12\]"):
        again.scores(features_NF[:, :5])


def test_a_single_image_and_constant_features_work():
    machine = Classification().fit(np.ones((1, 3)), np.array([[0.5, 0.5]]))
    assert not machine.scores(np.zeros((2, 3))).any()
