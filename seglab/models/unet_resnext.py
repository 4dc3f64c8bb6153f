"""Unet of segmentation-models-pytorch on a ResNeXt-50 encoder.

The networks of the regularized-loss paper, whose decoder is another, are `umobv2` and `uresnext`.

    unet_resnext(channels=2)(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape      # [2, 2, 64, 64]
"""

from __future__ import annotations

from seglab.models.network import Network
from seglab.models.pretrained import check_channels, load_pretrained, smp_published


def unet_resnext(
    channels: int = 2,
    *,
    normalise: str = "imagenet",
    weights: str | None = None,
    weights_file: str | None = None,
    freeze_encoder: bool = False,
    freeze_batchnorm: bool = True,
) -> Network:
    """Builds a Unet on a ResNeXt-50 (32x4d) encoder with squeeze and excitation, the variant of the released program.

    Images whose sides are not multiples of 32 are padded and the logits cropped back.

    Args:
        channels: outputs per pixel, M.
        normalise: mode of `seglab.models.normalise.Normalise`; the encoder's published weights expect `imagenet`.
        weights: None for a random start, `imagenet` for the encoder.
        weights_file: state dict to use in place of a download: one of the encoder or of the whole Unet.
        freeze_encoder: do not train the encoder (the paper's setting, which needs weights).
        freeze_batchnorm: a frozen encoder keeps its batch-norm statistics; False as in the paper's released program.

    Returns:
        Network from image [B,3,H,W] on the 0..255 scale to float32 logits [B,M,H,W].

    Raises:
        ValueError: for weights that are not on offer, cannot be fetched or do not fit.

    Source: Veksler 2020, section 4; Hu et al. 2018 (SE-ResNeXt).
    """
    from segmentation_models_pytorch import Unet

    check_channels(channels)
    # Deviation: the released program's decoder has transposed convolutions with 512, 256, 128, 64, 64 filters; the
    # library's has nearest upsampling and two convolutions per level with 256, 128, 64, 32, 16 filters.
    body = Unet("se_resnext50_32x4d", encoder_weights=None, classes=channels)
    load_pretrained(
        body,
        model="unet_resnext",
        encoder="encoder",
        weights=weights,
        weights_file=weights_file,
        published={"imagenet": smp_published("se_resnext50_32x4d")},
        last_layer="segmentation_head.0",
        frozen=freeze_encoder,
        ignore=("last_linear.",),
    )
    return Network(
        body,
        normalise=normalise,
        encoder="encoder",
        freeze_encoder=freeze_encoder,
        freeze_batchnorm=freeze_batchnorm,
        divisor=32,
    )
