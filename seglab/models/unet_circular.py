"""The small Unet with circular padding: it cannot tell where in an image a pixel is, only what it looks like.

Zeros around an image tell every layer where the border is. A network trained without masks from random weights
(`seglab.losses.regularized`) can then lower its loss by a disc in the middle of every image, whatever the image shows.
Here the image is a torus: it goes on at its opposite border, so shifting it round by 16 pixels (`unet_small.DIVISOR`)
shifts the logits, and among equal surroundings there is no middle. Ours.

    unet_circular(channels=2)(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape      # [2, 2, 64, 64]

Shapes: B batch, M output channels, H W pixels.
"""

from __future__ import annotations

from seglab.models.network import Network
from seglab.models.pretrained import check_channels, load_pretrained
from seglab.models.unet_small import DIVISOR, UnetSmall


def unet_circular(
    channels: int = 2,
    *,
    normalise: str = "per_image",
    weights: str | None = None,
    weights_file: str | None = None,
    freeze_encoder: bool = False,
    freeze_batchnorm: bool = True,
) -> Network:
    """Builds the small Unet with circular padding in its 3x3 convolutions and in the enlargement of its logits.

    Its tensors have the names and shapes of those of `seglab.models.unet_small.unet_small`.

    Args:
        channels: outputs per pixel, M.
        normalise: mode of `seglab.models.normalise.Normalise`.
        weights: None.
        weights_file: state dict of the body or of its encoder to start from.
        freeze_encoder: do not train the encoder.
        freeze_batchnorm: a frozen encoder keeps its batch-norm statistics.

    Returns:
        Network from image [B,3,H,W] on the 0..255 scale to float32 logits [B,M,H,W]. Sides that are not divisible by 16
        are padded by repeating the border, from which the network can tell where that is.

    Raises:
        ValueError: for weights, which are not on offer, or a file that does not fit.

    Source: ours; the body is Ronneberger, Fischer, Brox 2015, shrunk.
    """
    check_channels(channels)
    body = UnetSmall(channels, padding="circular")
    load_pretrained(
        body,
        model="unet_circular",
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
