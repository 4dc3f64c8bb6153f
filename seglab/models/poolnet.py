"""PoolNet, a saliency network built on pooling (Liu, Hou, Cheng, Feng, Jiang, CVPR 2019); a row of CAS table 1.

As the paper describes it (section 3): a feature pyramid network on ResNet-50; a global guidance module, that is a
pyramid pooling module on the top features (the features themselves and their means on 1x1, 3x3 and 5x5 cells) and
global guiding flows that carry its output to every level of the top-down path; a feature aggregation module after every
fusion (the features themselves and their means over 2, 4 and 8 pixels, each through a 3x3 convolution, added, and a 3x3
convolution on the sum). With `edge`: at three levels a residual block, a 3x3 convolution of 16 filters and a 1x1
convolution that predicts edges; the three times 16 features, through three 3x3 convolutions of 48 filters, join the
saliency branch (section 4.2).

Our reading, where its text is silent or we are not certain of it: five levels from the stem (stride 2) on, of 128, 256,
256, 512 and 512 filters, which give about the size that later comparisons name; no batch normalisation outside
ResNet-50; the residual blocks are bottlenecks.

    poolnet(channels=2)(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape      # [2, 2, 64, 64]

Shapes: B batch, M channels, Z outputs, C features, H W pixels, h w pixels of a level.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seglab.models.network import Network
from seglab.models.pretrained import check_channels, load_pretrained, torchvision_published
from seglab.models.saliency_map import (
    as_channels,
    check_width,
    filters,
    outputs_for,
    residual_stage,
    sized,
    start_convolutions,
)

BLOCKS = (3, 4, 6, 3)  # of ResNet-50
LEVELS = (128, 256, 256, 512, 512)  # filters of the top-down path, fine to coarse
CELLS = (1, 3, 5)  # of pyramid pooling
RATES = (2, 4, 8)  # of the feature aggregation modules
EDGE_LEVELS = (0, 2, 4)  # whose aggregated features have 128, 256 and 512 channels
DIVISOR = 32  # five halvings
# Taken from later comparison tables (273.3 MB); ours is 1.5 % smaller. ArcherFMY/sal_eval_toolbox lists 278.5 MB, that
# is 69.6 million if all of the file are float32 weights, and 3.6 % more than ours.
PARAMETERS = 68.26e6


class Trunk(nn.Module):
    """ResNet-50 without its classifier, under torchvision's names.

    Args:
        width: share of the filters.

    Shape:
        image_B3HW: standardised; the result are the features of the stem and of the four stages, strides 2 to 32.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        from torchvision.models.resnet import Bottleneck

        inputs = filters(64, width)
        self.conv1 = nn.Conv2d(3, inputs, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.widths = [inputs]
        for number, blocks in enumerate(BLOCKS, 1):
            planes = filters(32 * 2**number, width)
            stage = residual_stage(Bottleneck, inputs, planes, blocks, stride=1 if number == 1 else 2)
            self.add_module(f"layer{number}", stage)
            inputs = planes * Bottleneck.expansion
            self.widths.append(inputs)
        start_convolutions(self)

    def forward(self, image_B3HW: Tensor) -> list[Tensor]:
        """The five features."""
        found = [F.relu(self.bn1(self.conv1(image_B3HW)))]
        x_BChw = F.max_pool2d(found[0], 3, stride=2, padding=1)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x_BChw = stage(x_BChw)
            found.append(x_BChw)
        return found


def _rectified(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.ReLU(inplace=True))


class PyramidPooling(nn.Module):
    """What the whole image shows: the features and their means on 1x1, 3x3 and 5x5 cells, joined (section 3.1).

    Args:
        planes: channels in and out.
    """

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_rectified(planes, planes, 1) for _ in CELLS)
        self.joined = _rectified((1 + len(CELLS)) * planes, planes)

    def forward(self, x_BChw: Tensor) -> Tensor:
        """The global guidance, at the size of the features."""
        found = [x_BChw]
        for cells, branch in zip(CELLS, self.branches, strict=True):
            found.append(sized(branch(F.adaptive_avg_pool2d(x_BChw, cells)), x_BChw))
        return self.joined(torch.cat(found, dim=1))


class Aggregation(nn.Module):
    """Feature aggregation module: features seen at four scales, added (section 3.2).

    Args:
        inputs: channels in.
        outputs: channels out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(inputs, inputs, 3, padding=1, bias=False) for _ in RATES)
        self.after = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)

    def forward(self, x_BChw: Tensor) -> Tensor:
        """The aggregated features, at the same size."""
        sum_BChw = x_BChw
        for rate, branch in zip(RATES, self.branches, strict=True):
            # A level of a small image may have fewer pixels than are averaged: all of them then.
            window = (min(rate, x_BChw.shape[2]), min(rate, x_BChw.shape[3]))
            sum_BChw = sum_BChw + sized(branch(F.avg_pool2d(x_BChw, window)), x_BChw)
        return self.after(F.relu(sum_BChw))


class Edges(nn.Module):
    """The edge branch: predicts edges from aggregated features and carries what it found to the saliency branch.

    Args:
        inputs: channels of the three features.
        width: share of the published filters.
        predicts: build the 1x1 convolutions that predict; nothing else needs them.
    """

    def __init__(self, inputs: list[int], width: float, *, predicts: bool) -> None:
        super().__init__()
        from torchvision.models.resnet import Bottleneck

        planes = filters(16, width)
        self.levels = nn.ModuleList()
        for channels in inputs:
            inner = max(1, channels // Bottleneck.expansion)
            block = residual_stage(Bottleneck, channels, inner, 1, stride=1)
            self.levels.append(nn.Sequential(block, _rectified(Bottleneck.expansion * inner, planes)))
        self.heads = nn.ModuleList(nn.Conv2d(planes, 1, 1) for _ in inputs if predicts)
        self.outputs = 3 * planes
        self.carry = nn.Sequential(*(_rectified(self.outputs, self.outputs) for _ in range(3)))

    def forward(self, features: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Features for the saliency branch at the size of the first, and the predicted edges [B,1,h,w]."""
        found = [level(x_BChw) for level, x_BChw in zip(self.levels, features, strict=True)]
        carried_BChw = self.carry(torch.cat([sized(x_BChw, found[0]) for x_BChw in found], dim=1))
        return carried_BChw, [head(x_BChw) for head, x_BChw in zip(self.heads, found, strict=False)]


class PoolNet(nn.Module):
    """Feature pyramid with global guidance and feature aggregation.

    SIDE_HEADS names the layers that only a loss on side outputs wants.

    Args:
        channels: outputs per pixel, M; two are [0, z] of the paper's one output z.
        width: share of the published filters.
        edge: with the edge branch.
        side_outputs: in training, hand the predicted edges on; otherwise the convolutions that predict them are not
            built, so that no weight is without a gradient.

    Shape:
        image_B3HW: standardised float image with sides divisible by 32; the result is [B, M, H, W], in training with
        edge and side outputs a dictionary of it and of `aux`, three edge outputs [B,1,H,W].
    """

    SIDE_HEADS = ("edges.heads",)

    def __init__(self, channels: int, width: float = 1.0, *, edge: bool = False, side_outputs: bool = False) -> None:
        super().__init__()
        self.channels = channels
        self.encoder = Trunk(width)
        planes = [filters(published, width) for published in LEVELS]
        below = [planes[0], *planes[:-1]]  # channels that a level hands down
        self.lateral = nn.ModuleList(_rectified(i, o, 1) for i, o in zip(self.encoder.widths, planes, strict=True))
        self.pooling = PyramidPooling(planes[-1])
        self.guide = nn.ModuleList(nn.Conv2d(planes[-1], o, 3, padding=1) for o in planes[:-1])
        self.fuse = nn.ModuleList(_rectified(o, o) for o in planes[:-1])
        self.aggregate = nn.ModuleList(Aggregation(i, o) for i, o in zip(planes, below, strict=True))
        self.edges = None
        features = planes[0]
        if edge:
            self.edges = Edges([below[level] for level in EDGE_LEVELS], width, predicts=side_outputs)
            self.with_edges = _rectified(features + self.edges.outputs, features)
        self.head = nn.Conv2d(features, outputs_for(channels), 1)

    def forward(self, image_B3HW: Tensor) -> Tensor | dict[str, Tensor | dict[str, Tensor]]:
        """Logits at the size of the image, and the predicted edges where they are asked for."""
        levels = [lateral(x_BChw) for lateral, x_BChw in zip(self.lateral, self.encoder(image_B3HW), strict=True)]
        guidance_BChw = self.pooling(levels[-1])
        x_BChw = self.aggregate[-1](levels[-1])
        found = {len(levels) - 1: x_BChw}
        for level in reversed(range(len(levels) - 1)):
            own_BChw = levels[level]
            guided_BChw = self.guide[level](sized(guidance_BChw, own_BChw))
            x_BChw = self.fuse[level](own_BChw + sized(x_BChw, own_BChw) + guided_BChw)
            x_BChw = found[level] = self.aggregate[level](x_BChw)
        edges: list[Tensor] = []
        if self.edges is not None:
            carried_BChw, edges = self.edges([F.relu(found[level]) for level in EDGE_LEVELS])
            x_BChw = self.with_edges(torch.cat([F.relu(x_BChw), carried_BChw], dim=1))
        logits_BMHW = as_channels(sized(self.head(F.relu(x_BChw)), image_B3HW), channels=self.channels)
        if not (self.training and edges):
            return logits_BMHW
        aux = {f"edge_{number}": sized(z_B1hw, image_B3HW) for number, z_B1hw in enumerate(edges, 1)}
        return {"out": logits_BMHW, "aux": aux}


def poolnet(
    channels: int = 2,
    *,
    width: float = 1.0,
    edge: bool = False,
    side_outputs: bool = False,
    normalise: str = "imagenet",
    weights: str | None = None,
    weights_file: str | None = None,
    freeze_encoder: bool = False,
    freeze_batchnorm: bool = True,
) -> Network:
    """Builds PoolNet on ResNet-50: 67.2 million weights, 68.0 with the edge branch.

    Args:
        channels: outputs per pixel, M; two are [0, z], and the map sigmoid(z) is softmax channel 1.
        width: share of the published filters, above 0 and up to 1; there are published weights for 1 only.
        edge: with the branch that is trained on edges.
        side_outputs: hand its predictions on to a loss that reads them (`loss.side_edges`).
        normalise: mode of `seglab.models.normalise.Normalise`; the published weights expect `imagenet`.
        weights: None for a random start, `imagenet` for ResNet-50.
        weights_file: state dict to use in place of a download: one of a ResNet-50 or of this network's body.
        freeze_encoder: do not train ResNet-50.
        freeze_batchnorm: it then keeps its batch-norm statistics.

    Returns:
        Network from image [B,3,H,W] on the 0..255 scale to float32 logits [B,M,H,W].

    Raises:
        ValueError: for weights that are not on offer, cannot be fetched or do not fit, or a width out of its range.

    Source: Liu et al. 2019; Lin et al. 2017 (feature pyramid); He et al. 2016 (ResNet-50).
    """
    from torchvision.models import ResNet50_Weights

    check_channels(channels)
    body = PoolNet(channels, check_width(width), edge=edge, side_outputs=side_outputs)
    load_pretrained(
        body,
        model="poolnet" if width == 1 else f"poolnet with model.width={width}",
        encoder="encoder",
        weights=weights,
        weights_file=weights_file,
        published={"imagenet": torchvision_published(ResNet50_Weights.IMAGENET1K_V1)} if width == 1 else {},
        last_layer="head",
        frozen=freeze_encoder,
        ignore=("fc.",),
    )
    return Network(
        body,
        normalise=normalise,
        freeze_encoder=freeze_encoder,
        freeze_batchnorm=freeze_batchnorm,
        divisor=DIVISOR,
    )
