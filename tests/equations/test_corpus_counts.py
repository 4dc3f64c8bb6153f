"""IOU and UOI on counts: Cogswell et al. 2014, Eqs. 1-15, and the simulation behind its Figure 2."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.losses.corpus import CorpusSums
from seglab.losses.iou import IoU, iou_loss
from seglab.losses.uoi import UoI, uoi_loss
from seglab.metrics.flip_curve import flip_curve

GT = torch.tensor([40.0, 7.0, 120.0], dtype=torch.float64)
FP = torch.tensor([3.0, 11.0, 0.5], dtype=torch.float64)
FN = torch.tensor([8.0, 2.0, 60.0], dtype=torch.float64)
TINY = 1e-12


def sums(fp: torch.Tensor, fn: torch.Tensor) -> CorpusSums:
    """The sums of a hard prediction: intersection, predicted size, labelled size."""
    tp = GT - fn
    return CorpusSums(torch.cat([tp, tp + fp, GT, torch.zeros(2, dtype=tp.dtype)]))


def test_values_on_counts():
    iou, uoi = (GT - FN) / (GT + FP), (GT + FP) / (GT - FN)  # Eqs. 2 and 7
    torch.testing.assert_close(iou_loss(sums(FP, FN), epsilon=TINY), 1 - iou.mean())
    torch.testing.assert_close(uoi_loss(sums(FP, FN), epsilon=TINY), uoi.mean())


@pytest.mark.parametrize("loss", [iou_loss, uoi_loss])
def test_slopes_on_counts(loss):
    """By automatic differentiation, as printed (Eqs. 4, 5, 9, 10), and by finite differences."""
    fp, fn = FP.clone().requires_grad_(), FN.clone().requires_grad_()
    found = torch.autograd.grad(loss(sums(fp, fn), epsilon=TINY, reduction="sum"), (fp, fn))
    if loss is iou_loss:
        wanted = ((GT - FN) / (GT + FP) ** 2, 1 / (GT + FP))  # of 1 - IOU: the other sign
    else:
        wanted = (1 / (GT - FN), (GT + FP) / (GT - FN) ** 2)
    torch.testing.assert_close(found, wanted)
    for which, slope in enumerate(wanted):
        for k in range(3):
            step = torch.zeros(3, dtype=torch.float64)
            step[k] = 1e-5
            ends = [
                loss(sums(FP + s * step * (which == 0), FN + s * step * (which == 1)), epsilon=TINY, reduction="sum")
                for s in (1, -1)
            ]
            assert ((ends[0] - ends[1]) / 2e-5).item() == pytest.approx(slope[k].item(), rel=1e-6)


def test_slopes_of_iou_shrink_and_those_of_uoi_grow_with_the_errors():
    """The reason the paper gives for UOI."""
    for loss, grows in ((iou_loss, False), (uoi_loss, True)):
        slopes = []
        for errors in (1.0, 2.0, 4.0):
            fp = (errors * FP / 8).requires_grad_()
            (slope,) = torch.autograd.grad(loss(sums(fp, errors * FN / 8), epsilon=TINY), fp)
            slopes.append(slope)
        assert all(((b > a) == grows).all() for a, b in pairwise(slopes))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=25))
def test_the_bound_on_the_sum_of_iou(values):
    iou = np.array(values)
    K, total = len(iou), iou.sum()
    bound = K**2 / (1 / iou).sum()
    assert 1 / (1 / iou).sum() <= bound * (1 + 1e-12)  # Eq. 15 is the weaker one
    assert bound <= total * (1 + 1e-12)
    equal = np.full(K, values[0])
    assert K**2 / (1 / equal).sum() == pytest.approx(equal.sum())


def test_hard_predictions_of_the_losses_are_counts():
    labels = torch.tensor([[[0, 0, 1], [2, 2, 1]]])
    guess = torch.tensor([[[0, 1, 1], [2, 0, 1]]])
    logits = 200.0 * torch.nn.functional.one_hot(guess, 3).permute(0, 3, 1, 2)
    iou = np.array([1 / 3, 2 / 3, 1 / 2])
    batch = {"mask": labels}
    assert IoU(epsilon=1e-9)(logits, batch)["iou"].item() == pytest.approx(1 - iou.mean())
    assert UoI(epsilon=1e-9)(logits, batch)["uoi"].item() == pytest.approx((1 / iou).mean())


def counted(labels: np.ndarray, guess: np.ndarray, K: int) -> tuple[np.ndarray, np.ndarray]:
    """IOU and false positives of every class."""
    tp = np.array([((labels == k) & (guess == k)).sum() for k in range(K)])
    union = np.array([((labels == k) | (guess == k)).sum() for k in range(K)])
    return tp / union, np.array([((labels != k) & (guess == k)).sum() for k in range(K)])


def test_flips_are_those_of_a_spoilt_label_map():
    """Played back one by one, the flips give the same counts as comparing whole label maps."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, (9, 11))
    labels[0, :5] = 255
    found = flip_curve(labels, classes=4, flips=94, seed=3)
    valid = labels[labels != 255]
    rng = np.random.default_rng(3)
    places = rng.permutation(valid.size)
    becomes = (valid[places] + rng.integers(1, 4, valid.size)) % 4
    guess = valid.copy()
    for n in range(95):
        iou, fp = counted(valid, guess, 4)
        np.testing.assert_allclose(found["iou_k"][n], iou)
        np.testing.assert_array_equal(found["fp_k"][n], fp)
        if n < 94:
            assert becomes[n] != valid[places[n]]
            guess[places[n]] = becomes[n]


def test_flip_curve_holds_together():
    labels = np.repeat(np.arange(3), [300, 60, 12]).reshape(31, 12)
    found = flip_curve(labels, classes=5, flips=372, seed=0)
    assert {name: value.shape for name, value in found.items()} == {
        **dict.fromkeys(("flips", "fp", "iou", "uoi", "bound"), (373,)),
        **dict.fromkeys(("tp_k", "fp_k", "fn_k", "iou_k", "uoi_k"), (373, 5)),
    }
    np.testing.assert_array_equal(found["fp"], found["flips"])
    np.testing.assert_array_equal(found["fn_k"].sum(1), found["flips"])  # one false negative and one positive each
    assert (found["iou"][0], found["uoi"][0], found["bound"][0]) == (1, 1, 1)
    assert (found["bound"] <= found["iou"] + 1e-12).all()
    assert (np.diff(found["iou"]) < 0).all()
    assert np.isnan(found["iou_k"][:, 3:]).all()
    assert np.isinf(found["uoi"][-1])
    assert (found["bound"][-1], found["iou"][-1]) == (0, 0)
    again, other = (flip_curve(labels, classes=5, flips=9, seed=s) for s in (0, 1))
    np.testing.assert_array_equal(again["iou"], found["iou"][:10])
    assert not np.array_equal(other["fp_k"], again["fp_k"])


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (np.zeros((2, 2), int), {"classes": 1, "flips": 1}, r"classes=1: expected 2 or more"),
        (np.full((2, 2), 3), {"classes": 3, "flips": 1}, r"labels 3 to 3: expected labels 0 to 2, or 255 = ignored"),
        (np.full((2, 2), 255), {"classes": 3, "flips": 0}, r"no labelled pixel: expected labels 0 to 2"),
        (np.zeros((2, 2), int), {"classes": 2, "flips": 5}, r"flips=5: expected 0 to 4, the number of labelled"),
        (np.zeros((2, 2), int), {"classes": 2, "flips": -1}, r"flips=-1: expected 0 to 4"),
    ],
)
def test_wrong_flips_are_named(labels, options, message):
    with pytest.raises(ValueError, match=message):
        flip_curve(labels, seed=0, **options)
