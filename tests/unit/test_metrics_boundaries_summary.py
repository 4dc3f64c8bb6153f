"""ODS, OIS and area of boundary counts: published numbers of the benchmark, worked examples, nothing to divide by."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from seglab.metrics.boundary_summary import THRESHOLDS, curve_area, precision_recall_f, summary

UCM = """
    0.965115 0.257735  0.960181 0.283491  0.949704 0.320813  0.935288 0.374539  0.915421 0.434851
    0.892043 0.491908  0.868345 0.54362  0.843398 0.586433  0.818244 0.622279  0.796764 0.655754
    0.77139 0.681988  0.749039 0.703116  0.730617 0.721899  0.712142 0.740326  0.694374 0.753033
    0.676845 0.766472  0.659992 0.775571  0.644458 0.783346  0.631497 0.790878  0.61966 0.799612
    0.606923 0.806421  0.596168 0.814051  0.586218 0.81994  0.578586 0.824721  0.568458 0.83193
    0.556602 0.836221  0.549373 0.840171  0.540542 0.844141  0.534733 0.847135  0.526445 0.852633
    0.516576 0.854099  0.509015 0.85585  0.501178 0.860842  0.493915 0.862214  0.485994 0.866155
    0.47744 0.868316  0.471497 0.869958  0.466416 0.873378  0.460988 0.874542  0.456544 0.875696
    0.450069 0.877562  0.444576 0.878132  0.437855 0.878337  0.431213 0.88123  0.424457 0.883742
    0.419539 0.886166  0.41075 0.888235  0.406347 0.888672  0.400043 0.891259  0.39657 0.892199
    0.39116 0.894955  0.388191 0.89527  0.385119 0.896858  0.379286 0.897902  0.375282 0.898616
    0.369882 0.899882  0.366056 0.899956  0.357865 0.901094  0.352355 0.903295  0.348755 0.905378
    0.344209 0.907186  0.339723 0.906812  0.330255 0.90885  0.324849 0.911675  0.320161 0.911578
    0.313087 0.912812  0.310838 0.913142  0.306834 0.912502  0.303262 0.914474  0.29579 0.915944
    0.290109 0.916716  0.281941 0.916049  0.275751 0.917013  0.271827 0.916798  0.269025 0.916366
    0.265051 0.91768  0.258395 0.917272  0.251956 0.917958  0.24563 0.91789  0.237086 0.916598
    0.233632 0.916359  0.222385 0.913764  0.214628 0.914145  0.207595 0.915038  0.201902 0.917359
    0.200384 0.919306  0.191683 0.918817  0.185609 0.9167  0.177077 0.919422  0.169042 0.928494
    0.162287 0.928597  0.149824 0.930352  0.139629 0.931562  0.125382 0.928666  0.11519 0.928546
    0.103267 0.924329  0.0831878 0.918035  0.063165 0.923015  0.0402079 0.903171
"""
"""Recall and precision of gPb-owt-ucm on the test part of BSDS500 at thresholds 0.01 .. 0.99, published with the data
set (``ucm2/test_eval/eval_bdry_thr.txt``)."""


def counts(recall: object, precision: object, *, truth: int = 10**8, found: int = 10**8) -> np.ndarray:
    """One image with the given recalls and precisions, [1, K, 4]."""
    recall, precision = np.atleast_1d(recall), np.atleast_1d(precision)
    columns = [np.rint(recall * truth), np.full(len(recall), truth), np.rint(precision * found)]
    return np.stack([*columns, np.full(len(recall), found)], axis=1)[None].astype(np.int64)


def test_published_numbers_of_the_benchmark() -> None:
    """``eval_bdry.txt`` beside that curve: threshold, recall, precision and F of ODS, and the area."""
    recall, precision = np.array(UCM.split(), float).reshape(99, 2).T
    found = summary(counts(recall, precision), THRESHOLDS)
    assert found["threshold"] == pytest.approx(0.132121, abs=1e-6)
    assert found["recall"] == pytest.approx(0.726698, abs=1e-6)
    assert found["precision"] == pytest.approx(0.725808, abs=1e-6)
    assert found["f"] == pytest.approx(0.726253, abs=1e-6)
    assert found["area"] == pytest.approx(0.726626, abs=1e-6)
    assert found["index"] == 12


def test_thresholds_are_those_of_the_benchmark() -> None:
    assert THRESHOLDS.tolist() == [k / 100 for k in range(1, 100)]


def test_two_images_by_hand() -> None:
    # matched_recall, truth, matched_precision, found at the thresholds 0.25 and 0.75
    first = [[8, 10, 8, 16], [4, 10, 4, 4]]  # P 1/2, R 4/5, F 8/13; P 1, R 2/5, F 4/7: the first is better
    second = [[30, 40, 10, 40], [20, 40, 10, 10]]  # P 1/4, R 3/4, F 3/8; P 1, R 1/2, F 2/3: the second is better
    found = summary(np.array([first, second]), np.array([0.25, 0.75]))
    # OIS: 8 + 20 of 10 + 40 true pixels, 8 + 10 of 16 + 10 found ones
    assert found["recall_ois"] == pytest.approx(28 / 50)
    assert found["precision_ois"] == pytest.approx(18 / 26)
    assert found["f_ois"] == pytest.approx(2 * (28 / 50) * (18 / 26) / (28 / 50 + 18 / 26))
    # ODS: R 38/50 to 24/50 and P 18/56 to 14/14 on a line; the best of 100 points of it
    share = np.linspace(0, 1, 100)
    r, p = 38 / 50 + share * (24 / 50 - 38 / 50), 18 / 56 + share * (1 - 18 / 56)
    f = 2 * p * r / (p + r)
    assert found["f"] == pytest.approx(f.max())
    assert found["threshold"] == pytest.approx(0.25 + 0.5 * share[f.argmax()])
    assert (found["precision"], found["recall"]) == pytest.approx((p[f.argmax()], r[f.argmax()]))
    assert found["index"] == 1
    # area: precision falls on a line from 1 at recall 0.48 to 18/56 at 0.76, and is 0 elsewhere
    line = 1 + (np.arange(48, 77) / 100 - 0.48) / 0.28 * (18 / 56 - 1)
    assert found["area"] == pytest.approx(line.sum() / 100)


def test_a_line_between_thresholds_can_beat_both() -> None:
    found = summary(counts([0.9, 0.1], [0.1, 0.9]), np.array([0.2, 0.4]))
    assert found["f"] == pytest.approx(0.5, abs=1e-4)
    assert found["threshold"] == pytest.approx(0.3, abs=2e-3)
    assert found["f_ois"] == pytest.approx(0.18)  # of counts that were measured


def test_hard_segmentation_has_one_number() -> None:
    found = summary(np.array([[[6, 10, 3, 4]], [[3, 10, 1, 4]]]), np.array([0.5]))
    assert found["precision"] == found["precision_ois"] == 0.5
    assert found["recall"] == found["recall_ois"] == 0.45
    assert found["f"] == found["f_ois"] == pytest.approx(0.45 / 0.95)
    assert (found["threshold"], found["index"]) == (0.5, 0)
    assert math.isnan(found["area"])


def test_nothing_found_and_nothing_to_find() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        none = summary(np.zeros((2, 3, 4), np.int64), np.array([0.1, 0.2, 0.3]))
        assert all(none[k] == 0 for k in ("precision", "recall", "f", "precision_ois", "recall_ois", "f_ois", "area"))
        assert none["threshold"] == 0.1
        assert precision_recall_f([[0, 7, 0, 0], [0, 0, 0, 7], [0, 0, 0, 0], [7, 7, 7, 7]]).tolist() == [
            *([[0, 0, 0]] * 3),
            [1, 1, 1],
        ]


def test_area_counts_nothing_outside_of_the_measured_recalls() -> None:
    assert curve_area(np.array([1.0, 1.0]), np.array([0.75, 0.25])) == pytest.approx(0.51)
    assert curve_area(np.array([1.0, 1.0]), np.array([1.0, 0.0])) == pytest.approx(1.01)
    assert curve_area(np.array([0.5, 1.0]), np.array([0.5, 0.5])) == 0
    # Of two points with one recall that of the higher threshold: precision 0.8 at recall 0.5.
    assert curve_area(np.array([0.8, 0.2, 0.8]), np.array([1.0, 0.5, 0.5])) == pytest.approx(0.8 * 0.51)


@pytest.mark.parametrize(
    ("shape", "thresholds", "what"),
    [
        ((0, 2, 4), [0.1, 0.2], "one image"),
        ((1, 0, 4), [], "one threshold"),
        ((1, 3, 4), [0.1, 0.2], r"shape \(1, 3, 4\) and 2 thresholds"),
        ((3, 4), [0.1, 0.2, 0.3], "images, thresholds, 4"),
        ((1, 2, 4), [0.2, 0.1], "ascending"),
        ((1, 2, 4), [0.1, float("nan")], "ascending"),
    ],
)
def test_wrong_counts_are_refused(shape: tuple[int, ...], thresholds: list[float], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        summary(np.zeros(shape, np.int64), np.array(thresholds))
