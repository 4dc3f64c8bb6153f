"""Sparse-CRF loss against hand-worked pictures, its own gradient, and itself computed in other ways."""

import math

import pytest
import torch

from seglab.losses.sparse_crf import edge_weights, sparse_crf_loss

OPTIONS = [
    {},
    {"neighbours": 8},
    {"neighbours": 8, "diagonal": "plain", "scale": "unit"},
    {"scale": "unit", "sigma": 0.03},
    {"bilinear": 0.3},
    {"bilinear": 1, "neighbours": 8},
]


def pictures(B=3, H=9, W=11, seed=0):
    """Object probabilities, and images with steps of colour small enough for weights between 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(90, 110, (B, 3, H, W), generator=generator, dtype=torch.uint8)
    image[:, :, :, W // 2 :] += 100
    return torch.rand(B, H, W, generator=generator), image


def both(x, image, **options):
    leaf = x.detach().clone().requires_grad_()
    loss = sparse_crf_loss(leaf, image, **options)
    return loss.detach(), torch.autograd.grad(loss, leaf)[0]


def by_loops(x, image, *, sigma=0.15, scale="standardised", neighbours=4, diagonal="distance", bilinear=0.0):
    """Eqs. 2 and 3 (and Eq. 1 relaxed bilinearly), pair by pair, on colours standardised first."""
    colour = image.double() / 255
    if scale == "standardised":
        mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).double()[..., None, None]
        colour = (colour - mean) / deviation
    steps = {(0, 1): 1.0, (1, 0): 1.0}
    if neighbours == 8:
        steps |= dict.fromkeys([(1, 1), (1, -1)], 1 / math.sqrt(2) if diagonal == "distance" else 1.0)
    _, H, W = image.shape
    total = 0.0
    for (down, right), share in steps.items():
        costs = []
        for i in range(H):
            for j in range(W):
                if i + down < H and 0 <= j + right < W:
                    square = (colour[:, i, j] - colour[:, i + down, j + right]).square().sum().item()
                    weight = math.exp(-square / (2 * sigma**2))
                    a, b = x[i, j].item(), x[i + down, j + right].item()
                    costs.append(weight * ((1 - bilinear) * abs(a - b) + bilinear * (a * (1 - b) + b * (1 - a))))
        total += share * sum(costs) / len(costs)
    return total / sum(steps.values())


def test_hand_worked_3x3():
    x = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]])
    flat = torch.full((1, 3, 3, 3), 7, dtype=torch.uint8)
    # 2 of 6 horizontal pairs and 2 of 6 vertical pairs are cut, each with weight 1
    assert sparse_crf_loss(x, flat).item() == pytest.approx(1 / 3)
    # all 4 of 4 pairs of each diagonal: (1/3 + 1/3 + 1/2 + 1/2) / 4 with ends counted alike
    assert sparse_crf_loss(x, flat, neighbours=8, diagonal="plain").item() == pytest.approx((2 / 3 + 1) / 4)
    root = 1 / math.sqrt(2)
    wanted = (2 / 3 + root) / (2 + 2 * root)
    assert sparse_crf_loss(x, flat, neighbours=8).item() == pytest.approx(wanted)


def test_hand_worked_weights_in_both_scales():
    image = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    image[0, 0, :, 1] = 10  # red grows by 10 grey levels from left to right
    x = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])
    unit = math.exp(-((10 / 255) ** 2) / (2 * 0.15**2))
    standardised = math.exp(-((10 / 255 / 0.229) ** 2) / (2 * 0.15**2))
    assert sparse_crf_loss(x, image, scale="unit").item() == pytest.approx(unit / 2)
    assert sparse_crf_loss(x, image).item() == pytest.approx(standardised / 2)
    weights = edge_weights(image)
    assert weights.shape == (1, 2, 2, 2)
    torch.testing.assert_close(weights[0, 0], torch.tensor([[standardised, 0.0], [standardised, 0.0]]))
    assert weights[0, 1].tolist() == [[1, 1], [0, 0]]


def test_hand_worked_bilinear_pairs():
    """Left 1/2, right 1: both forms cost 1/2. Above and below 1/2: the paper's form costs 0, the bilinear one 1/2."""
    x = torch.tensor([[[0.5, 1.0], [0.5, 1.0]]])
    flat = torch.full((1, 3, 2, 2), 7, dtype=torch.uint8)
    # horizontal pairs 1/2 and 1/2; vertical pairs 0 and 0, or b/2 (1/2 with 1/2) and 0 (1 with 1)
    for share, wanted in ((0.0, 1 / 4), (0.25, (1 / 2 + 1 / 16) / 2), (1.0, 3 / 8)):
        value, gradient = both(x, flat, bilinear=share)
        assert value.item() == pytest.approx(wanted)
        # on the left: half of the two means of 2 pairs; across (1 - b) * -1 + b * (1 - 2), down b * (1 - 2/2)
        torch.testing.assert_close(gradient[0, :, 0], torch.full((2,), -1 / 4))
        # on the right: across (1 - b) * 1 + b * (1 - 2/2), down b * (1 - 2)
        torch.testing.assert_close(gradient[0, :, 1], torch.full((2,), (1 - share - share) / 4))


@pytest.mark.parametrize("neighbours", [4, 8])
def test_a_grey_map_is_free_only_without_the_bilinear_form(neighbours):
    _, image = pictures()
    image[:] = 7
    grey = torch.full((3, 9, 11), 0.5)
    for share in (0.0, 0.2, 1.0):
        for y in (grey, grey.double()):
            assert sparse_crf_loss(y, image, neighbours=neighbours, bilinear=share).item() == pytest.approx(share / 2)


@pytest.mark.parametrize("neighbours", [4, 8])
def test_hard_labels_cost_the_same_in_both_forms(neighbours):
    x, image = pictures()
    hard = (x > 0.5).float()
    weights = edge_weights(image, neighbours=neighbours)
    for y, given in ((hard, None), (hard, weights), (hard.double(), None)):
        values = [
            sparse_crf_loss(y, image, neighbours=neighbours, weights=given, bilinear=b, reduction="none")
            for b in (0.0, 0.3, 1.0)
        ]
        for other in values[1:]:
            torch.testing.assert_close(other, values[0], rtol=1e-6, atol=0)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equals_loops(options):
    x, image = pictures(B=2)
    values = sparse_crf_loss(x, image, reduction="none", **options)
    wanted = [by_loops(x[b], image[b], **options) for b in range(2)]
    assert values.tolist() == pytest.approx(wanted, rel=1e-5)
    assert sparse_crf_loss(x, image, **options).item() == pytest.approx(sum(wanted) / 2, rel=1e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("size", [(9, 11), (2, 2), (3, 700), (70, 61)], ids=str)
def test_the_kernel_equals_plain_torch(options, size):
    x, image = pictures(H=size[0], W=size[1])
    value, gradient = both(x, image, **options)
    exact, exact_gradient = both(x.double(), image, **options)
    bound = 1e-6 * exact_gradient.abs().max()
    given = edge_weights(image, **{k: v for k, v in options.items() if k not in ("diagonal", "bilinear")})
    without_sigma = {k: v for k, v in options.items() if k in ("neighbours", "diagonal", "bilinear")}
    ways = [both(x, image.float(), **options), both(x, None, weights=given, **without_sigma)]
    ways += [both(x.double(), None, weights=given.double(), **without_sigma)]
    for v, g in [(value, gradient), *ways]:
        assert v.item() == pytest.approx(exact.item(), rel=1e-6)
        assert (g - exact_gradient).abs().max() <= bound


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gradcheck(options):
    x, image = pictures(B=2, H=4, W=5)
    use = torch.tensor([1, 0])
    leaf = x.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda y: sparse_crf_loss(y, image, reduction="none", **options), leaf)
    assert torch.autograd.gradcheck(lambda y: sparse_crf_loss(y, image, use_B=use, **options), leaf)


def test_equal_neighbours_have_no_gradient():
    _, image = pictures()
    value, gradient = both(torch.full((3, 9, 11), 0.3), image)
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("bilinear", [0.0, 0.4])
@pytest.mark.parametrize("neighbours", [4, 8])
def test_invariances(neighbours, bilinear):
    x, image = pictures()
    options = {"neighbours": neighbours, "bilinear": bilinear}
    value, gradient = both(x, image, **options)
    swapped, swapped_gradient = both(1 - x, image, **options)
    assert swapped.item() == pytest.approx(value.item(), rel=1e-5)
    torch.testing.assert_close(swapped_gradient, -gradient, rtol=1e-4, atol=1e-7)
    for dims in ((2,), (1,), (1, 2)):
        flipped, flipped_gradient = both(x.flip(dims), image.flip([d + 1 for d in dims]), **options)
        assert flipped.item() == pytest.approx(value.item(), rel=1e-6)
        torch.testing.assert_close(flipped_gradient.flip(dims), gradient)


@pytest.mark.parametrize("bilinear", [0.0, 0.4])
def test_images_out_of_use_count_for_nothing(bilinear):
    x, image = pictures()
    use = torch.tensor([True, False, True])
    for kind in (torch.float32, torch.float64):
        value, gradient = both(x.to(kind), image, use_B=use, bilinear=bilinear)
        alone, alone_gradient = both(x[use].to(kind), image[use], bilinear=bilinear)
        assert value.item() == pytest.approx(alone.item())
        assert (gradient[1] == 0).all()
        torch.testing.assert_close(gradient[use], alone_gradient)
        none, no_gradient = both(x.to(kind), image, use_B=~(use | True), bilinear=bilinear)
        assert none == 0
        assert (no_gradient == 0).all()


def test_extreme_sigmas_stay_finite():
    x, image = pictures()
    for sigma in (1e-300, 1e-8, 1e8):
        value, gradient = both(x, image, sigma=sigma)
        assert value.isfinite()
        assert gradient.isfinite().all()
    flat = torch.zeros_like(image)
    assert both(x, flat, sigma=1e-300)[0].item() == pytest.approx(both(x, flat)[0].item())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": 0}, r"loss\.sigma=0: expected a number above 0"),
        ({"sigma": math.nan}, r"loss\.sigma=nan"),
        ({"sigma": True}, r"loss\.sigma=True"),
        ({"scale": "grey"}, r"loss\.scale=grey: expected one of standardised, unit"),
        ({"neighbours": 6}, r"loss\.neighbours=6: expected one of 4, 8"),
        ({"diagonal": "both"}, r"loss\.diagonal=both: expected one of distance, plain"),
        ({"bilinear": 1.5}, r"loss\.bilinear=1\.5: expected a number from 0 to 1"),
        ({"bilinear": -0.1}, r"loss\.bilinear=-0\.1"),
        ({"bilinear": math.nan}, r"loss\.bilinear=nan"),
        ({"weights": torch.ones(3, 4, 9, 11)}, r"weights: \(3, 4, 9, 11\), expected \[3, 2, 9, 11\]"),
        ({"use_B": torch.ones(2)}, r"images in use: \(2,\), expected one entry for each of 3 images"),
    ],
)
def test_wrong_options_are_named(options, message):
    x, image = pictures()
    with pytest.raises(ValueError, match=message):
        sparse_crf_loss(x, image, **options)


def test_wrong_images_are_named():
    x, image = pictures()
    for wrong, message in (
        (image[..., :-1], r"image: \(3, 3, 9, 10\), expected \[3, 3, 9, 11\]"),
        (None, "image: None"),
        (image / 255, "float values up to 1, expected uint8, or floats in grey levels"),
        (image.int(), r"image: torch\.int32, expected uint8"),
    ):
        with pytest.raises(ValueError, match=message):
            sparse_crf_loss(x, wrong)
    with pytest.raises(ValueError, match="expected at least 2 x 2"):
        sparse_crf_loss(x[:, :1], image[:, :, :1])
