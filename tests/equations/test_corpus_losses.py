"""Losses over a corpus: Cogswell et al. 2014, Eqs. 20-28, 47, 59, 60, 67, written out here a second time."""

import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from seglab.coarse import class_shares
from seglab.losses.ce_soft import CESoft
from seglab.losses.corpus import CorpusSums, corpus_sums
from seglab.losses.iou import IoU
from seglab.losses.soft_labels import soft_labels
from seglab.losses.uoi import UoI
from seglab.losses.uoi_ce import UoICE

EVERY = [CESoft(), IoU(), UoI(), UoICE()]
TINY = 1e-12  # an epsilon that float64 hardly sees


def kinds(loss: torch.nn.Module) -> str:
    return type(loss).__name__


def pictures(B: int = 3, K: int = 4, h: int = 3, w: int = 4, factor: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Float64 logits and a mask that is larger and not divisible; every class is there, some pixels are ignored."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.randint(0, K, (B, factor * h + 2, factor * w + 1), generator=generator)
    mask[0, :4, :6] = 255
    mask[1, :, 3:5] = 255
    return torch.randn(B, K, h, w, generator=generator, dtype=torch.float64), mask


def labels_by_hand(mask_HW: np.ndarray, K: int, h: int, w: int) -> np.ndarray:
    """Shares of the classes [K,h,w], one pixel after the other: it lies in the cell that holds its centre."""
    counts = np.zeros((K, h, w))
    H, W = mask_HW.shape
    for y in range(H):
        for x in range(W):
            if mask_HW[y, x] != 255:
                counts[mask_HW[y, x], math.floor((y + 0.5) / H * h), math.floor((x + 0.5) / W * w)] += 1
    return counts / np.maximum(counts.sum(0), 1)


def flat(logits: torch.Tensor, mask: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and labelled shares [cells, K] of all labelled cells."""
    K, h, w = logits.shape[1:]
    p = np.stack([labels_by_hand(one, K, h, w) for one in mask.numpy()]).transpose(0, 2, 3, 1).reshape(-1, K)
    z = logits.detach().numpy().transpose(0, 2, 3, 1).reshape(-1, K)
    guess = np.exp(z) / np.exp(z).sum(1, keepdims=True)  # Eq. 20
    return guess, p


def gradient_by_hand(guess: np.ndarray, p: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """sum over k' of slope[i,k'] * guess[i,k'] * ([k = k'] - guess[i,k]): the common part of Eqs. 59 and 67."""
    result = np.zeros_like(guess)
    K = guess.shape[1]
    for k in range(K):
        for other in range(K):
            result[:, k] += slope[:, other] * guess[:, other] * ((k == other) - guess[:, k])
    return result * (p.sum(1, keepdims=True) > 0)


def slope_59(guess: np.ndarray, p: np.ndarray) -> np.ndarray:
    return (p * (guess + p).sum(0) - (guess * p).sum(0)) / (guess + p - guess * p).sum(0) ** 2


def slope_67(guess: np.ndarray, p: np.ndarray) -> np.ndarray:
    inter = (guess * p).sum(0)
    return (inter - p * (guess + p).sum(0)) / inter**2


def slope_ce(guess: np.ndarray, p: np.ndarray) -> np.ndarray:
    return -p / guess


@pytest.mark.parametrize(
    ("loss", "slope", "factor"),
    [
        (IoU(reduction="sum", epsilon=TINY), slope_59, -1),
        (IoU(epsilon=TINY), slope_59, -1 / 4),
        (UoI(reduction="sum", epsilon=TINY), slope_67, 1),
        (UoI(epsilon=TINY), slope_67, 1 / 4),
        (CESoft(reduction="sum"), slope_ce, 1),
        (CESoft(), slope_ce, None),
    ],
)
def test_gradients_are_the_printed_ones(loss, slope, factor):
    logits, mask = pictures()
    leaf = logits.clone().requires_grad_()
    (term,) = loss.terms(CorpusSums(loss.sums(leaf, {"mask": mask}))).values()
    (found,) = torch.autograd.grad(term, leaf)
    guess, p = flat(logits, mask)
    factor = 1 / (p.sum(1) > 0).sum() if factor is None else factor
    wanted = factor * gradient_by_hand(guess, p, slope(guess, p))
    np.testing.assert_allclose(found.numpy().transpose(0, 2, 3, 1).reshape(-1, 4), wanted, rtol=1e-8, atol=1e-12)


def test_values_are_the_printed_ones():
    logits, mask = pictures()
    guess, p = flat(logits, mask)
    use = p.sum(1) > 0
    inter, union = (guess * p)[use].sum(0), (guess + p - guess * p)[use].sum(0)
    nats = -(p * np.log(guess))[use].sum(1)
    batch = {"mask": mask}
    assert IoU(epsilon=TINY)(logits, batch)["iou"].item() == pytest.approx(1 - (inter / union).mean())
    assert IoU(reduction="sum", epsilon=TINY)(logits, batch)["iou"].item() == pytest.approx(4 - (inter / union).sum())
    assert UoI(epsilon=TINY)(logits, batch)["uoi"].item() == pytest.approx((union / inter).mean())
    assert UoI(epsilon=0.5)(logits, batch)["uoi"].item() == pytest.approx(((union + 0.5) / (inter + 0.5)).mean())
    assert CESoft()(logits, batch)["ce_soft"].item() == pytest.approx(nats.mean())
    both = UoICE(epsilon=TINY, ce_reduction="sum")(logits, batch)
    assert both["uoi"].item() == pytest.approx(0.7 * (union / inter).mean())
    assert both["ce_soft"].item() == pytest.approx(0.3 * nats.sum())
    assert UoICE()(logits, batch)["ce_soft"].item() == pytest.approx(0.3 * nats.mean())


@pytest.mark.parametrize("classes", ["present", "all"])
@pytest.mark.parametrize("cells", ["equal", "labelled"])
@pytest.mark.parametrize("kind", [CESoft, IoU, UoI, UoICE])
def test_gradients_are_those_of_finite_differences(kind, cells, classes):
    logits, mask = pictures()
    mask[mask == 2] = 255  # one class is absent
    options = {"cells": cells} if kind is CESoft else {"cells": cells, "classes": classes, "epsilon": 0.1}
    loss = kind(**options)

    def total(z: torch.Tensor) -> torch.Tensor:
        return sum(loss.terms(CorpusSums(loss.sums(z, {"mask": mask}))).values())

    assert torch.autograd.gradcheck(total, logits.requires_grad_())


@pytest.mark.parametrize("size", [(7, 9), (6, 8), (3, 4), (31, 5)])
def test_soft_labels_are_the_shares_of_each_cell(size):
    generator = torch.Generator().manual_seed(1)
    mask = torch.randint(0, 5, (2, *size), generator=generator)
    mask[mask == 4] = 255
    mask[0, :3] = 255
    share, labelled = soft_labels(mask, classes=4, grid=(3, 4), dtype=torch.float64)
    for image in range(2):
        np.testing.assert_array_equal(share[image].numpy(), labels_by_hand(mask[image].numpy(), 4, 3, 4))
        wanted, counts = class_shares(mask[image].numpy(), classes=4, grid=(3, 4))
        np.testing.assert_array_equal(share[image].numpy(), wanted)
        np.testing.assert_array_equal((labelled[image] > 0).numpy(), counts > 0)
    same = soft_labels(mask, classes=4, grid=size).share_BKhw
    wanted = torch.nn.functional.one_hot(mask.masked_fill(mask == 255, 4), 5).permute(0, 3, 1, 2)[:, :4]
    torch.testing.assert_close(same, wanted.float(), rtol=0, atol=0)


def test_partly_labelled_cells_count_by_their_share_where_asked():
    mask = torch.full((1, 2, 4), 255)
    mask[0, :, :2], mask[0, 0, 2] = 0, 1  # a whole cell of class 0, a quarter of a cell of class 1
    logits = torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]]]])
    right, wrong = math.log1p(math.exp(-1)), math.log1p(math.exp(1))
    assert CESoft()(logits, {"mask": mask})["ce_soft"].item() == pytest.approx((right + wrong) / 2)
    found = CESoft(cells="labelled")(logits, {"mask": mask})["ce_soft"].item()
    assert found == pytest.approx((right + wrong / 4) / 1.25)


def test_absent_classes_have_no_influence():
    """Neither on the values of the others nor by their own; what the network gives them goes into the others' union."""
    logits, mask = pictures()
    mask[mask == 2] = 255
    for kind in (IoU, UoI):
        name, other = kind.__name__.lower(), [0, 1, 3]
        guess, p = flat(logits, mask)
        use = p.sum(1) > 0
        inter, union = (guess * p)[use].sum(0)[other], (guess + p - guess * p)[use].sum(0)[other]
        wanted = {"iou": 1 - (inter / union).mean(), "uoi": (union / inter).mean()}[name]
        assert kind(epsilon=TINY)(logits, {"mask": mask})[name].item() == pytest.approx(wanted)
    size = flat(logits, mask)[0][use].sum(0)[2]
    found = UoI(epsilon=0.25, classes="all", reduction="sum")(logits, {"mask": mask})["uoi"]
    found = found - UoI(epsilon=0.25, reduction="sum")(logits, {"mask": mask})["uoi"]
    assert found.item() == pytest.approx(size / 0.25 + 1, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("loss", EVERY, ids=kinds)
def test_backgrounds_and_ignored_images(loss, dtype):
    logits, mask = pictures()
    for fill, scale in ((0, 1), (0, 40), (255, 40)):
        leaf = (scale * logits).to(dtype).requires_grad_()
        terms = loss(leaf, {"mask": torch.full_like(mask, fill)})
        total = sum(terms.values())
        total.backward()
        assert leaf.grad.dtype == dtype
        assert leaf.grad.isfinite().all()
        assert all(term.dtype == torch.float32 and term.shape == () and term.isfinite() for term in terms.values())
        assert (leaf.grad == 0).all() if fill == 255 else leaf.grad.abs().sum() > 0
        assert (total == 0) == (fill == 255)


@pytest.mark.parametrize("loss", EVERY, ids=kinds)
def test_the_order_of_images_and_ignored_cells_do_not_matter(loss):
    logits, mask = pictures()
    mask[0, :8] = 255  # a whole row of cells

    def result(z: torch.Tensor, order: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        leaf = z[order].clone().requires_grad_()
        total = sum(loss(leaf, {"mask": mask[order]}).values())
        total.backward()
        return total.detach(), leaf.grad

    value, grad = result(logits, [0, 1, 2])
    moved, grads = result(logits, [2, 0, 1])
    torch.testing.assert_close(moved, value)
    torch.testing.assert_close(grads, grad[[2, 0, 1]])
    assert (grad[0, :, 0] == 0).all()
    other = logits.clone()
    other[0, :, 0] = 100 * torch.randn(4, 4)
    torch.testing.assert_close(result(other, [0, 1, 2])[0], value, rtol=0, atol=0)


@pytest.mark.parametrize("loss", EVERY, ids=kinds)
@pytest.mark.parametrize("factor", [1, 4])
def test_free_logits_reach_the_optimum(loss, factor):
    """Where every cell is of one class, IOU and cross-entropy reach 0 and UOI 1."""
    mask = torch.tensor([[[0, 1, 2], [2, 2, 0]], [[1, 1, 1], [0, 0, 0]]])
    mask = mask.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    logits = torch.zeros(2, 3, 2, 3, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.5)
    start = sum(loss(logits, {"mask": mask}).values()).item()
    for _ in range(60):
        total = sum(loss(logits, {"mask": mask}).values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    best = {"UoI": 1.0, "UoICE": 0.7}.get(kinds(loss), 0.0)
    assert start > best + 0.2
    assert best <= total.item() + 1e-6 < best + 0.02
    assert (logits.argmax(1) == mask[:, ::factor, ::factor]).all()


def test_soft_cross_entropy_reaches_the_entropy_of_the_labels():
    _, mask = pictures()
    share = soft_labels(mask, classes=4, grid=(3, 4), dtype=torch.float64).share_BKhw
    entropy = -torch.special.xlogy(share, share).sum(1).mean()
    found = CESoft()(share.clamp(min=1e-300).log(), {"mask": mask})["ce_soft"]
    assert found.item() == pytest.approx(entropy.item())


class _NoHostWaits(TorchDispatchMode):
    """Fails on operations whose result depends on data: those would make an accelerator wait."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default), func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("loss", EVERY, ids=kinds)
def test_no_host_waits_off_the_cpu(loss, monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)  # the labels are not looked at
    logits, mask = pictures()
    with _NoHostWaits():
        sum(loss(logits.requires_grad_(), {"mask": mask}).values()).backward()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: UoI(epsilon=0), r"loss\.epsilon=0: expected a number above 0"),
        (lambda: IoU(epsilon="small"), r"loss\.epsilon=small: expected a number above 0"),
        (lambda: UoICE(epsilon=-1), r"loss\.epsilon=-1: expected a number above 0"),
        (lambda: IoU(reduction="max"), r"loss\.reduction=max: expected one of mean, sum"),
        (lambda: UoI(classes="some"), r"loss\.classes=some: expected one of present, all"),
        (lambda: CESoft(cells="pixels"), r"loss\.cells=pixels: expected one of equal, labelled"),
        (lambda: CESoft(reduction=None), r"loss\.reduction=None: expected one of mean, sum"),
        (lambda: UoICE(ce_reduction="none"), r"loss\.ce_reduction=none: expected one of mean, sum"),
        (lambda: UoICE(weights={"uoi": 0, "ce_soft": 1}), r"loss\.weights\.uoi=0: expected a number above 0"),
        (lambda: UoICE(weights={"uoi": 1}), r"loss\.weights=.*: expected one number for each of uoi, ce_soft"),
        (lambda: UoICE(weights={"uoi": 1, "ce_soft": 1, "ce_sof": 1}), r"unknown key 'loss\.weights\.ce_sof', did you"),
        (lambda: UoICE(weights=0.7), r"loss\.weights=0\.7: expected one number for each of uoi, ce_soft"),
    ],
)
def test_wrong_options_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("loss", EVERY, ids=kinds)
def test_wrong_inputs_are_named(loss):
    logits, mask = pictures()
    high = mask.clone()
    high[2, 3, 3] = 4
    for z, labels, message in (
        (logits, high, rf"loss \({loss.name}\) with model\.channels=4: mask label 4, expected 0\.\.3 or 255"),
        (torch.zeros(3, 4, 18, 4), mask, r"logits: a grid of 18 x 4 cells over masks of 17 x 21 pixels, expected no"),
        (logits[:2], mask, r"mask: \(3, 17, 21\), expected one mask for each of 2 images"),
        (logits, mask.double(), r"mask: torch\.float64 \(3, 17, 21\), expected integers \[B, H, W\]"),
        (logits[0], mask, r"logits: torch\.float64 \(4, 3, 4\), expected floating point \[B, K, h, w\]"),
        (logits.long(), mask, r"logits: torch\.int64 .*expected floating point"),
    ):
        with pytest.raises(ValueError, match=message):
            loss(z, {"mask": labels})


def test_sums_of_two_batches_add_up():
    logits, mask = pictures()
    apart = corpus_sums(logits[:1], mask[:1]) + corpus_sums(logits[1:], mask[1:])
    torch.testing.assert_close(apart, corpus_sums(logits, mask))
