"""The shared parts of the networks: normalisation, sizes, freezing, errors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seglab.models.network import Network
from seglab.models.normalise import IMAGENET_DEVIATION, IMAGENET_MEAN, Normalise
from seglab.models.unet_small import unet_small


def images(count: int = 3, size: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


class Body(nn.Module):
    """Encoder with batch-norm and a head, returning torchvision's kind of dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.head = nn.Sequential(nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2))
        self.seen: tuple[int, ...] = ()

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        self.seen = tuple(x.shape)
        return {"out": self.head(self.encoder(x)), "aux": x}


def test_per_image_statistics() -> None:
    out = Normalise("per_image")(images()).double()
    assert out.mean((1, 2, 3)).abs().max() < 1e-6
    assert (out.square().mean((1, 2, 3)) - 1).abs().max() < 1e-6
    assert out.mean((2, 3)).abs().max() > 1e-3, "channels must not be standardised one by one"


def test_per_image_equals_float64_and_float_input() -> None:
    image = images()
    image[0] = 250 + image[0] % 3  # bright and nearly flat: cancellation would show here
    x = image.double()
    wanted = (x - x.mean((1, 2, 3), keepdim=True)) / x.var((1, 2, 3), correction=0, keepdim=True).sqrt()
    torch.testing.assert_close(Normalise("per_image")(image).double(), wanted, rtol=1e-5, atol=1e-5)
    assert torch.equal(Normalise("per_image")(image), Normalise("per_image")(image.float()))


def test_per_image_ignores_the_rest_of_the_batch() -> None:
    batch = images(5, size=48)
    whole = Normalise("per_image")(batch)
    for i in range(5):
        assert torch.equal(whole[i], Normalise("per_image")(batch[i : i + 1])[0])


@pytest.mark.parametrize("value", [0, 255, 77])
def test_constant_image_becomes_zero(value: int) -> None:
    assert torch.equal(
        Normalise("per_image")(torch.full((2, 3, 8, 8), value, dtype=torch.uint8)), torch.zeros(2, 3, 8, 8)
    )


def test_imagenet_statistics_are_buffers_and_none_keeps_values() -> None:
    image = images(1)
    layer = Normalise("imagenet")
    wanted = (image / 255 - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_DEVIATION).view(3, 1, 1)
    torch.testing.assert_close(layer(image), wanted)
    assert set(layer.state_dict()) == {"mean", "deviation"}
    assert not list(layer.parameters())
    assert torch.equal(Normalise("none")(image), image.float())


def test_unknown_mode_names_the_key() -> None:
    with pytest.raises(ValueError, match=r"model\.normalise='zscore'.*per_image, imagenet, none"):
        Normalise("zscore")


def test_dictionary_is_unwrapped_and_size_padded() -> None:
    network = Network(Body(), divisor=32)
    out = network(images(2, size=40)[..., :33])
    assert out.shape == (2, 2, 40, 33)
    assert network.body.seen == (2, 3, 64, 64)
    assert out.dtype == torch.float32


def test_padding_leaves_the_image_where_it_was() -> None:
    network = Network(Body(), divisor=32).eval()
    image = images(2, size=40)
    # The body looks one pixel far, so all but the last row and column must be what an unpadded body gives.
    plain = network.body(network.normalise(image))["out"]
    torch.testing.assert_close(network(image)[..., :-1, :-1], plain[..., :-1, :-1])


@pytest.mark.parametrize("freeze_batchnorm", [True, False])
def test_freezing(freeze_batchnorm: bool) -> None:
    network = Network(Body(), freeze_encoder=True, freeze_batchnorm=freeze_batchnorm).eval().train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1.0)
    network(images()).square().sum().backward()
    optimiser.step()
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    statistics = {f"body.encoder.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert {key for key in changed if "encoder" in key} == (set() if freeze_batchnorm else statistics)
    assert "body.head.1.running_mean" in changed
    assert "body.head.1.weight" in changed
    assert all(p.grad is None for p in network.encoder.parameters())


def test_batchnorm_frozen_right_after_building() -> None:
    assert not Network(Body(), freeze_encoder=True).encoder[1].training
    assert Network(Body(), freeze_encoder=False).encoder[1].training


def test_one_value_per_channel_is_explained() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        Network(Body())(images(1, size=1))
    Network(Body()).eval()(images(1, size=1))


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(RuntimeError):
        Network(Body())(images(2)[:, :2])


def test_unet_small_learns_one_image() -> None:
    torch.manual_seed(0)
    network = unet_small()
    assert 3e5 < sum(p.numel() for p in network.parameters()) < 5e5
    image = images(2, size=32) // 4
    image[:, :, 8:24, 8:24] += 128
    mask = torch.zeros(2, 32, 32, dtype=torch.long)
    mask[:, 8:24, 8:24] = 1
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(20):
        loss = nn.functional.cross_entropy(network(image), mask)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1
    assert (network(image).argmax(1) == mask).float().mean() > 0.97
