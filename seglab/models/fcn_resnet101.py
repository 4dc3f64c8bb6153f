"""FCN on a dilated ResNet-101, the network of the CAS tables (CAS section 4.1).

The paper's "no pre-training" is read as a random start; its released program leaves torchvision's ImageNet backbone on,
which is `init=imagenet` here.

    fcn_resnet101(channels=2)(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape      # [2, 2, 64, 64]
"""

from __future__ import annotations

from seglab.models.network import Network
from seglab.models.pretrained import check_channels, load_pretrained, torchvision_published


def fcn_resnet101(
    channels: int = 2,
    *,
    normalise: str = "per_image",
    weights: str | None = None,
    weights_file: str | None = None,
    freeze_encoder: bool = False,
    freeze_batchnorm: bool = True,
) -> Network:
    """Builds torchvision's FCN_ResNet101 with a fresh head of `channels` outputs; its auxiliary head is left out.

    Args:
        channels: outputs per pixel, M.
        normalise: mode of `seglab.models.normalise.Normalise`.
        weights: None for a random start, `imagenet` for the backbone, `coco` for the whole network (trained on COCO
            images of the 21 VOC classes; the last layer stays fresh unless `channels` is 21).
        weights_file: state dict to use in place of a download: one of a ResNet-101 or of this network.
        freeze_encoder: do not train the backbone.
        freeze_batchnorm: a frozen backbone keeps its batch-norm statistics.

    Returns:
        Network from image [B,3,H,W] on the 0..255 scale to float32 logits [B,M,H,W].

    Raises:
        ValueError: for weights that are not on offer, cannot be fetched or do not fit.

    Source: Long, Shelhamer, Darrell 2015, with the backbone of torchvision (output stride 8).
    """
    from torchvision.models import ResNet101_Weights
    from torchvision.models import segmentation as zoo

    check_channels(channels)
    body = zoo.fcn_resnet101(weights=None, weights_backbone=None, num_classes=channels, aux_loss=False)
    load_pretrained(
        body,
        model="fcn_resnet101",
        encoder="backbone",
        weights=weights,
        weights_file=weights_file,
        published={
            "imagenet": torchvision_published(ResNet101_Weights.IMAGENET1K_V1),
            "coco": torchvision_published(zoo.FCN_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1),
        },
        last_layer="classifier.4",
        frozen=freeze_encoder,
        ignore=("fc.", "aux_classifier."),
    )
    return Network(
        body,
        normalise=normalise,
        encoder="backbone",
        freeze_encoder=freeze_encoder,
        freeze_batchnorm=freeze_batchnorm,
    )
