"""The Unet of the regularized-loss paper's networks: any encoder, and a decoder of transposed convolutions (section 4).

The paper says only "Unet". Its released program, which is followed here, has four times a 2 x 2 transposed convolution
with stride 2, batch-norm, ReLU and a concatenation with the encoder's features (512, 256, 128, 64 filters), once more
such an upsampling, to 64 features at the size of the image, and a 3 x 3 convolution to the logits.

    TransposedUnet(MobileNetV2Blocks(), channels=2)(torch.zeros(2, 3, 64, 64)).shape      # [2, 2, 64, 64]

Shapes: B batch, C features, M output channels, H W pixels, h w pixels of a level.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS = (512, 256, 128, 64, 64)  # features of the upsamplings, from the coarsest; the last one has no skip to join
LEVELS = len(WIDTHS)
DIVISOR = 2**LEVELS


class TransposedUnet(nn.Module):
    """Features of an encoder, enlarged five times by two; four times joined with those of the next finer level.

    Args:
        encoder: module from a standardised image to a list of features at 1/2, 1/4, 1/8, 1/16 and 1/32 of its size,
            finest first, with a list `out_channels` of how many there are of each. Either list may begin with more, as
            the image itself, which is left out.
        channels: outputs per pixel, M.

    Shape:
        image_B3HW: standardised float image with sides divisible by 32; the result is [B, M, H, W].
    """

    def __init__(self, encoder: nn.Module, *, channels: int) -> None:
        super().__init__()
        self.encoder = encoder
        *skips, deepest = encoder.out_channels[-LEVELS:]
        # Nothing is convolved after a concatenation; the next transposed convolution takes it as it is.
        given = [deepest, *(own + skip for own, skip in zip(WIDTHS[:-1], reversed(skips), strict=True))]
        self.decoder = nn.ModuleList(_upsampling(i, o) for i, o in zip(given, WIDTHS, strict=True))
        self.head = nn.Conv2d(WIDTHS[-1], channels, 3, padding=1)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Logits at the size of the image."""
        *skips, x_BChw = self.encoder(image_B3HW)[-LEVELS:]
        for level, skip_BChw in zip(self.decoder, reversed(skips), strict=False):
            x_BChw = torch.cat([level(x_BChw), skip_BChw], dim=1)
        return self.head(self.decoder[-1](x_BChw))


def _upsampling(inputs: int, outputs: int) -> nn.Sequential:
    # Deviation: the released program's transposed convolutions have a bias, which the batch-norm takes away again.
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 2, stride=2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )
