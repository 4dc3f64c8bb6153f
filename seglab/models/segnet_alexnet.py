"""SegNet: class scores on a coarse grid, 13 x 13 cells for 227 pixels (Cogswell et al. 2014, section 3.1).

Five convolutions of the AlexNet kind without their last pool (the trunk), then three added ones, dropout before each.
In the paper the trunk is CaffeNet's, trained on ImageNet, and stays fixed. The softmax is the business of the loss.

CaffeNet's weights are nowhere offered in a form that torch reads. A file of one's own holds ``conv1.weight`` ..
``conv5.bias``. Caffe's network takes BGR images minus a mean colour; to use it with ``normalise=none``, flip the inputs
of ``conv1.weight`` and take the sum of weight times mean (of each colour) off ``conv1.bias``: conv1 has no padding, so
this is exact.

    segnet_alexnet(channels=21, trunk="small", frozen=False)(torch.zeros(2, 3, 227, 227, dtype=torch.uint8)).shape
    # [2, 21, 13, 13]

Legend: B batch, F features, K classes, H W pixels, h w cells.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Self

import torch
from torch import Tensor, nn

from seglab.models.across_channels import AcrossChannels
from seglab.models.normalise import Normalise
from seglab.models.pretrained import Published, check_channels, load_pretrained, torchvision_published

log = logging.getLogger(__name__)

MARGIN = {"caffenet": 7, "alexnet": 15, "small": 7}
"""Cells of a side of L pixels: (L - margin) // 16, stride 4 of conv1 and two poolings of stride 2. caffenet and small
pad nothing in conv1 and pool to the end of the side, as Caffe does; alexnet pads and drops a rest, as torchvision."""

STRIDE = 16
FEATURES = {"caffenet": 256, "alexnet": 256, "small": 128}
"""F, filters of a trunk's last convolution."""


class SegnetAlexnet(nn.Module):
    """A trunk and three added convolutions, the normalisation in front.

    Args:
        channels: classes, K.
        trunk: ``caffenet``, ``alexnet`` or ``small``.
        frozen: the trunk's weights and statistics stay; nothing is differentiated through it.
        hidden: filters of the first two added layers.
        kernel: side of their filters, odd.
        dropout: share of single features dropped before each of them in training.
        normalise: mode of `Normalise`.

    Shape:
        image_B3HW: uint8, or float on the 0..255 scale; the result is float32 [B, K, h, w] with h = `cells(H, trunk)`.

    Raises:
        ValueError: a setting outside its range; or in use, an image too small for one cell.
    """

    def __init__(
        self,
        channels: int,
        *,
        trunk: str,
        frozen: bool,
        hidden: int = 128,
        kernel: int = 3,
        dropout: float = 0.5,
        normalise: str = "imagenet",
    ) -> None:
        super().__init__()
        self.kind, self.frozen = trunk, frozen
        self.frozen_at_random = frozen
        self.normalise = Normalise(normalise)
        self.trunk = {"caffenet": _caffenet, "alexnet": _alexnet, "small": _small}[trunk]()
        self.drop = nn.Dropout(dropout)
        self.new6 = _he(nn.Conv2d(FEATURES[trunk], hidden, kernel, padding=kernel // 2))
        self.new7 = _he(nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2))
        self.new8 = nn.Conv2d(hidden, channels, kernel, padding=kernel // 2)
        nn.init.normal_(self.new8.weight, std=0.01)  # the first distributions are nearly even, as in Caffe's networks
        nn.init.zeros_(self.new8.bias)
        self.register_load_state_dict_post_hook(_filled)
        if frozen:
            self.trunk.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Sets training or evaluation; a frozen trunk stays in evaluation. Warns once where it holds random weights."""
        super().train(mode)
        if self.frozen:
            self.trunk.eval()
        if mode and self.frozen_at_random:
            self.frozen_at_random = False
            fetch = "init=imagenet" if _published(self.kind) else "init.file=<its weights>"
            log.warning(
                "segnet_alexnet: the trunk is frozen at random weights (init=scratch), so the network learns little: "
                "choose %s, or model.frozen=false",
                fetch,
            )
        return self

    def features(self, image_B3HW: Tensor) -> Tensor:
        """What the trunk's last convolution gives, after its ReLU: [B, F, h, w]; see the class for images.

        Raises:
            ValueError: a side has no room for one cell (config key `data.size`).
        """
        sides = image_B3HW.shape[-2:]
        if min(cells(int(side), self.kind) for side in sides) < 1:
            raise ValueError(
                f"an image of {sides[0]} x {sides[1]} pixels: model.trunk={self.kind} makes a cell of {STRIDE} pixels "
                f"and needs {STRIDE + MARGIN[self.kind]} a side or more: expected a larger data.size (227 in the paper)"
            )
        # Nothing in a frozen trunk asks for a gradient, and neither does an image: autograd keeps nothing of it.
        return self.trunk(self.normalise(image_B3HW))

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Class scores of each cell; see the class."""
        x_BFhw = self.features(image_B3HW)
        x_BFhw = torch.relu(self.new6(self.drop(x_BFhw)))
        x_BFhw = torch.relu(self.new7(self.drop(x_BFhw)))
        return self.new8(self.drop(x_BFhw)).float()


def cells(length: int, trunk: str) -> int:
    """Cells of a side of so many pixels, ``(length - margin) // 16``: 13 for 227; 0 or less where there is no room.

    Args:
        length: pixels.
        trunk: see `segnet_alexnet`.
    """
    return (length - MARGIN[trunk]) // STRIDE


def segnet_alexnet(
    channels: int = 21,
    *,
    trunk: str = "caffenet",
    frozen: bool = True,
    hidden: int = 128,
    kernel: int = 3,
    dropout: float = 0.5,
    normalise: str = "imagenet",
    weights: str | None = None,
    weights_file: str | None = None,
) -> SegnetAlexnet:
    """Builds SegNet.

    Args:
        channels: classes, K.
        trunk: ``caffenet`` (the paper's; 2.80 million weights with the added layers and 21 classes), ``alexnet``
            (torchvision's, whose ImageNet weights can be had), ``small`` (ours, five convolutions with batch-norm, 0.75
            million weights, to be trained from random ones).
        frozen: only the added layers learn.
        hidden: filters of the first two added layers.
        kernel: side of their filters in features, odd.
        dropout: share of features dropped before each added layer, 0 <= dropout < 1.
        normalise: mode of `seglab.models.normalise.Normalise`.
        weights: None for a random start, `imagenet` for the trunk ``alexnet``.
        weights_file: state dict of the trunk or of the whole network to start from; a last layer of another number of
            classes stays fresh.

    Returns:
        Network from image [B,3,H,W] on the 0..255 scale to float32 logits [B,K,h,w], and `features` of the trunk.

    Raises:
        ValueError: a setting outside its range; weights that are not on offer, cannot be fetched or do not fit.

    Source: Cogswell et al. 2014, section 3.1; layers of CaffeNet as in its published definition.
    """
    _check(channels, trunk=trunk, frozen=frozen, hidden=hidden, kernel=kernel, dropout=dropout)
    published = _published(trunk)
    if weights is not None and weights_file is None and weights not in published:
        own = f"init={weights}: there are no published weights of model.trunk={trunk} to fetch"
        raise ValueError(
            f"{own}: expected init=scratch init.file=<state dict of the trunk>, model.trunk=alexnet init=imagenet, or "
            f"init=scratch with model.frozen=false"
        )
    model = SegnetAlexnet(
        channels, trunk=trunk, frozen=frozen, hidden=hidden, kernel=kernel, dropout=dropout, normalise=normalise
    )
    load_pretrained(
        model,
        model=f"segnet_alexnet ({trunk})",
        encoder="trunk",
        weights=weights if weights in published else None,
        weights_file=weights_file,
        published=published,
        last_layer="new8",
        ignore=("classifier.", "fc6.", "fc7.", "fc8."),
    )
    model.frozen_at_random = frozen and weights is None and weights_file is None
    return model


def _filled(model: SegnetAlexnet, incompatible: object) -> None:
    """Weights of a run or a checkpoint came in: those of the trunk are no longer random."""
    model.frozen_at_random = False


def _published(trunk: str) -> dict[str, Published]:
    if trunk != "alexnet":
        return {}
    from torchvision.models import AlexNet_Weights

    return {"imagenet": torchvision_published(AlexNet_Weights.IMAGENET1K_V1)}


def _check(channels: int, *, trunk: str, frozen: bool, hidden: int, kernel: int, dropout: float) -> None:
    check_channels(channels)
    number = isinstance(dropout, int | float) and not isinstance(dropout, bool)
    for key, value, fits, expected in (
        ("trunk", trunk, trunk in FEATURES, f"one of {', '.join(FEATURES)}"),
        ("frozen", frozen, isinstance(frozen, bool), "true or false"),
        ("hidden", hidden, _whole(hidden) and hidden >= 1, "a whole number of filters, 1 or more"),
        ("kernel", kernel, _whole(kernel) and kernel >= 1 and kernel % 2 == 1, "an odd whole number, 1 or more"),
        ("dropout", dropout, number and 0 <= dropout < 1, "a share, 0 <= dropout < 1"),
    ):
        if not fits:
            raise ValueError(f"model.{key}={value}: expected {expected}")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _he(layer: nn.Conv2d) -> nn.Conv2d:
    """A layer before a ReLU with random weights that keep the spread of its input: five layers without batch-norm."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)  # Caffe pools to the end of the side


def _caffenet() -> nn.Sequential:
    """conv1 to conv5 of CaffeNet: pooling before normalisation, two groups in conv2, conv4 and conv5."""
    layers: list[tuple[str, nn.Module]] = [
        ("conv1", _he(nn.Conv2d(3, 96, 11, stride=4))),
        ("relu1", nn.ReLU(inplace=True)),
        ("pool1", _pool()),
        ("norm1", AcrossChannels()),
        ("conv2", _he(nn.Conv2d(96, 256, 5, padding=2, groups=2))),
        ("relu2", nn.ReLU(inplace=True)),
        ("pool2", _pool()),
        ("norm2", AcrossChannels()),
        ("conv3", _he(nn.Conv2d(256, 384, 3, padding=1))),
        ("relu3", nn.ReLU(inplace=True)),
        ("conv4", _he(nn.Conv2d(384, 384, 3, padding=1, groups=2))),
        ("relu4", nn.ReLU(inplace=True)),
        ("conv5", _he(nn.Conv2d(384, 256, 3, padding=1, groups=2))),
        ("relu5", nn.ReLU(inplace=True)),
    ]
    return nn.Sequential(OrderedDict(layers))


def _alexnet() -> nn.Sequential:
    """Torchvision's five convolutions of 64, 192, 384, 256, 256 filters: no groups, no normalisation, no last pool."""
    layers = nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(inplace=True),
    )
    layers.apply(lambda layer: _he(layer) if isinstance(layer, nn.Conv2d) else None)
    return nn.Sequential(OrderedDict(features=layers))  # the names of torchvision's file; its classifier is not built


def _small() -> nn.Sequential:
    """Five convolutions with batch-norm, 0.43 million weights; strides and pools are those of CaffeNet."""
    widths = ((3, 32, 11, 4, 0), (32, 64, 5, 1, 2), (64, 128, 3, 1, 1), (128, 128, 3, 1, 1), (128, 128, 3, 1, 1))
    layers: list[tuple[str, nn.Module]] = []
    for number, (inputs, outputs, side, stride, padding) in enumerate(widths, start=1):
        convolution = nn.Conv2d(inputs, outputs, side, stride=stride, padding=padding, bias=False)
        layers += [
            (f"conv{number}", convolution),
            (f"norm{number}", nn.BatchNorm2d(outputs)),
            (f"relu{number}", nn.ReLU(inplace=True)),
        ]
        if number <= 2:
            layers.append((f"pool{number}", _pool()))
    return nn.Sequential(OrderedDict(layers))
