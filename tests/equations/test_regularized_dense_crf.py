"""Dense-CRF loss against two loops over the pixels, its own gradient, and its approximation."""

import math
import re

import pytest
import torch

from seglab.losses import dense_crf
from seglab.losses.dense_crf import dense_crf_loss
from seglab.post.dense_crf import bilateral_features


def pictures(B=2, H=8, W=10, seed=0):
    """A blurred object on blocks of colour."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.randint(60, 200, (B, 3, 4, 4), generator=generator).double()
    image = torch.nn.functional.interpolate(blocks, size=(H, W), mode="bilinear").round().byte()
    x = torch.nn.functional.interpolate(torch.randn(B, 1, 4, 4, generator=generator) * 3, size=(H, W), mode="bilinear")
    return x[:, 0].sigmoid(), image


def by_loops(x, image, *, colour=15.0, space=100.0):
    """Sum over p != q of w x_p (1 - x_q), as it is printed."""
    _, H, W = image.shape
    places = [(i, j) for i in range(H) for j in range(W)]
    total = 0.0
    for p in places:
        for q in places:
            if p != q:
                colours = (image[:, p[0], p[1]].double() - image[:, q[0], q[1]].double()).square().sum().item()
                distance = (p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2
                weight = math.exp(-colours / (2 * colour**2) - distance / (2 * space**2))
                total += weight * x[p].item() * (1 - x[q].item())
    return total


def by_matrix(x, image, *, colour=15.0, space=100.0):
    """The same with all pairs at once, float64: value and gradient of one image."""
    f = bilateral_features(image, sxy=space, srgb=colour).double()
    kernel = torch.exp(-0.5 * torch.cdist(f, f, compute_mode="donot_use_mm_for_euclid_dist").square())
    kernel.fill_diagonal_(0)
    v = x.double().flatten()
    return (v @ kernel @ (1 - v)).item(), (kernel @ (1 - 2 * v)).view_as(x)


def both(x, image, **options):
    leaf = x.detach().clone().requires_grad_()
    values = dense_crf_loss(leaf, image, factor=1, reduction="none", **options)
    return values.detach(), torch.autograd.grad(values.sum(), leaf)[0]


def test_hand_worked_3x3():
    x = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]])
    image = torch.zeros(1, 3, 3, 3, dtype=torch.uint8)
    image[:, :, 0] = 30
    # the middle pixel with 4 neighbours at distance 1 and 4 at sqrt(2); the upper row is 30 grey levels brighter
    near, far, colour = math.exp(-1 / 8), math.exp(-2 / 8), math.exp(-3 * 30**2 / (2 * 15**2))
    wanted = (3 * near + 2 * far + colour * (near + 2 * far)) / 9
    loss = dense_crf_loss(x, image, sigma_space=2, factor=1)
    assert loss.item() == pytest.approx(wanted)
    assert dense_crf_loss(x, image, sigma_space=2, factor=1, divide="pairs").item() == pytest.approx(wanted / 8)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("sigmas", [{}, {"sigma_colour": 40.0, "sigma_space": 3.0}], ids=str)
def test_equals_two_loops(kind, sigmas):
    x, image = pictures()
    options = {key.replace("sigma_", ""): value for key, value in sigmas.items()}
    values = dense_crf_loss(x.to(kind), image, factor=1, reduction="none", **sigmas)
    wanted = [by_loops(x[b], image[b], **options) / 80 for b in range(2)]
    assert values.tolist() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (37, 53), (23, 23), (1, 5)], ids=str)
def test_value_and_gradient_are_exact(size):
    """Sizes that fill tiles and units of the kernel, and that do not."""
    x, image = pictures(H=size[0], W=size[1])
    values, gradient = both(x, image)
    for b in range(2):
        value, exact = by_matrix(x[b], image[b])
        assert values[b].item() == pytest.approx(value / x[b].numel(), rel=1e-5)
        assert (gradient[b] * x[b].numel() - exact).abs().max() <= 1e-5 * exact.abs().max()


def test_gradcheck():
    x, image = pictures(H=4, W=5)
    leaf = x.double().requires_grad_()
    for options in ({"factor": 1}, {"factor": 0.5, "use_B": torch.tensor([0, 1])}):
        assert torch.autograd.gradcheck(lambda y, o=options: dense_crf_loss(y, image, **o), leaf)


def test_gradient_of_the_approximation():
    """The loss is a polynomial of degree two, whose central difference is its derivative."""
    x, image = pictures(H=12, W=12)
    leaf, step = x.double().requires_grad_(), 0.01 * torch.randn(2, 12, 12, generator=torch.Generator().manual_seed(1))
    gradient = torch.autograd.grad(dense_crf_loss(leaf, image, method="landmarks", landmarks=32), leaf)[0]
    plus, minus = (dense_crf_loss(x.double() + s, image, method="landmarks", landmarks=32) for s in (step, -step))
    assert (gradient * step).sum().item() == pytest.approx((plus - minus).item() / 2, rel=1e-3)


def test_landmarks_are_near():
    x, image = pictures(H=48, W=48)
    values, gradient = both(x, image, method="landmarks", landmarks=256)
    exact, exact_gradient = both(x, image)
    assert values.tolist() == pytest.approx(exact.tolist(), rel=0.025)
    assert (gradient - exact_gradient).norm() <= 0.025 * exact_gradient.norm()


def test_landmarks_that_miss_much_are_told_once(monkeypatch, caplog):
    monkeypatch.setattr(dense_crf, "_warned", set())
    x, image = pictures(H=24, W=24)
    both(x, image, method="landmarks", landmarks=256)
    assert not caplog.records
    noise = torch.randint(0, 256, image.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for _ in range(2):
        both(x, noise, method="landmarks", landmarks=16)
    (record,) = caplog.records
    assert re.search(r"loss\.dense_landmarks=16: they miss \d+ %", record.getMessage())


def test_invariances():
    x, image = pictures()
    values, gradient = both(x, image)
    swapped, swapped_gradient = both(1 - x, image)
    torch.testing.assert_close(swapped, values, rtol=1e-5, atol=0)
    torch.testing.assert_close(swapped_gradient, -gradient)
    flipped, flipped_gradient = both(x.flip(2), image.flip(3))
    torch.testing.assert_close(flipped, values)
    torch.testing.assert_close(flipped_gradient.flip(2), gradient)
    for constant in (0.0, 1.0):
        assert both(torch.full_like(x, constant), image)[0].tolist() == [0, 0]


def test_shrinking_is_the_loss_of_the_shrunk_picture():
    x, image = pictures(H=8, W=8)
    small = torch.nn.functional.avg_pool2d(image.double(), 2)
    wanted = dense_crf_loss(torch.nn.functional.avg_pool2d(x, 2), small, sigma_space=50, factor=1)
    assert dense_crf_loss(x, image, sigma_space=100, factor=0.5).item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize(("size", "area"), [((8, 10), False), ((8, 9), True), ((9, 7), True)], ids=str)
def test_halving_needs_no_operation_without_a_reproducible_gradient(size, area):
    """On CUDA the gradient of area interpolation is refused by runtime.deterministic; halves have the same values."""
    x, image = pictures(H=size[0], W=size[1])
    leaf = x.requires_grad_()
    loss = dense_crf_loss(leaf, image)
    step, names = [loss.grad_fn], set()
    while step:
        node = step.pop()
        names.add(node.name())
        step += [after for after, _ in node.next_functions if after is not None]
    assert any("Adaptive" in name for name in names) == area
    (gradient,) = torch.autograd.grad(loss, leaf)
    sizes = [round(n / 2) for n in size]
    shrunk = [torch.nn.functional.interpolate(t, size=sizes, mode="area") for t in (leaf[:, None], image.float())]
    wanted = dense_crf_loss(shrunk[0][:, 0], shrunk[1], sigma_space=50, factor=1)
    assert torch.equal(loss, wanted)
    assert torch.equal(gradient, torch.autograd.grad(wanted, leaf)[0])


def test_measures_hard_predictions_without_a_graph():
    x, image = pictures(H=16, W=16)
    with torch.no_grad():
        hard = dense_crf_loss((x > 0.5).float(), image, factor=1, reduction="none")
    value, _ = by_matrix((x[0] > 0.5).double(), image[0])
    assert not hard.requires_grad
    assert hard[0].item() == pytest.approx(value / 256, rel=1e-5)


def test_images_out_of_use_count_for_nothing():
    x, image = pictures()
    use = torch.tensor([False, True])
    leaf = x.requires_grad_()
    loss = dense_crf_loss(leaf, image, use_B=use)
    loss.backward()
    assert loss.item() == pytest.approx(dense_crf_loss(x[use], image[use]).item())
    assert (leaf.grad[0] == 0).all()
    assert dense_crf_loss(leaf, image, use_B=torch.zeros(2)).requires_grad


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma_colour": 0}, r"loss\.dense_sigma_colour=0: expected a number above 0"),
        ({"sigma_space": -1}, r"loss\.dense_sigma_space=-1"),
        ({"factor": 2}, r"loss\.dense_factor=2: expected a number above 0, at most 1"),
        ({"divide": "images"}, r"loss\.dense_divide=images: expected one of pixels, pairs"),
        ({"method": "grid"}, r"loss\.dense_method=grid: expected one of exact, landmarks"),
        ({"landmarks": 0}, r"loss\.dense_landmarks=0: expected a whole number"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        dense_crf_loss(*pictures(), **options)
