"""PFAN, the pyramid feature attention network for saliency (Zhao and Wu, CVPR 2019); a row of CAS table 1.

As the paper describes it: VGG-16; context-aware pyramid feature extraction (CPFE) on conv3-3, conv4-3 and conv5-3, each
by a 1x1 convolution and 3x3 convolutions of dilation 3, 5 and 7 side by side, enlarged to the size of conv3-3 and
joined; channel-wise attention on these high-level features (two fully connected layers); spatial attention, computed
from them by a 1xk and a kx1 convolution in both orders with k = 9, on the low-level features of conv1-2 and conv2-2;
both joined.

Our reading, where its text is silent or we are not certain of it: 32 filters in each branch of CPFE, 64 of every
feature that is joined, a quarter of the channels between the fully connected layers, half of them between the two
convolutions of spatial attention, batch normalisation after the convolutions that are not VGG's. With these the network
has the size that later comparisons give for it.

    pfan(channels=2)(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape      # [2, 2, 64, 64]

Shapes: B batch, M channels, Z outputs, C features, H W pixels, h w pixels of a level.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seglab.models.network import Network
from seglab.models.pretrained import check_channels, load_pretrained, torchvision_published
from seglab.models.saliency_map import (
    as_channels,
    check_width,
    convolution,
    filters,
    outputs_for,
    sized,
    start_convolutions,
)

VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)
TAPS = (3, 8, 15, 22, 29)  # the rectified conv1-2, conv2-2, conv3-3, conv4-3, conv5-3 in torchvision's numbering
DILATIONS = (3, 5, 7)
KERNEL = 9  # k of spatial attention
DIVISOR = 16  # four poolings
PARAMETERS = 16.38e6  # taken from later comparison tables (65.6 MB of float32); the paper itself names no number


class Trunk(nn.Module):
    """VGG-16 without its classifier, under torchvision's names.

    Args:
        width: share of the filters.

    Shape:
        image_B3HW: standardised; the result are the features conv1-2, conv2-2, conv3-3, conv4-3 and conv5-3.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        from torchvision.models.vgg import make_layers

        self.features = make_layers([v if v == "M" else filters(int(v), width) for v in VGG16])
        self.widths = [self.features[tap - 1].out_channels for tap in TAPS]
        start_convolutions(self)

    def forward(self, image_B3HW: Tensor) -> list[Tensor]:
        """The five features."""
        found, x_BChw = [], image_B3HW
        for place, layer in enumerate(self.features):
            x_BChw = layer(x_BChw)
            if place in TAPS:
                found.append(x_BChw)
        return found


class PyramidFeatures(nn.Module):
    """Context-aware pyramid feature extraction: what lies around a pixel at four distances, side by side (section 3.1).

    Args:
        inputs: channels in.
        outputs: filters of each of the four branches.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        dilated = [nn.Conv2d(inputs, outputs, 3, padding=d, dilation=d, bias=False) for d in DILATIONS]
        self.branches = nn.ModuleList([nn.Conv2d(inputs, outputs, 1, bias=False), *dilated])
        self.after = nn.Sequential(nn.BatchNorm2d(4 * outputs), nn.ReLU(inplace=True))

    def forward(self, x_BChw: Tensor) -> Tensor:
        """Features of four times the filters."""
        return self.after(torch.cat([branch(x_BChw) for branch in self.branches], dim=1))


class ChannelAttention(nn.Module):
    """A factor in 0..1 for every channel, from the means of all channels (section 3.2).

    Args:
        channels: of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        between = max(1, channels // 4)
        self.weigh = nn.Sequential(
            nn.Linear(channels, between), nn.ReLU(inplace=True), nn.Linear(between, channels), nn.Sigmoid()
        )

    def forward(self, x_BChw: Tensor) -> Tensor:
        """The features, weighed."""
        return x_BChw * self.weigh(x_BChw.mean((2, 3)))[:, :, None, None]


class SpatialAttention(nn.Module):
    """A factor in 0..1 for every pixel, from the high-level features (section 3.2).

    Args:
        channels: of these.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        between = max(1, channels // 2)
        self.ways = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, between, first, padding=(first[0] // 2, first[1] // 2), bias=False),
                nn.BatchNorm2d(between),
                nn.ReLU(inplace=True),
                nn.Conv2d(between, 1, first[::-1], padding=(first[1] // 2, first[0] // 2)),
            )
            for first in ((1, KERNEL), (KERNEL, 1))
        )

    def forward(self, x_BChw: Tensor) -> Tensor:
        """The factors [B,1,h,w]."""
        one_B1hw, other_B1hw = (way(x_BChw) for way in self.ways)
        return torch.sigmoid(one_B1hw + other_B1hw)


class PFAN(nn.Module):
    """Pyramid feature attention network.

    Args:
        channels: outputs per pixel, M; two are [0, z] of the paper's one output z.
        width: share of the published filters.

    Shape:
        image_B3HW: standardised float image with sides divisible by 16; the result is [B, M, H, W].
    """

    def __init__(self, channels: int, width: float = 1.0) -> None:
        super().__init__()
        self.channels = channels
        self.encoder = Trunk(width)
        low, middle, *high = self.encoder.widths
        branch, features = filters(32, width), filters(64, width)
        self.pyramid = nn.ModuleList(PyramidFeatures(inputs, branch) for inputs in high)
        self.channel_attention = ChannelAttention(12 * branch)
        self.high = convolution(12 * branch, features)
        self.low = nn.ModuleList([convolution(low, features), convolution(middle, features)])
        self.low_joined = convolution(2 * features, features)
        self.spatial_attention = SpatialAttention(features)
        self.head = nn.Conv2d(2 * features, outputs_for(channels), 3, padding=1)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Logits at the size of the image."""
        conv1_BCHW, conv2_BChw, *high = self.encoder(image_B3HW)
        largest = high[0]
        context = [sized(part(x_BChw), largest) for part, x_BChw in zip(self.pyramid, high, strict=True)]
        high_BCHW = sized(self.high(self.channel_attention(torch.cat(context, dim=1))), conv1_BCHW)
        low = [self.low[0](conv1_BCHW), sized(self.low[1](conv2_BChw), conv1_BCHW)]
        low_BCHW = self.low_joined(torch.cat(low, dim=1)) * self.spatial_attention(high_BCHW)
        return as_channels(self.head(torch.cat([low_BCHW, high_BCHW], dim=1)), channels=self.channels)


def pfan(
    channels: int = 2,
    *,
    width: float = 1.0,
    normalise: str = "imagenet",
    weights: str | None = None,
    weights_file: str | None = None,
    freeze_encoder: bool = False,
    freeze_batchnorm: bool = True,
) -> Network:
    """Builds PFAN: 16.4 million weights, 14.7 million of them VGG-16's.

    Args:
        channels: outputs per pixel, M; two are [0, z], and the map sigmoid(z) is softmax channel 1.
        width: share of the published filters, above 0 and up to 1; there are published weights for 1 only.
        normalise: mode of `seglab.models.normalise.Normalise`; the published weights expect `imagenet`.
        weights: None for a random start, `imagenet` for VGG-16.
        weights_file: state dict to use in place of a download: one of a VGG-16 or of this network's body.
        freeze_encoder: do not train VGG-16.
        freeze_batchnorm: without effect, VGG-16 has no batch normalisation.

    Returns:
        Network from image [B,3,H,W] on the 0..255 scale to float32 logits [B,M,H,W].

    Raises:
        ValueError: for weights that are not on offer, cannot be fetched or do not fit, or a width out of its range.

    Source: Zhao and Wu 2019; Simonyan and Zisserman 2015 (VGG-16).
    """
    from torchvision.models import VGG16_Weights

    check_channels(channels)
    body = PFAN(channels, check_width(width))
    load_pretrained(
        body,
        model="pfan" if width == 1 else f"pfan with model.width={width}",
        encoder="encoder",
        weights=weights,
        weights_file=weights_file,
        published={"imagenet": torchvision_published(VGG16_Weights.IMAGENET1K_V1)} if width == 1 else {},
        last_layer="head",
        frozen=freeze_encoder,
        ignore=("classifier.",),
    )
    return Network(
        body,
        normalise=normalise,
        freeze_encoder=freeze_encoder,
        freeze_batchnorm=freeze_batchnorm,
        divisor=DIVISOR,
    )
