"""UMobV2, the small network of the regularized-loss paper (section 4): a decoder trained on a frozen MobileNetV2.

The paper says "Unet" and "MobileNetV2"; the details are those of the released program: the outputs of all blocks of
one resolution are concatenated, and the decoder is that of `seglab.models.transposed_decoder`. `unet_mobilenetv2` is
the Unet of segmentation-models-pytorch on the same encoder.

    umobv2(channels=2)(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape      # [2, 2, 64, 64]

Shapes: B batch, C features, H W pixels, h w pixels of a level.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seglab.models.network import Network
from seglab.models.pretrained import check_channels, load_pretrained, torchvision_published
from seglab.models.transposed_decoder import DIVISOR, TransposedUnet

STAGES = ((0, 2), (2, 4), (4, 7), (7, 14), (14, 18))
"""Blocks of torchvision's MobileNetV2 that work at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image; the one after them, a
1 x 1 convolution to 1280 features for its classifier, is left out."""


class MobileNetV2Blocks(nn.Module):
    """MobileNetV2 that hands out the outputs of all its blocks, those of one resolution concatenated.

    Attributes:
        out_channels: 48, 48, 96, 544 and 800, from the finest level to the coarsest.
    """

    def __init__(self) -> None:
        from torchvision.models import mobilenet_v2

        super().__init__()
        self.features = mobilenet_v2(weights=None).features[: STAGES[-1][1]]
        widths = [block.out_channels for block in self.features]
        self.out_channels = [sum(widths[first:end]) for first, end in STAGES]

    def forward(self, image_B3HW: Tensor) -> list[Tensor]:
        """Features [B, C, h, w] of the five levels, finest first."""
        x_BChw, levels = image_B3HW, []
        for first, end in STAGES:
            outputs = []
            for block in self.features[first:end]:
                x_BChw = block(x_BChw)
                outputs.append(x_BChw)
            levels.append(torch.cat(outputs, dim=1))
        return levels


def umobv2(
    channels: int = 2,
    *,
    normalise: str = "imagenet",
    weights: str | None = None,
    weights_file: str | None = None,
    freeze_encoder: bool = True,
    freeze_batchnorm: bool = True,
) -> Network:
    """Builds UMobV2: 4.8 million weights, 3.0 million of them in the decoder.

    Images whose sides are not multiples of 32 are padded and the logits cropped back.

    Args:
        channels: outputs per pixel, M.
        normalise: mode of `seglab.models.normalise.Normalise`; the encoder's published weights expect `imagenet`.
        weights: None for a random start, `imagenet` for the encoder.
        weights_file: state dict to use in place of a download: torchvision's of MobileNetV2, or one of its body.
        freeze_encoder: do not train the encoder (the paper's setting, which needs weights).
        freeze_batchnorm: a frozen encoder keeps its batch-norm statistics; False as in the paper's released program.

    Returns:
        Network from image [B,3,H,W] on the 0..255 scale to float32 logits [B,M,H,W].

    Raises:
        ValueError: for weights that are not on offer, cannot be fetched or do not fit.

    Source: Veksler 2020, section 4, and its released program; Sandler et al. 2018 (MobileNetV2).
    """
    from torchvision.models import MobileNet_V2_Weights

    check_channels(channels)
    body = TransposedUnet(MobileNetV2Blocks(), channels=channels)
    load_pretrained(
        body,
        model="umobv2",
        encoder="encoder",
        weights=weights,
        weights_file=weights_file,
        published={"imagenet": torchvision_published(MobileNet_V2_Weights.IMAGENET1K_V1)},
        last_layer="head",
        frozen=freeze_encoder,
        ignore=(f"features.{STAGES[-1][1]}.", "classifier."),
    )
    return Network(
        body,
        normalise=normalise,
        freeze_encoder=freeze_encoder,
        freeze_batchnorm=freeze_batchnorm,
        divisor=DIVISOR,
    )
