"""Accuracy of proposals against loops over pixels, and the images that have little to count."""

from __future__ import annotations

import numpy as np
import pytest

from seglab.rerank.accuracy import accuracy, accuracy_of, confusion, oracle


def by_loops(labels_HW: np.ndarray, mask_HW: np.ndarray) -> float:
    pixels = [(int(t), int(y)) for t, y in zip(mask_HW.ravel(), labels_HW.ravel(), strict=True) if t != 255]
    ious = []
    for k in {value for pair in pixels for value in pair}:
        both = sum(t == k and y == k for t, y in pixels)
        either = sum(t == k or y == k for t, y in pixels)
        ious.append(both / either)
    return sum(ious) / len(ious)


def test_accuracy_is_the_mean_iou_over_classes_in_mask_or_proposal():
    rng = np.random.default_rng(0)
    labels_MHW = rng.integers(0, 5, (4, 9, 7)).astype(np.uint8)
    mask_HW = rng.integers(0, 4, (9, 7)).astype(np.uint8)
    mask_HW[2:4] = 255
    found = accuracy(labels_MHW, mask_HW, classes=6)
    assert found == pytest.approx([by_loops(labels_HW, mask_HW) for labels_HW in labels_MHW])


def test_confusion_is_label_by_prediction_and_leaves_ignored_pixels_out():
    mask_HW = np.array([[0, 1, 1, 255]])
    labels_MHW = np.array([[[0, 0, 1, 2]], [[2, 1, 1, 0]]])
    counts = confusion(labels_MHW, mask_HW, classes=3)
    assert counts.tolist() == [[[1, 0, 0], [1, 1, 0], [0, 0, 0]], [[0, 0, 1], [0, 2, 0], [0, 0, 0]]]


def test_an_image_of_background_only_scores_the_empty_proposal_highest():
    labels_MHW = np.stack([np.eye(4, dtype=np.uint8), np.zeros((4, 4), np.uint8)])
    assert accuracy(labels_MHW, np.zeros((4, 4), np.uint8), classes=21) == pytest.approx([12 / 16 / 2, 1.0])


def test_a_mask_without_a_labelled_pixel_has_no_accuracy():
    found = accuracy(np.zeros((2, 3, 3), np.uint8), np.full((3, 3), 255), classes=2)
    assert np.isnan(found).all()
    assert oracle(found) == 0


def test_the_oracle_is_the_earlier_of_two_equal_proposals():
    assert oracle(np.array([0.2, 0.7, 0.7])) == 1


@pytest.mark.parametrize(
    ("labels", "mask", "told"),
    [
        (np.full((1, 2, 2), 3), np.zeros((2, 2)), "proposals with values 3 to 3: expected 0 to 2"),
        (np.zeros((1, 2, 2)), np.full((2, 2), 9), "mask with values 9 to 9"),
        (np.zeros((1, 2, 3)), np.zeros((2, 2)), r"expected \[M,H,W\] and \[H,W\]"),
    ],
)
def test_wrong_values_are_told(labels, mask, told):
    with pytest.raises(ValueError, match=told):
        confusion(labels, mask, classes=3)


def test_a_label_where_the_mask_is_ignored_does_not_matter():
    assert accuracy_of(confusion(np.array([[[0, 7]]]), np.array([[0, 255]]), classes=2)) == pytest.approx([1.0])
