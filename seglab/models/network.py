"""The network as the trainer sees it: 0..255 image in, float32 logits of the same height and width out.

It normalises the image, pads it to a size the body can halve, unwraps torchvision's dictionaries and crops back. With
`freeze_encoder` it is the regularized-loss paper's setting: a decoder trained on a frozen ImageNet encoder (section 4).

    Network(body, encoder="backbone")(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape      # [2, M, 64, 64]

Shapes: B batch, M output channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from seglab.models.normalise import Normalise


class Network(nn.Module):
    """A body with its normalisation, its size rule and the freezing of its encoder.

    Args:
        body: module from a standardised float image to logits, or to a dictionary holding them under `out`, and in
            training perhaps side outputs [B, Z, H, W] under `aux`, a dictionary by name, for a loss that reads them.
        normalise: mode of `Normalise`.
        encoder: name of the body's submodule that counts as its encoder.
        freeze_encoder: the encoder's weights are not trained.
        freeze_batchnorm: a frozen encoder's batch-norm also keeps its stored statistics while training. False lets them
            follow the training images, as the regularized-loss paper's released program does. Without effect unless
            `freeze_encoder`.
        divisor: the body wants heights and widths divisible by this; other images are padded at the bottom and the
            right by repeating their border, after standardisation, and the logits are cropped back.

    Shape:
        image_B3HW: uint8, or float on the 0..255 scale; the result is float32 [B, M, H, W], or, in training and from a
            body with side outputs, a dictionary of it (`out`) and of these (`aux`).

    Raises:
        ValueError: in training, if a batch-norm layer sees a single value per channel (one image per process and maps
            of one pixel, as in DeepLab's image pooling).
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        normalise: str = "per_image",
        encoder: str = "encoder",
        freeze_encoder: bool = False,
        freeze_batchnorm: bool = True,
        divisor: int = 1,
    ) -> None:
        super().__init__()
        self.normalise = Normalise(normalise)
        self.body = body
        self.encoder_name = encoder
        self.freeze_encoder = freeze_encoder
        self.freeze_batchnorm = freeze_batchnorm
        self.divisor = divisor
        if freeze_encoder:
            self.encoder.requires_grad_(False)
            self.train(self.training)

    @property
    def encoder(self) -> nn.Module:
        """The encoder inside the body."""
        return self.body.get_submodule(self.encoder_name)

    def train(self, mode: bool = True) -> Self:
        """Sets training or evaluation; the batch-norm of a frozen encoder stays in evaluation if so configured."""
        super().train(mode)
        if self.freeze_encoder and self.freeze_batchnorm:
            for layer in self.encoder.modules():
                if isinstance(layer, _BatchNorm):
                    layer.eval()
        return self

    def forward(self, image_B3HW: Tensor) -> Tensor | dict[str, Tensor | dict[str, Tensor]]:
        """Logits of each pixel; see the class for ranges and shapes."""
        height, width = image_B3HW.shape[-2:]
        x_B3HW = self.normalise(image_B3HW)
        below, right = -height % self.divisor, -width % self.divisor
        if below or right:
            x_B3HW = F.pad(x_B3HW, (0, right, 0, below), mode="replicate")
        try:
            out = self.body(x_B3HW)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise ValueError(
                f"a training step on {len(image_B3HW)} image(s) of {height} x {width} pixels per process leaves a "
                "batch-norm layer one value per channel: expected two images or more per process and piece "
                "(raise batch_size, lower accumulate) or a larger data.size"
            ) from error
        logits_BMHW = out["out"] if isinstance(out, Mapping) else out
        # Losses need float32 (see seglab.losses); under autocast the body hands over bfloat16 or float16.
        logits_BMHW = logits_BMHW[..., :height, :width].float()
        if self.training and isinstance(out, Mapping) and isinstance(out.get("aux"), Mapping):
            return {"out": logits_BMHW, "aux": {k: z[..., :height, :width].float() for k, z in out["aux"].items()}}
        return logits_BMHW
