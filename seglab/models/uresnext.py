"""UResNext, the large network of the regularized-loss paper (section 4): a decoder trained on a frozen SE-ResNeXt-50.

The paper says "Unet" and "ResNeXt"; the details are those of the released program: ResNeXt-50 (32x4d) with squeeze and
excitation, and the decoder of `seglab.models.transposed_decoder`. `unet_resnext` is the Unet of
segmentation-models-pytorch on the same encoder.

    uresnext(channels=2)(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape      # [2, 2, 64, 64]
"""

from __future__ import annotations

from seglab.models.network import Network
from seglab.models.pretrained import check_channels, load_pretrained, smp_published
from seglab.models.transposed_decoder import DIVISOR, TransposedUnet

ENCODER = "se_resnext50_32x4d"


def uresnext(
    channels: int = 2,
    *,
    normalise: str = "imagenet",
    weights: str | None = None,
    weights_file: str | None = None,
    freeze_encoder: bool = True,
    freeze_batchnorm: bool = True,
) -> Network:
    """Builds UResNext: 31.8 million weights, 6.3 million of them in the decoder.

    Images whose sides are not multiples of 32 are padded and the logits cropped back.

    Args:
        channels: outputs per pixel, M.
        normalise: mode of `seglab.models.normalise.Normalise`; the encoder's published weights expect `imagenet`.
        weights: None for a random start, `imagenet` for the encoder.
        weights_file: state dict to use in place of a download: one of the encoder or of its body.
        freeze_encoder: do not train the encoder (the paper's setting, which needs weights).
        freeze_batchnorm: a frozen encoder keeps its batch-norm statistics; False as in the paper's released program.

    Returns:
        Network from image [B,3,H,W] on the 0..255 scale to float32 logits [B,M,H,W].

    Raises:
        ValueError: for weights that are not on offer, cannot be fetched or do not fit.

    Source: Veksler 2020, section 4, and its released program; Hu et al. 2018 (SE-ResNeXt).
    """
    from segmentation_models_pytorch.encoders import get_encoder

    check_channels(channels)
    body = TransposedUnet(get_encoder(ENCODER, weights=None), channels=channels)
    load_pretrained(
        body,
        model="uresnext",
        encoder="encoder",
        weights=weights,
        weights_file=weights_file,
        published={"imagenet": smp_published(ENCODER)},
        last_layer="head",
        frozen=freeze_encoder,
        ignore=("last_linear.",),
    )
    return Network(
        body,
        normalise=normalise,
        freeze_encoder=freeze_encoder,
        freeze_batchnorm=freeze_batchnorm,
        divisor=DIVISOR,
    )
