"""Cross-entropy, class-agnostic cross-entropy and the discriminative loss against their equations."""

import math

import pytest
import torch

from seglab.losses.cace import cace_loss
from seglab.losses.ce import CE, cross_entropy
from seglab.losses.discriminative import discriminative_loss


def scene(B, M, N, H, W, *, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(B, M, H, W, generator=generator, dtype=dtype)
    labels = torch.randint(0, N, (B, H, W), generator=generator)
    labels[torch.rand(B, H, W, generator=generator) < 0.15] = 255
    return logits, labels


def value_and_gradient(function, logits, labels):
    leaf = logits.detach().clone().requires_grad_()
    value = function(leaf, labels)
    value.backward()
    return value.detach(), leaf.grad


def naive_discriminative(e, labels, delta_v=0.5, delta_d=1.5):
    """De Brabandere et al. 2017, Eqs. 1-3, in loops."""
    terms = torch.zeros(3, dtype=e.dtype)
    for image, mask in zip(e, labels, strict=True):
        groups = [image[:, mask == r] for r in mask.unique() if r != 255]
        C = len(groups)
        means = [g.mean(1) for g in groups]
        for g, mean in zip(groups, means, strict=True):
            distance = (g - mean[:, None]).norm(dim=0)
            terms[0] += (distance - delta_v).clamp(min=0).square().mean() / C
            terms[2] += mean.norm() / C
            for other in means:
                if other is not mean:
                    terms[1] += (2 * delta_d - (mean - other).norm()).clamp(min=0).square() / (C * (C - 1))
    return terms / len(e)


@pytest.mark.parametrize(
    "options",
    [{}, {"average": "batch"}, {"weight": [0.5, 2.0, 1.0]}, {"label_smoothing": 0.1, "weight": [1.0, 2.0, 3.0]}],
)
def test_cross_entropy_gradient(options):
    logits, labels = scene(2, 3, 3, 4, 3)
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, labels, **options), logits.requires_grad_())


def test_cross_entropy_by_hand():
    logits = torch.zeros(2, 2, 1, 2)
    logits[0, 1, 0, 0] = math.log(3.0)
    labels = torch.tensor([[[1, 255]], [[0, 1]]])
    assert cross_entropy(logits, labels).item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    pooled = cross_entropy(logits, labels, average="batch")
    assert pooled.item() == pytest.approx((math.log(4 / 3) + 2 * math.log(2)) / 3)
    assert CE(average="batch").batch_coupled
    assert not CE().batch_coupled


def test_cross_entropy_does_see_exchanged_labels():
    logits, labels = scene(3, 2, 2, 8, 8, dtype=torch.float32)
    exchanged = torch.where(labels == 255, labels, 1 - labels)
    assert abs(cross_entropy(logits, labels) - cross_entropy(logits, exchanged)) > 1e-3


def test_cace_is_the_smaller_cross_entropy_of_each_image():
    logits, labels = scene(4, 2, 2, 6, 5, dtype=torch.float32)
    logits[::2, 0] += 3
    inverse = torch.where(labels == 255, labels, 1 - labels)
    one = [slice(b, b + 1) for b in range(4)]
    each = [min(cross_entropy(logits[b], y[b]).item() for y in (labels, inverse)) for b in one]
    assert cace_loss(logits, labels).item() == pytest.approx(sum(each) / 4, abs=1e-6)
    assert torch.autograd.gradcheck(lambda x: cace_loss(x, labels), logits.double().requires_grad_())


def test_printed_cace_is_zero_and_ours_is_not():
    """min(-y log p, -(1 - y) log p) is zero for every y in {0, 1}: one of the two arguments is."""
    logits, labels = scene(2, 2, 2, 6, 6)
    labels[labels == 255] = 0
    log_p = logits.log_softmax(1)[:, 1]
    assert torch.minimum(-labels * log_p, -(1 - labels) * log_p).abs().max() == 0
    assert cace_loss(logits, labels) > 0.01


@pytest.mark.parametrize("seed", range(4))
def test_exchanged_masks_give_cace_the_same_bits(seed):
    logits, labels = scene(1 + 3 * seed, 2, 2, 37, 2 * seed + 5, seed=seed, dtype=torch.float32)
    exchanged = torch.where(labels == 255, labels, 1 - labels)
    exchanged[1::2] = labels[1::2]
    value, grad = value_and_gradient(cace_loss, logits, labels)
    other, slope = value_and_gradient(cace_loss, logits, exchanged)
    assert torch.equal(value, other)
    assert torch.equal(grad, slope)


def test_discriminative_equals_the_loops():
    e, labels = scene(3, 5, 6, 9, 8)
    labels[labels == 3] = 200
    labels[1] = torch.where(labels[1] == 255, 255, 7)
    terms = discriminative_loss(e, labels, delta_v=0.4, delta_d=1.1, alpha=2.0, beta=3.0, gamma=0.5)
    expected = naive_discriminative(e, labels, 0.4, 1.1) * torch.tensor([2.0, 3.0, 0.5])
    assert torch.allclose(torch.stack(list(terms.values())), expected, atol=1e-10)
    assert list(terms) == ["variance", "distance", "regularisation"]


def test_discriminative_gradient():
    e, labels = scene(2, 3, 4, 4, 4)
    assert torch.autograd.gradcheck(lambda x: tuple(discriminative_loss(x, labels).values()), e.requires_grad_())


@pytest.mark.parametrize("fill", [0, 9, 255])
def test_discriminative_of_one_region_or_none(fill):
    e, _ = scene(2, 3, 2, 4, 4)
    leaf = e.requires_grad_()
    terms = discriminative_loss(leaf, torch.full((2, 4, 4), fill))
    assert terms["distance"] == 0
    assert (sum(terms.values()) == 0) == (fill == 255)
    sum(terms.values()).backward()
    assert leaf.grad.isfinite().all()


def test_discriminative_of_equal_embeddings_is_finite():
    leaf = torch.zeros(1, 4, 4, 4, requires_grad=True)
    labels = torch.arange(16).view(1, 4, 4)
    terms = discriminative_loss(leaf, labels)
    assert terms["distance"].item() == pytest.approx(9.0)
    sum(terms.values()).backward()
    assert leaf.grad.isfinite().all()
