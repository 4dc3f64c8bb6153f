"""Magnet and triplet losses against their printed formulas in loops, by hand, and their invariances."""

import math
from functools import partial

import pytest
import torch

from seglab.losses.magnet import Magnet, magnet_loss
from seglab.losses.sampling import draw_samples
from seglab.losses.triplet import Triplet, triplet_loss

MAGNET = [
    {},
    {"alpha": 0.0, "samples": 3},
    {"subclusters": 3, "samples": 4, "alpha": 3.0},
    {"clusters": 3, "alpha": 2.0},
    {"clusters": 4, "subclusters": 2, "rounds": 1, "samples": 5},
]
TRIPLET = [
    {},
    {"negatives": "all", "margin": 0.5},
    {"negatives": "hardest", "samples": 4},
    {"regions": 3, "negatives": "all"},
    {"regions": 2, "margin": 1.0},
]
LOSSES = [(magnet_loss, o) for o in MAGNET] + [(triplet_loss, o) for o in TRIPLET]


def scene(B, E, N, H, W, *, seed=0, dtype=torch.float64):
    """Random embeddings and labels; images differ in the number of regions, of which one has a single pixel."""
    generator = torch.Generator().manual_seed(seed)
    e = torch.randn(B, E, H, W, generator=generator, dtype=dtype)
    labels = torch.randint(0, N, (B, H, W), generator=generator)
    labels[torch.rand(B, H, W, generator=generator) < 0.15] = 255
    labels[-1][labels[-1] != 255] = 4
    labels[0][labels[0] == 1] = 2
    labels[0, 1, 2] = 77
    return e, labels


def seeded(loss, *, seed=0, **options):
    """The loss with the same random numbers at every call."""

    def call(e, labels):
        return loss(e, labels, generator=torch.Generator().manual_seed(seed), **options)

    return call


def value_and_gradient(function, e, labels):
    leaf = e.detach().clone().requires_grad_()
    value = function(leaf, labels)
    value.backward()
    return value.detach(), leaf.grad


def square(a, b):
    return ((a - b) ** 2).sum(-1)


def naive_split(pixels, K, rounds):
    """Lloyd's rounds from centres far apart; returns a cluster number for each pixel."""
    centres = [pixels[0]]
    while len(centres) < K:
        centres.append(max(pixels, key=lambda p: min(square(p, c).item() for c in centres)))
    for step in range(rounds + 1):
        number = [min(range(K), key=lambda k: square(p, centres[k]).item()) for p in pixels]
        for k in range(K if step < rounds else 0):
            mine = [p for p, n in zip(pixels, number, strict=True) if n == k]
            centres[k] = sum(mine) / len(mine) if mine else centres[k]
    return number


def naive_magnet(e, labels, *, seed, alpha=1.0, samples=16, subclusters=1, rounds=3, clusters=None):
    """Rippel et al. 2016 in loops over images, clusters and pixels."""
    generator = torch.Generator().manual_seed(seed)
    drawn = draw_samples(labels, subclusters * samples, generator=generator)
    lot = torch.rand(255 * subclusters, generator=generator)
    total = 0.0
    for b, image in enumerate(e):
        groups = []  # (number, region, pixels)
        for r in range(drawn.pixel_BRD.shape[1]):
            if drawn.present_BR[b, r]:
                pixels = image.flatten(1).T[drawn.pixel_BRD[b, r]]
                number = naive_split(pixels.detach(), subclusters, rounds)
                for k in sorted(set(number)):
                    mine = torch.stack([p for p, n in zip(pixels, number, strict=True) if n == k])
                    groups.append((r * subclusters + k, r, mine))
        if clusters is not None and groups:
            seed_group = max(groups, key=lambda g: lot[g[0]].item())
            others = [g for g in groups if g[1] != seed_group[1]]
            others.sort(key=lambda g: square(g[2].mean(0), seed_group[2].mean(0)).item())
            groups = [seed_group, *others[: clusters - 1]]
        count = sum(len(g[2]) for g in groups)
        means = [g[2].mean(0) for g in groups]
        variance = sum(square(p, m) for g, m in zip(groups, means, strict=True) for p in g[2]) / max(1, count - 1)
        for (_, region, pixels), mean in zip(groups, means, strict=True):
            away = [m for (_, other, _), m in zip(groups, means, strict=True) if other != region]
            for p in pixels if away else []:
                top = torch.exp(-square(p, mean) / (2 * variance) - alpha)
                bottom = sum(torch.exp(-square(p, m) / (2 * variance)) for m in away)
                total = total + torch.relu(-torch.log(top / bottom)) / count
    return total / len(e)


def naive_triplet(e, labels, *, seed, margin=0.2, samples=16, regions=32, negatives="semi_hard"):
    """Schroff et al. 2015, in loops over images, anchors, positives and negatives."""
    drawn = draw_samples(labels, samples, regions=regions, generator=torch.Generator().manual_seed(seed))
    total = 0.0
    for b, image in enumerate(e):
        costs = []
        present = [r for r in range(drawn.pixel_BRD.shape[1]) if drawn.present_BR[b, r]]
        unit = (image / image.norm(dim=0)).flatten(1).T
        for r in present:
            others = [n for q in present if q != r for n in drawn.pixel_BRD[b, q].tolist()]
            for a in drawn.pixel_BRD[b, r].tolist():
                for p in drawn.pixel_BRD[b, r].tolist():
                    if a == p or not others:
                        continue
                    near = square(unit[a], unit[p])
                    far = sorted((square(unit[a], unit[n]) for n in others), key=torch.Tensor.item)
                    beyond = [d for d in far if d > near]
                    chosen = {"all": far, "hardest": far[:1], "semi_hard": beyond[:1] or far[-1:]}[negatives]
                    costs.append(sum(torch.relu(near - d + margin) for d in chosen) / len(chosen))
        total = total + (sum(costs) / len(costs) if costs else 0.0)
    return total / len(e)


@pytest.mark.parametrize("options", MAGNET)
def test_magnet_equals_the_loops(options):
    e, labels = scene(3, 4, 5, 9, 8)
    expected, slope = value_and_gradient(partial(naive_magnet, seed=3, **options), e, labels)
    value, grad = value_and_gradient(seeded(magnet_loss, seed=3, **options), e, labels)
    assert value.item() == pytest.approx(expected.item(), abs=1e-10)
    assert value > 0
    torch.testing.assert_close(grad, slope, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("options", TRIPLET)
def test_triplet_equals_the_loops(options):
    e, labels = scene(3, 4, 5, 9, 8)
    options = {"samples": 5, **options}
    expected, slope = value_and_gradient(partial(naive_triplet, seed=3, **options), e, labels)
    value, grad = value_and_gradient(seeded(triplet_loss, seed=3, **options), e, labels)
    assert value.item() == pytest.approx(expected.item(), abs=1e-10)
    assert value > 0
    torch.testing.assert_close(grad, slope, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize(("loss", "options"), LOSSES)
def test_gradient_in_float64(loss, options):
    e, labels = scene(2, 3, 4, 4, 4)
    labels[1, :2] = 1
    function = seeded(loss, **{"samples": 4, **options})
    assert torch.autograd.gradcheck(lambda x: function(x, labels), e.requires_grad_())


def test_magnet_by_hand():
    """Means 1 and 11, four squared deviations of 1: 2 sigma^2 = 8/3; own distance 1, others 121 and 81."""
    e = torch.tensor([0.0, 2.0, 10.0, 12.0]).view(1, 1, 1, 4)
    labels = torch.tensor([[[5, 5, 0, 0]]])
    assert magnet_loss(e, labels, samples=2, alpha=1.0) == 0
    assert magnet_loss(e, labels, samples=2, alpha=46.0).item() == pytest.approx((1 + 16 + 16 + 1) / 4)
    same = torch.zeros(1, 3, 3, 3)
    cells = torch.arange(9).view(1, 3, 3)
    assert magnet_loss(same, cells, alpha=2.0).item() == pytest.approx(2 + math.log(8))  # eight impostors, no distance


def test_magnet_does_not_know_the_scale():
    e, labels = scene(2, 3, 4, 8, 8)
    function = seeded(magnet_loss, subclusters=2, clusters=3)
    assert function(100 * e, labels).item() == pytest.approx(function(e, labels).item(), rel=1e-9)


@pytest.mark.parametrize(
    ("negatives", "right", "fallback"), [("semi_hard", 0, 0.8), ("hardest", 0.2, 1.4), ("all", 0.1, 1.1)]
)
def test_triplet_by_hand(negatives, right, fallback):
    labels = torch.tensor([[[0, 0, 1, 1]]])
    lengths = torch.tensor([0.1, 3.0, 40.0, 1.0], dtype=torch.float64)
    function = partial(triplet_loss, samples=2, margin=0.2, negatives=negatives)
    circle = torch.tensor([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
    assert function((circle * lengths)[None, :, None], labels).item() == pytest.approx(right, abs=1e-9)
    inside = torch.tensor([[1.0, -1.0, 0.0, 0.6], [0.0, 0.0, 1.0, 0.8]], dtype=torch.float64)
    assert function((inside * lengths)[None, :, None], labels).item() == pytest.approx(fallback, abs=1e-9)


@pytest.mark.parametrize(("loss", "options"), LOSSES)
def test_names_of_labels_and_order_of_images_change_nothing(loss, options):
    e, labels = scene(4, 3, 5, 12, 10, dtype=torch.float32)
    function = seeded(loss, **options)
    value, grad = value_and_gradient(function, e, labels)
    names = torch.randperm(255, generator=torch.Generator().manual_seed(1))
    renamed, slope = value_and_gradient(function, e, torch.where(labels == 255, 255, names[labels.clamp(max=254)]))
    assert torch.equal(renamed, value)
    assert torch.equal(slope, grad)
    order = torch.tensor([2, 0, 3, 1])
    permuted, slope = value_and_gradient(function, e[order], labels[order])
    assert permuted.item() == pytest.approx(value.item(), rel=1e-6)
    torch.testing.assert_close(slope, grad[order])
    alone = [function(e[b : b + 1], labels[b : b + 1]).item() for b in range(4)]
    assert value.item() == pytest.approx(sum(alone) / 4, rel=1e-5)


@pytest.mark.parametrize(("loss", "options"), LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_one_region_none_and_equal_embeddings(loss, options, dtype):
    e = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    for fill in (0, 9, 255):
        leaf = e.to(dtype).requires_grad_()
        value = loss(leaf, torch.full((2, 6, 6), fill), **options)
        value.backward()
        assert value == 0
        assert value.dtype == torch.float32
        assert (leaf.grad == 0).all()
        assert leaf.grad.dtype == dtype
    for constant in (0.0, 3.0):
        leaf = torch.full((2, 3, 6, 6), constant, dtype=dtype).requires_grad_()
        labels = (torch.arange(36).view(1, 6, 6) % 4).repeat(2, 1, 1)
        value = loss(leaf, labels, **options)
        value.backward()
        assert value > 0 or (loss, options.get("alpha")) == (magnet_loss, 0.0)
        assert leaf.grad.isfinite().all()


@pytest.mark.parametrize(("loss", "options"), LOSSES)
def test_ignored_pixels_neither_give_nor_get(loss, options):
    e, labels = scene(3, 3, 5, 10, 10, dtype=torch.float32)
    function = seeded(loss, **options)
    value, grad = value_and_gradient(function, e, labels)
    assert (grad.permute(0, 2, 3, 1)[labels == 255] == 0).all()
    spoilt = torch.where((labels == 255)[:, None], torch.nan, e)
    other, slope = value_and_gradient(function, spoilt, labels)
    assert torch.equal(other, value)
    assert torch.equal(slope, grad)


@pytest.mark.parametrize(("loss", "options"), LOSSES)
def test_two_regions_and_a_row_of_points(loss, options):
    points = torch.cat([torch.zeros(1, 1, 1000), torch.ones(1, 1, 10)], 2).long()
    e = torch.randn(1, 2, 1, 1010, generator=torch.Generator().manual_seed(0))
    value, grad = value_and_gradient(seeded(loss, **{**options, "samples": 16}), e, points)
    assert value > 0
    assert grad.isfinite().all()
    assert grad.abs().sum() > 0


def test_terms_of_the_modules():
    e, labels = scene(2, 3, 4, 6, 6, dtype=torch.float16)
    for loss, name in ((Magnet(clusters=2), "magnet"), (Triplet(negatives="all"), "triplet")):
        terms = loss(e, {"mask": labels})
        assert list(terms) == [name]
        assert terms[name].dtype == torch.float32
        assert not loss.batch_coupled
        assert "samples=16" in str(loss)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Magnet(alpha=-1), r"loss\.alpha=-1: expected a number >= 0"),
        (lambda: Magnet(samples=0), r"loss\.samples=0: expected a whole number, 1 or more"),
        (lambda: Magnet(subclusters=1.5), r"loss\.subclusters=1\.5"),
        (lambda: Magnet(rounds=0), r"loss\.rounds=0"),
        (lambda: Magnet(clusters=1), r"loss\.clusters=1: expected null or a whole number, 2 or more"),
        (lambda: Triplet(margin=float("nan")), r"loss\.margin=nan"),
        (lambda: Triplet(samples=1), r"loss\.samples=1: expected 2 or more"),
        (lambda: Triplet(regions=1), r"loss\.regions=1"),
        (lambda: Triplet(negatives="hard"), r"loss\.negatives=hard: expected one of semi_hard, all, hardest"),
    ],
)
def test_wrong_settings_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
