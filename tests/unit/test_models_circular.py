"""The small Unet that cannot tell where a pixel is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seglab.models.unet_circular import unet_circular
from seglab.models.unet_small import unet_small

SHIFTS = [(16, 0), (0, 16), (-16, 32)]


def images(height: int = 64, width: int = 96) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 256, (2, 3, height // 8, width // 8), generator=generator).double()
    return nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 255).round().byte()


def built(build) -> nn.Module:
    """A network whose batch-norm statistics are those of the images, in evaluation."""
    torch.manual_seed(0)
    network = build(2)
    for _ in range(20):
        network(images())
    return network.eval()


def shift_error(network: nn.Module, shift: tuple[int, int]) -> float:
    with torch.no_grad():
        logits = network(images())
        moved = network(images().roll(shift, (2, 3)))
    return ((moved - logits.roll(shift, (2, 3))).abs().max() / logits.abs().max()).item()


@pytest.mark.parametrize("shift", SHIFTS, ids=str)
def test_shifting_the_image_shifts_the_logits(shift) -> None:
    assert shift_error(built(unet_circular), shift) < 1e-5
    assert shift_error(built(unet_small), shift) > 0.05


def test_an_even_image_has_even_logits() -> None:
    even = torch.full((2, 3, 64, 64), 90, dtype=torch.uint8)
    even[1, :, ::2] = 160
    with torch.no_grad():
        whole = built(unet_circular)(even)
    for logits in (whole[0], whole[1]):
        parts = logits.unfold(1, 16, 16).unfold(2, 16, 16)  # [M, 4, 4, 16, 16]
        torch.testing.assert_close(parts, parts[:, :1, :1].expand_as(parts), rtol=0, atol=1e-5)


def test_tensors_are_those_of_the_small_unet() -> None:
    circular, small = unet_circular(5), unet_small(5)
    shapes = [{key: tensor.shape for key, tensor in n.state_dict().items()} for n in (circular, small)]
    assert shapes[0] == shapes[1]
    small.load_state_dict(circular.state_dict())
    layers = [m for m in circular.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(layers) == 11
    assert {layer.padding_mode for layer in layers} == {"circular"}


@pytest.mark.parametrize("size", [(16, 16), (40, 33), (100, 75)], ids=str)
def test_other_sizes_are_padded_and_cropped_back(size) -> None:
    network = unet_circular(3).eval()
    logits = network(torch.zeros(2, 3, *size, dtype=torch.uint8))
    assert logits.shape == (2, 3, *size)
    assert logits.dtype == torch.float32


def test_every_tensor_is_trained() -> None:
    network = unet_circular(2)
    network(images()).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_published_weights_are_not_on_offer() -> None:
    with pytest.raises(ValueError, match="unet_circular"):
        unet_circular(2, weights="imagenet")
