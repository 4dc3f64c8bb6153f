"""Losses against label noise beside their formulas, written out pixel by pixel from the papers."""

from __future__ import annotations

import math

import pytest
import torch

from seglab.losses.bootstrap import bootstrap_loss
from seglab.losses.ce import cross_entropy
from seglab.losses.dice import Dice, dice_loss
from seglab.losses.elr import early_learning_loss
from seglab.losses.focal import focal_loss
from seglab.losses.forward_correction import forward_loss
from seglab.losses.gce import generalised_cross_entropy
from seglab.losses.sce import symmetric_cross_entropy

T3 = torch.tensor([[0.8, 0.15, 0.05], [0.1, 0.6, 0.3], [0.2, 0.0, 0.8]], dtype=torch.float64)


def scene(B=2, K=3, H=4, W=3, *, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(B, K, H, W, generator=generator, dtype=dtype)
    labels = torch.randint(0, K, (B, H, W), generator=generator)
    labels[torch.rand(B, H, W, generator=generator) < 0.2] = 255
    return logits, labels


def targets(B=2, K=3, H=4, W=3):
    raw = torch.rand(B, K, H, W, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    return 0.9 * raw / raw.sum(1, keepdim=True)


def per_pixel(cost, logits, labels, average="image"):
    """Mean of ``cost(p, y, b, row, column)`` over pixels, then over images."""
    images, everything = [], []
    for b, (image, mask) in enumerate(zip(logits, labels, strict=True)):
        costs = []
        for r in range(mask.shape[0]):
            for c in range(mask.shape[1]):
                if (y := int(mask[r, c])) != 255:
                    e = [math.exp(float(z)) for z in image[:, r, c]]
                    costs.append(cost([v / sum(e) for v in e], y, b, r, c))
        images.append(sum(costs) / len(costs) if costs else 0.0)
        everything += costs
    return sum(images) / len(images) if average == "image" else sum(everything) / max(1, len(everything))


def symmetric(p, y, *_):
    reverse = -sum(pk * (0.0 if k == y else -4.0) for k, pk in enumerate(p))
    return 0.3 * -math.log(p[y]) + 2.0 * reverse


def soft(p, y, *_):
    return -sum((0.95 * (k == y) + 0.05 * pk) * math.log(pk) for k, pk in enumerate(p))


def hard(p, y, *_):
    z = p.index(max(p))
    return -sum((0.8 * (k == y) + 0.2 * (k == z)) * math.log(pk) for k, pk in enumerate(p))


def forward(p, y, *_):
    return -math.log(sum(p[i] * float(T3[i, y]) for i in range(3)))


def early(p, y, b, r, c):
    t = targets()[b, :, r, c].tolist()
    return -math.log(p[y]) + 3.0 * math.log(1 - sum(pk * tk for pk, tk in zip(p, t, strict=True)))


CASES = {
    "gce": (lambda z, y, **o: generalised_cross_entropy(z, y, q=0.7, **o), lambda p, y, *_: (1 - p[y] ** 0.7) / 0.7),
    "gce_truncated": (
        lambda z, y, **o: generalised_cross_entropy(z, y, q=0.7, truncate=0.5, **o),
        lambda p, y, *_: (1 - max(p[y], 0.5) ** 0.7) / 0.7,
    ),
    "sce": (lambda z, y, **o: sum(symmetric_cross_entropy(z, y, alpha=0.3, beta=2.0, **o)), symmetric),
    "bootstrap_soft": (lambda z, y, **o: bootstrap_loss(z, y, kind="soft", beta=0.95, **o), soft),
    "bootstrap_hard": (lambda z, y, **o: bootstrap_loss(z, y, kind="hard", beta=0.8, **o), hard),
    "focal": (
        lambda z, y, **o: focal_loss(z, y, gamma=1.5, weight=[0.75, 0.25, 2.0], **o),
        lambda p, y, *_: -[0.75, 0.25, 2.0][y] * (1 - p[y]) ** 1.5 * math.log(p[y]),
    ),
    "forward": (lambda z, y, **o: forward_loss(z, y, T3, **o), forward),
    "elr": (lambda z, y, **o: sum(early_learning_loss(z, y, targets(), weight=3.0, **o)), early),
}


@pytest.mark.parametrize("average", ["image", "batch"])
@pytest.mark.parametrize("name", CASES)
def test_value_is_the_formula(name: str, average: str) -> None:
    loss, cost = CASES[name]
    logits, labels = scene()
    labels[0, 1:] = 255  # the two ways to average differ
    assert loss(logits, labels, average=average).item() == pytest.approx(
        per_pixel(cost, logits, labels, average), rel=1e-12
    )


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_that_of_the_value(name: str) -> None:
    logits, labels = scene(seed=3)
    assert torch.autograd.gradcheck(lambda z: CASES[name][0](z, labels), logits.requires_grad_())


@pytest.mark.parametrize("name", CASES)
def test_ignored_pixels_and_empty_images_give_neither_value_nor_gradient(name: str) -> None:
    logits, labels = scene()
    labels[1] = 255
    leaf = logits.clone().requires_grad_()
    loss = CASES[name][0](leaf, labels)
    loss.backward()
    assert (leaf.grad.abs().sum(1)[labels == 255] == 0).all()
    assert (leaf.grad.abs().sum(1)[labels != 255] > 0).any()
    moved = torch.where((labels == 255)[:, None], 5 * torch.randn_like(logits), logits)
    assert CASES[name][0](moved, labels).item() == loss.item()


@pytest.mark.parametrize("name", [*CASES, "dice"])
@pytest.mark.parametrize("scale", [1e2, 1e4, 1e30])
def test_sure_networks_have_finite_values_and_slopes(name: str, scale: float) -> None:
    """A softmax of exactly 0 and 1 in float32, on the right and on the wrong side."""
    loss = CASES[name][0] if name in CASES else dice_loss
    logits = torch.tensor([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]])[None, :, :, None] * scale
    logits = logits.expand(2, 3, 3, 3).contiguous().requires_grad_()
    labels = torch.tensor([0, 1, 2])[None, None].expand(2, 3, 3)
    value = loss(logits[..., :3, :], labels) if name != "elr" else loss_of_sure_targets(logits, labels)
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert logits.grad.isfinite().all()


def loss_of_sure_targets(logits, labels):
    target = torch.zeros(2, 3, 3, 3)
    target[:, 0] = 1.0
    return sum(early_learning_loss(logits, labels, target))


@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_focal_of_a_certain_pixel_has_no_slope(gamma: float) -> None:
    logits = torch.tensor([200.0, -200.0]).view(1, 2, 1, 1).requires_grad_()
    focal_loss(logits, torch.zeros(1, 1, 1, dtype=torch.int64), gamma=gamma).backward()
    assert (logits.grad == 0).all()


@pytest.mark.parametrize(
    "loss",
    [
        lambda z, y: generalised_cross_entropy(z, y, q=0.0),
        lambda z, y: generalised_cross_entropy(z, y, q=1e-9),
        lambda z, y: sum(symmetric_cross_entropy(z, y, alpha=1.0, beta=0.0)),
        lambda z, y: forward_loss(z, y, torch.eye(3)),
        lambda z, y: bootstrap_loss(z, y, kind="soft", beta=1.0),
        lambda z, y: bootstrap_loss(z, y, kind="hard", beta=1.0),
        lambda z, y: sum(early_learning_loss(z, y, targets(), weight=0.0)),
        lambda z, y: sum(early_learning_loss(z, y, torch.zeros(2, 3, 4, 3), weight=3.0)),
        lambda z, y: focal_loss(z, y, gamma=0.0),
    ],
    ids=["gce0", "gce1e-9", "sce", "forward", "soft", "hard", "elr", "elr-first", "focal"],
)
def test_limits_are_cross_entropy(loss) -> None:
    logits, labels = scene(seed=5)
    found, wanted = (logits.clone().requires_grad_() for _ in range(2))
    value, expected = loss(found, labels), cross_entropy(wanted, labels)
    torch.testing.assert_close(value, expected, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(
        torch.autograd.grad(value, found), torch.autograd.grad(expected, wanted), rtol=1e-6, atol=1e-9
    )


def test_weights_of_symmetric_cross_entropy_apply_to_their_terms() -> None:
    logits, labels = scene()
    assert symmetric_cross_entropy(logits, labels, alpha=0.25).ce.item() == pytest.approx(
        0.25 * cross_entropy(logits, labels).item()
    )


def test_gce_of_one_is_half_the_absolute_error() -> None:
    logits, labels = scene()
    half = per_pixel(lambda p, y, *_: sum(abs(pk - (k == y)) for k, pk in enumerate(p)) / 2, logits, labels)
    assert generalised_cross_entropy(logits, labels, q=1.0).item() == pytest.approx(half, rel=1e-12)


def test_reverse_cross_entropy_is_minus_a_halves_of_the_absolute_error() -> None:
    """Wang et al. 2019, section 3.3: with A = -2 it is the mean absolute error."""
    logits, labels = scene()
    error = per_pixel(lambda p, y, *_: sum(abs(pk - (k == y)) for k, pk in enumerate(p)), logits, labels)
    assert symmetric_cross_entropy(logits, labels, log_zero=-2.0).rce.item() == pytest.approx(error, rel=1e-12)


def test_the_corrected_loss_is_smallest_at_the_clean_posterior() -> None:
    """Theorem 2: under labels drawn by T the minimiser of the corrected loss is the clean distribution."""
    clean = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    shares = (clean @ T3).mul(1000).round().long()  # noisy labels of 1000 pixels
    labels = torch.repeat_interleave(torch.arange(3), shares)[None, None]
    z = torch.zeros(1, 3, 1, 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([z], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14)

    def closure():
        optimiser.zero_grad()
        loss = forward_loss(z.expand(1, 3, 1, labels.numel()), labels, T3)
        loss.backward()
        return loss

    optimiser.step(closure)
    torch.testing.assert_close(z.detach().softmax(1).flatten(), clean, atol=2e-3, rtol=0)


def test_a_label_that_cannot_be_costs_much_and_stays_finite() -> None:
    never = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    logits = torch.zeros(1, 2, 1, 1, requires_grad=True)
    loss = forward_loss(logits, torch.ones(1, 1, 1, dtype=torch.int64), never)
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-12), rel=1e-5)
    assert logits.grad.isfinite().all()


def naive_dice(logits, labels, *, classes, squares, smoothing):
    found = []
    for image, mask in zip(logits.softmax(1), labels, strict=True):
        valid, costs = mask != 255, []
        for k in range(image.shape[0]):
            g, p = (mask == k)[valid].double(), image[k][valid]
            if (classes == "foreground" and k == 0) or (classes == "present" and not g.any()):
                continue
            mass = (p * p).sum() if squares else p.sum()
            costs.append(1 - (2 * (p * g).sum() + smoothing) / (mass + g.sum() + smoothing))
        found.append(sum(costs) / len(costs) if costs and valid.any() else torch.zeros((), dtype=torch.float64))
    return sum(found) / len(found)


@pytest.mark.parametrize("classes", ["foreground", "all", "present"])
@pytest.mark.parametrize("denominator", ["squares", "plain"])
def test_dice_is_the_formula_and_its_gradient(classes: str, denominator: str) -> None:
    logits, labels = scene(B=3)
    labels[0][labels[0] == 2] = 1
    labels[1] = 255
    options = {"classes": classes, "denominator": denominator, "smoothing": 0.5}
    wanted = naive_dice(logits, labels, classes=classes, squares=denominator == "squares", smoothing=0.5)
    assert dice_loss(logits, labels, **options).item() == pytest.approx(wanted.item(), rel=1e-12)
    assert torch.autograd.gradcheck(lambda z: dice_loss(z, labels, **options), logits.requires_grad_())


def test_dice_and_cross_entropy_are_two_terms() -> None:
    logits, labels = scene()
    terms = Dice(ce=0.5)(logits, {"mask": labels})
    assert list(terms) == ["dice", "ce"]
    assert terms["ce"].item() == pytest.approx(0.5 * cross_entropy(logits, labels).item())
    assert list(Dice()(logits, {"mask": labels})) == ["dice"]
