"""BASNet, the boundary-aware network that predicts and refines (Qin et al., CVPR 2019); a row of CAS table 1.

As the paper describes it (section 3): an encoder of a 3x3 input convolution of stride 1 without pooling, the four
stages of ResNet-34, and two more stages of three basic blocks of 512 filters, each after a 2x2 max pooling; a bridge of
three 3x3 convolutions of dilation 2 with 512 filters; a decoder of six stages, almost the mirror image of the encoder,
each of three convolutions on the enlarged features before it and the encoder's of its own size; a side output from the
bridge and every decoder stage (a 3x3 convolution, enlarged); and a residual refinement module, a Unet of four levels of
64 filters, whose output is added to the last side output. Eight outputs are supervised.

Our reading, where its text is silent or we are not certain of it: the filters of a decoder stage fall to those of the
next stage in its last convolution, which gives the size that later comparisons name; the decoder's convolutions are not
dilated; the residual is added before the sigmoid; published weights of ResNet-34 fill its four stages, the input
convolution (theirs is 7x7) starts at random.

    basnet(channels=2)(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape      # [2, 2, 64, 64]

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
    convolution,
    filters,
    outputs_for,
    residual_stage,
    sized,
    start_convolutions,
)

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # filters and basic blocks of ResNet-34
ADDED = 2  # stages of three blocks beside them
DIVISOR = 32  # five halvings
PARAMETERS = 87.06e6  # taken from later comparison tables; ArcherFMY/sal_eval_toolbox lists 348.5 MB, 87.1 million


class Stages(nn.Module):
    """The four residual stages of ResNet-34 under torchvision's names, at strides 1, 2, 2 and 2.

    Args:
        width: share of the filters.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        from torchvision.models.resnet import BasicBlock

        inputs = filters(STAGES[0][0], width)
        for number, (published, blocks) in enumerate(STAGES, 1):
            planes = filters(published, width)
            stage = residual_stage(BasicBlock, inputs, planes, blocks, stride=1 if number == 1 else 2)
            self.add_module(f"layer{number}", stage)
            inputs = planes
        start_convolutions(self)

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        """The features of the four stages."""
        found = []
        for stage in self.children():
            x_BCHW = stage(x_BCHW)
            found.append(x_BCHW)
        return found


class Refinement(nn.Module):
    """Residual refinement module: a Unet on the coarse map, whose output is added to it (section 3.3).

    Args:
        outputs: maps a pixel.
        width: share of the 64 filters.
    """

    LEVELS = 4

    def __init__(self, outputs: int, width: float) -> None:
        super().__init__()
        planes = filters(64, width)
        self.enter = nn.Conv2d(outputs, planes, 3, padding=1)
        self.down = nn.ModuleList(convolution(planes, planes) for _ in range(self.LEVELS))
        self.bridge = convolution(planes, planes)
        self.up = nn.ModuleList(convolution(2 * planes, planes) for _ in range(self.LEVELS))
        self.head = nn.Conv2d(planes, outputs, 3, padding=1)

    def forward(self, coarse_BZHW: Tensor) -> Tensor:
        """The refined outputs."""
        x_BChw, skips = self.enter(coarse_BZHW), []
        for level in self.down:
            skips.append(level(x_BChw))
            x_BChw = F.max_pool2d(skips[-1], 2)
        x_BChw = self.bridge(x_BChw)
        for level, skip_BChw in zip(self.up, reversed(skips), strict=True):
            x_BChw = level(torch.cat([sized(x_BChw, skip_BChw), skip_BChw], dim=1))
        return coarse_BZHW + self.head(x_BChw)


class BASNet(nn.Module):
    """Predict and refine.

    SIDE_HEADS names the layers that only a loss on side outputs wants.

    Args:
        channels: outputs per pixel, M; two are [0, z] of the paper's one output z.
        width: share of the published filters.
        side_outputs: in training, hand on what the bridge and the decoder stages predict; otherwise the convolutions
            that only serve them are not built, so that no weight is without a gradient.

    Shape:
        image_B3HW: standardised float image with sides divisible by 32; the result is [B, M, H, W], in training with
        side outputs a dictionary of it and of `aux`, seven outputs [B,Z,H,W].
    """

    SIDE_HEADS = ("sides",)

    def __init__(self, channels: int, width: float = 1.0, *, side_outputs: bool = False) -> None:
        super().__init__()
        from torchvision.models.resnet import BasicBlock

        self.channels, outputs = channels, outputs_for(channels)
        narrow, deep = filters(STAGES[0][0], width), filters(STAGES[-1][0], width)
        self.enter = convolution(3, narrow)
        self.encoder = Stages(width)
        self.added = nn.ModuleList(residual_stage(BasicBlock, deep, deep, 3, stride=1) for _ in range(ADDED))
        start_convolutions(self.added)
        self.bridge = nn.Sequential(*(convolution(deep, deep, dilation=2) for _ in range(3)))
        sizes = [filters(planes, width) for planes, _ in STAGES] + [deep] * ADDED
        self.decoder = nn.ModuleList()
        self.sides = nn.ModuleList([nn.Conv2d(deep, outputs, 3, padding=1)] if side_outputs else [])
        for level in reversed(range(len(sizes))):
            own, following = sizes[level], sizes[max(level - 1, 0)]
            inputs = 2 * own  # the stage before ends in as many filters as this one's encoder stage has
            stage = [convolution(inputs, own), convolution(own, own), convolution(own, following)]
            self.decoder.append(nn.Sequential(*stage))
            if side_outputs and level:
                self.sides.append(nn.Conv2d(following, outputs, 3, padding=1))
        self.coarse = nn.Conv2d(narrow, outputs, 3, padding=1)
        self.refine = Refinement(outputs, width)

    def forward(self, image_B3HW: Tensor) -> Tensor | dict[str, Tensor | dict[str, Tensor]]:
        """Logits at the size of the image, and the side outputs where they are asked for."""
        skips = self.encoder(self.enter(image_B3HW))
        for stage in self.added:
            skips.append(stage(F.max_pool2d(skips[-1], 2)))
        x_BChw = self.bridge(skips[-1])
        predicted = [x_BChw]
        for stage, skip_BChw in zip(self.decoder, reversed(skips), strict=True):
            x_BChw = stage(torch.cat([sized(x_BChw, skip_BChw), skip_BChw], dim=1))
            predicted.append(x_BChw)
        coarse_BZHW = self.coarse(x_BChw)
        logits_BMHW = as_channels(self.refine(coarse_BZHW), channels=self.channels)
        if not (self.training and self.sides):
            return logits_BMHW
        names = ("bridge", *(f"decoder_{number}" for number in range(len(skips), 1, -1)))
        maps = zip(names, self.sides, predicted[:-1], strict=True)
        aux = {name: sized(side(x_BChw), image_B3HW) for name, side, x_BChw in maps}
        return {"out": logits_BMHW, "aux": {**aux, "coarse": coarse_BZHW}}


def basnet(
    channels: int = 2,
    *,
    width: float = 1.0,
    side_outputs: bool = False,
    normalise: str = "imagenet",
    weights: str | None = None,
    weights_file: str | None = None,
    freeze_encoder: bool = False,
    freeze_batchnorm: bool = True,
) -> Network:
    """Builds BASNet: 87.1 million weights.

    Args:
        channels: outputs per pixel, M; two are [0, z], and the map sigmoid(z) is softmax channel 1.
        width: share of the published filters, above 0 and up to 1; there are published weights for 1 only.
        side_outputs: hand the seven side outputs on to a loss that reads them (`loss.side_maps`).
        normalise: mode of `seglab.models.normalise.Normalise`; the published weights expect `imagenet`.
        weights: None for a random start, `imagenet` for the four stages of ResNet-34.
        weights_file: state dict to use in place of a download: one of a ResNet-34 or of this network's body.
        freeze_encoder: do not train the four stages of ResNet-34.
        freeze_batchnorm: these then keep their batch-norm statistics.

    Returns:
        Network from image [B,3,H,W] on the 0..255 scale to float32 logits [B,M,H,W].

    Raises:
        ValueError: for weights that are not on offer, cannot be fetched or do not fit, or a width out of its range.

    Source: Qin et al. 2019; He et al. 2016 (ResNet-34).
    """
    from torchvision.models import ResNet34_Weights

    check_channels(channels)
    body = BASNet(channels, check_width(width), side_outputs=side_outputs)
    load_pretrained(
        body,
        model="basnet" if width == 1 else f"basnet with model.width={width}",
        encoder="encoder",
        weights=weights,
        weights_file=weights_file,
        published={"imagenet": torchvision_published(ResNet34_Weights.IMAGENET1K_V1)} if width == 1 else {},
        last_layer="coarse",
        frozen=freeze_encoder,
        ignore=("conv1.", "bn1.", "fc."),
    )
    return Network(
        body,
        normalise=normalise,
        freeze_encoder=freeze_encoder,
        freeze_batchnorm=freeze_batchnorm,
        divisor=DIVISOR,
    )
