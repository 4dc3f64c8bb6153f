"""A Unet of 0.44 million weights that trains on one CPU core: for tests, demonstrations and the generated shapes.

Four levels of 16, 32, 64 and 128 filters. The first convolution halves the image already, which makes a step four
times as fast, and the logits are enlarged bilinearly at the end.

    unet_small(channels=2)(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape      # [2, 2, 64, 64]

Shapes: B batch, C features, M output channels, H W pixels, h w pixels of a level.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seglab.models.network import Network
from seglab.models.pretrained import check_channels, load_pretrained

LEVELS = 4
Padding = Literal["zeros", "circular"]
DIVISOR = 2**LEVELS  # the first level halves the image, and so does each further one


def _convolution(inputs: int, outputs: int, padding: Padding, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, padding_mode=padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class UnetSmall(nn.Module):
    """Encoder of double convolutions, decoder of one convolution per level on upsampled and skipped features.

    Args:
        channels: outputs per pixel, M.
        base: filters of the first level, doubled at each further one.
        padding: what lies around an image; "circular": its opposite border, see `seglab.models.unet_circular`.

    Shape:
        image_B3HW: standardised float image with sides divisible by 16; the result is [B, M, H, W].
    """

    def __init__(self, channels: int, base: int = 16, *, padding: Padding = "zeros") -> None:
        super().__init__()
        widths = [base * 2**level for level in range(LEVELS)]
        inputs = [3, *widths[:-1]]
        self.encoder = nn.ModuleList(
            nn.Sequential(_convolution(i, o, padding, stride=2), _convolution(o, o, padding))
            for i, o in zip(inputs, widths, strict=True)
        )
        self.decoder = nn.ModuleList(_convolution(3 * width, width, padding) for width in reversed(widths[:-1]))
        self.head = nn.Conv2d(base, channels, 1)
        self.padding = padding

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Logits at the size of the image."""
        x_BChw = image_B3HW
        skips = []
        for level in self.encoder:
            x_BChw = level(x_BChw)
            skips.append(x_BChw)
        for level, skip_BChw in zip(self.decoder, skips[-2::-1], strict=True):
            x_BChw = level(torch.cat([F.interpolate(x_BChw, scale_factor=2.0, mode="nearest"), skip_BChw], dim=1))
        logits_BMhw = self.head(x_BChw)
        if self.padding == "circular":  # or the border would be enlarged in another way than the rest
            logits_BMhw = F.pad(logits_BMhw, (1, 1, 1, 1), mode="circular")
        logits_BMHW = F.interpolate(logits_BMhw, scale_factor=2.0, mode="bilinear", align_corners=False)
        return logits_BMHW[..., 2:-2, 2:-2] if self.padding == "circular" else logits_BMHW


def unet_small(
    channels: int = 2,
    *,
    normalise: str = "per_image",
    weights: str | None = None,
    weights_file: str | None = None,
    freeze_encoder: bool = False,
    freeze_batchnorm: bool = True,
) -> Network:
    """Builds the small Unet; there are no published weights for it.

    Args:
        channels: outputs per pixel, M.
        normalise: mode of `seglab.models.normalise.Normalise`.
        weights: None.
        weights_file: state dict of the body or of its encoder to start from.
        freeze_encoder: do not train the encoder.
        freeze_batchnorm: a frozen encoder keeps its batch-norm statistics.

    Returns:
        Network from image [B,3,H,W] on the 0..255 scale to float32 logits [B,M,H,W].

    Raises:
        ValueError: for weights, which are not on offer, or a file that does not fit.

    Source: Ronneberger, Fischer, Brox 2015, shrunk.
    """
    check_channels(channels)
    body = UnetSmall(channels)
    load_pretrained(
        body,
        model="unet_small",
        encoder="encoder",
        weights=weights,
        weights_file=weights_file,
        published={},
        last_layer="head",
        frozen=freeze_encoder,
    )
    return Network(
        body,
        normalise=normalise,
        freeze_encoder=freeze_encoder,
        freeze_batchnorm=freeze_batchnorm,
        divisor=DIVISOR,
    )
