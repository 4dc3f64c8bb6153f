"""Volume, position and negative loss against hand-worked pictures and their own gradients."""

import pytest
import torch

from seglab.losses.negative import negative_loss
from seglab.losses.position import border_loss, centre_loss
from seglab.losses.volume import volume_loss


def shares(*values, size=8):
    """Images of constant object probability."""
    return torch.tensor(values).view(-1, 1, 1).expand(-1, size, size).clone()


def test_volume_hand_worked():
    x = shares(0.05, 0.11, 0.5, 0.9)  # mean 0.39; two are too small, by 0.1 and 0.04
    terms = volume_loss(x)
    assert terms.batch.item() == pytest.approx(0.11**2)
    assert terms.small.item() == pytest.approx((0.1**2 + 0.04**2) / 4)
    assert volume_loss(x, small="sum").small.item() == pytest.approx(0.1**2 + 0.04**2)
    assert volume_loss(x, target=0.39).batch.item() == pytest.approx(0, abs=1e-12)
    assert volume_loss(x, below=0.05).small.item() == pytest.approx(0, abs=1e-12)
    alone = volume_loss(x, use_B=torch.tensor([True, False, True, False]))
    assert alone.batch.item() == pytest.approx((0.275 - 0.5) ** 2)
    assert alone.small.item() == pytest.approx(0.1**2 / 2)


def test_volume_looks_at_the_share_alone():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 6, 6, generator=generator) / 5
    mixed = x.flatten(1)[:, torch.randperm(36, generator=generator)].view_as(x)
    for one, other in zip(volume_loss(x), volume_loss(mixed), strict=True):
        assert one.item() == pytest.approx(other.item(), rel=1e-5)
    assert volume_loss(1 - x).batch.item() == pytest.approx(volume_loss(x).batch.item(), rel=1e-5)


def test_border_hand_worked():
    x = torch.zeros(1, 6, 6)
    x[0, 0] = 1.0  # the upper row: 6 of 20 pixels of the strip; side means 1, 0, 1/6, 1/6
    assert border_loss(x, width=1).item() == pytest.approx(0.3**2)
    assert border_loss(x, width=1, sides="apart").item() == pytest.approx((1 + 2 / 36) / 4)
    both = torch.cat([x, torch.zeros(1, 6, 6)])
    assert border_loss(both, width=1).item() == pytest.approx(0.3**2 / 2)
    assert border_loss(both, width=1, per="batch").item() == pytest.approx(0.15**2)
    apart = (0.25 + 2 / 144) / 4
    assert border_loss(both, width=1, sides="apart", per="batch").item() == pytest.approx(apart)
    inner = torch.zeros(1, 6, 6)
    inner[:, 1:-1, 1:-1] = 1
    assert border_loss(inner, width=1) == 0
    assert border_loss(1 - inner, width=1).item() == pytest.approx(1)


def test_centre_hand_worked():
    x = torch.zeros(1, 7, 7)
    x[0, 3, 3] = 1.0
    assert centre_loss(x).item() == pytest.approx((8 / 9) ** 2)
    assert centre_loss(x, side=1) == 0
    both = torch.cat([x, torch.ones(1, 7, 7)])
    assert centre_loss(both).item() == pytest.approx((8 / 9) ** 2 / 2)
    assert centre_loss(both, per="batch").item() == pytest.approx((4 / 9) ** 2)


def test_where_the_boxes_lie():
    """Of 8 pixels, 4 are exactly in the middle (released code: half a side of 2); 3 are as near as they can be."""
    for side, first in ((4, 2), (3, 2)):
        x = torch.zeros(1, 8, 8)
        x[:, first : first + side, first : first + side] = 1
        assert centre_loss(x, side=side) == 0
        assert centre_loss(x.roll(1, 2), side=side) > 0


def test_flips_do_not_matter():
    x = torch.rand(2, 7, 9, generator=torch.Generator().manual_seed(0))
    for dims in ((1,), (2,)):
        for sides in ("together", "apart"):
            value = border_loss(x.flip(dims), sides=sides)
            assert value.item() == pytest.approx(border_loss(x, sides=sides).item())
        assert centre_loss(x.flip(dims)).item() == pytest.approx(centre_loss(x).item())


def test_negative_hand_worked():
    x = shares(0.2, 0.6, 1.0)
    use = torch.tensor([True, True, False])
    assert negative_loss(x, use_B=use).item() == pytest.approx((0.04 + 0.36) / 2)
    assert negative_loss(x, per="batch", use_B=use).item() == pytest.approx(0.16)
    # Eq. 7 as printed would be 0 for an image that is all object
    assert negative_loss(shares(1.0)).item() == pytest.approx(1)
    assert negative_loss(shares(0.0)) == 0


LOSSES = {
    "volume": lambda x, use: volume_loss(x, use_B=use).batch,
    "small": lambda x, use: volume_loss(x, below=0.9, use_B=use).small,
    "small sum": lambda x, use: volume_loss(x, below=0.9, small="sum", use_B=use).small,
    "border": lambda x, use: border_loss(x, width=1, use_B=use),
    "border batch": lambda x, use: border_loss(x, width=1, per="batch", use_B=use),
    "sides": lambda x, use: border_loss(x, width=1, sides="apart", use_B=use),
    "sides batch": lambda x, use: border_loss(x, width=1, sides="apart", per="batch", use_B=use),
    "centre": lambda x, use: centre_loss(x, use_B=use),
    "centre batch": lambda x, use: centre_loss(x, per="batch", use_B=use),
    "negative": lambda x, use: negative_loss(x, use_B=use),
    "negative batch": lambda x, use: negative_loss(x, per="batch", use_B=use),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradcheck(name):
    x = torch.rand(3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: LOSSES[name](y, torch.tensor([1, 0, 1])), x)


@pytest.mark.parametrize("name", LOSSES)
def test_no_image_in_use_gives_zero_with_a_graph(name):
    x = torch.rand(3, 5, 4).requires_grad_()
    value = LOSSES[name](x, torch.zeros(3))
    value.backward()
    assert value == 0
    assert (x.grad == 0).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda x: volume_loss(x, target=1.5), r"loss\.volume_target=1\.5: expected a number from 0 to 1"),
        (lambda x: volume_loss(x, below=-1), r"loss\.small_below=-1"),
        (lambda x: volume_loss(x, small="max"), r"loss\.small_reduction=max: expected one of mean, sum"),
        (lambda x: border_loss(x, width=0), r"loss\.border_width=0: expected a whole number, 1 or more"),
        (lambda x: border_loss(x, width=4), r"loss\.border_width=4: images of 8 x 8 pixels, expected more than 8"),
        (lambda x: border_loss(x, sides="four"), r"loss\.border_sides=four: expected one of together, apart"),
        (lambda x: border_loss(x, per="pixel"), r"loss\.position_per=pixel: expected one of image, batch"),
        (lambda x: centre_loss(x, side=9), r"loss\.centre=9: images of 8 x 8 pixels, expected at least 9"),
        (lambda x: negative_loss(x, per="pixel"), r"loss\.negative_per=pixel: expected one of image, batch"),
        (lambda x: negative_loss(x[0]), r"object probability: torch\.float32 \(8, 8\)"),
    ],
)
def test_wrong_options_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build(torch.rand(2, 8, 8))
