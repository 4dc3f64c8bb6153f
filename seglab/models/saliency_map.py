"""What the published saliency networks share: one sigmoid output read as two channels, side outputs, fewer filters.

A saliency network has one output z a pixel, and sigmoid(z) is its map. The losses here read a softmax over channels,
and softmax([0, z]) at channel 1 is sigmoid(z): so z becomes the two channels [0, z], and the map is channel 1
(`eval.post.channel=1`). With any other number of channels the outputs are those channels.

    as_channels(torch.zeros(1, 1, 4, 4), channels=2).shape      # [1, 2, 4, 4]

Shapes: B batch, Z outputs, M channels, C features, H W pixels, h w pixels of a level.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEWEST = 4  # filters that a layer keeps, whatever the width


def outputs_for(channels: int) -> int:
    """Outputs a pixel that a network needs for its channels: 1 for the two channels [0, z], M for any other M.

    Args:
        channels: M.
    """
    return 1 if channels == 2 else channels


def as_channels(z_BZHW: Tensor, *, channels: int) -> Tensor:
    """Logits [B,M,H,W] from outputs [B,Z,H,W]: [0, z] for two channels, the outputs themselves for any other number.

    Args:
        z_BZHW: outputs, Z of :func:`outputs_for`.
        channels: M.
    """
    return torch.cat([torch.zeros_like(z_BZHW), z_BZHW], dim=1) if channels == 2 else z_BZHW


def sized(x_BChw: Tensor, like: Tensor | tuple[int, int]) -> Tensor:
    """Features at another size, bilinearly; as they are where they have it.

    Args:
        x_BChw: features.
        like: (height, width), or features of that size.
    """
    size = tuple(like.shape[2:]) if isinstance(like, Tensor) else like
    if tuple(x_BChw.shape[2:]) == size:
        return x_BChw
    return F.interpolate(x_BChw, size, mode="bilinear", align_corners=False)


def check_width(width: float) -> float:
    """The share of the published filters that a network keeps, a number above 0 and up to 1.

    Raises:
        ValueError: naming `model.width`.
    """
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width <= 1:
        raise ValueError(f"model.width={width!r}: expected a number above 0 and up to 1, the share of filters to keep")
    return float(width)


def filters(published: int, width: float) -> int:
    """Filters of a layer at a width, at least 4.

    Args:
        published: filters of the layer at width 1.
        width: share of them, see :func:`check_width`.
    """
    return max(FEWEST, round(published * width))


def convolution(inputs: int, outputs: int, kernel: int = 3, *, dilation: int = 1) -> nn.Sequential:
    """A convolution that keeps the size, batch normalisation and ReLU.

    Args:
        inputs: channels in.
        outputs: filters.
        kernel: pixels a side, odd.
        dilation: pixels from tap to tap.
    """
    padding = dilation * (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Shortcut(nn.Conv2d):
    """A 1x1 convolution on every stride-th pixel, which is the 1x1 convolution of that stride.

    It takes these pixels itself: the gradient of the weights of a strided 1x1 convolution with fewer than 16 channels,
    which networks of few filters have, writes outside its memory on a CPU when the features are in channels_last
    (oneDNN 3.13 in torch 2.15, github.com/uxlfoundation/oneDNN/issues/6035): crashes, or silently wrong values.

    Args:
        inputs: channels in.
        outputs: filters.
        stride: pixels from one to the next.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__(inputs, outputs, 1, bias=False)
        self.every = stride

    def forward(self, x_BChw: Tensor) -> Tensor:
        """The features of every stride-th pixel."""
        return super().forward(x_BChw if self.every == 1 else x_BChw[:, :, :: self.every, :: self.every])


def residual_stage(block: Any, inputs: int, planes: int, blocks: int, *, stride: int) -> nn.Sequential:
    """A stage of residual blocks, with torchvision's names inside, so that its published weights fit.

    Args:
        block: torchvision's BasicBlock or Bottleneck.
        inputs: channels in.
        planes: filters of its 3x3 convolutions; the stage gives planes * block.expansion channels.
        blocks: how many.
        stride: of the first block.

    Source: He et al. 2016, as in torchvision.
    """
    outputs = planes * block.expansion
    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(Shortcut(inputs, outputs, stride=stride), nn.BatchNorm2d(outputs))
    first = block(inputs, planes, stride, shortcut)
    return nn.Sequential(first, *(block(outputs, planes) for _ in range(blocks - 1)))


def start_convolutions(trunk: nn.Module) -> None:
    """Random weights of a trunk's convolutions as torchvision draws them: normal, by the number of outputs.

    Args:
        trunk: changed in place.

    Source: He et al. 2015.
    """
    for layer in trunk.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
