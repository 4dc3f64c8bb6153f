"""Hybrid loss of BASNet (Qin et al., CVPR 2019, section 3.4): BCE + SSIM + IoU, summed over all side outputs.

    bce: mean cross-entropy of a pixel;  iou: 1 - sum(S G) / sum(S + G - S G), with S the map and G the mask
    ssim: mean of 1 - (2 mx my + C1)(2 sxy + C2) / ((mx^2 + my^2 + C1)(sx^2 + sy^2 + C2)) over windows of 11 x 11 pixels

From the paper: the three terms, windows of 11 x 11 pixels, C1 = 0.01^2 and C2 = 0.03^2, equal weights of all eight
outputs. Our reading, where its text is silent or we are not certain of it: a Gaussian window of deviation 1.5 pixels; a
window that reaches over the border, or over ignored pixels, is the weighted mean of what it holds, its weights divided
by their sum; every term is a mean over images, and an image without a labelled pixel counts as 0.

    hybrid(torch.zeros(1, 2, 16, 16), torch.eye(16).long()[None])["ssim"]

Legend: B batch, H W pixels, Z maps: the main output first, then the side outputs; N fields filtered at once.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seglab.losses.saliency import mean_over, object_logit, object_mask, side_outputs

WINDOW, DEVIATION = 11, 1.5  # pixels
C1, C2 = 0.01**2, 0.03**2


def window_sums(x_NHW: Tensor) -> Tensor:
    """Sums over the Gaussian window around every pixel; outside the image there is nothing.

    Args:
        x_NHW: any values.
    """
    # As products with banded matrices: these stay in float32 on a GPU, where cuDNN may run convolutions in TF32, whose
    # three decimals are too few for the differences of means that a variance is.
    H, W = x_NHW.shape[-2:]
    return _band(H, x_NHW) @ x_NHW.contiguous() @ _band(W, x_NHW)


def _band(size: int, like: Tensor) -> Tensor:
    """The window along one side as a symmetric matrix [size, size]: the weight of pixel i around pixel j."""
    at = torch.arange(size, dtype=like.dtype, device=like.device)
    apart = (at[:, None] - at[None]).abs()
    reach = torch.arange(-(WINDOW // 2), WINDOW // 2 + 1, dtype=like.dtype, device=like.device)
    weight = torch.exp(-(apart**2) / (2 * DEVIATION**2)) / torch.exp(-(reach**2) / (2 * DEVIATION**2)).sum()
    return weight * (apart <= WINDOW // 2)


def dissimilarity(p_ZBHW: Tensor, y_BHW: Tensor, valid_BHW: Tensor) -> Tensor:
    """1 - SSIM around every pixel, for all maps at once.

    Args:
        p_ZBHW: maps in 0..1.
        y_BHW: mask, 0 or 1.
        valid_BHW: factors 0 (ignored) and 1.

    Returns:
        [Z, B, H, W].
    """
    p_ZBHW = p_ZBHW * valid_BHW
    Z = len(p_ZBHW)
    fields = torch.cat([p_ZBHW, p_ZBHW**2, p_ZBHW * y_BHW, (y_BHW * valid_BHW)[None], valid_BHW[None]])
    sums = window_sums(fields.flatten(0, 1)).unflatten(0, fields.shape[:2])
    mean = sums[:-1] / sums[-1].clamp(min=1e-12)
    mp, pp, py, my = mean[:Z], mean[Z : 2 * Z], mean[2 * Z : 3 * Z], mean[-1]
    variance, covariance = pp - mp**2, py - mp * my
    above = (2 * mp * my + C1) * (2 * covariance + C2)
    # The mask is 0 or 1, so the mean of its square is its mean.
    below = (mp**2 + my**2 + C1) * (variance + (my - my**2) + C2)
    return 1 - above / below


def hybrid(
    logits_B2HW: Tensor, mask_BHW: Tensor, *, sides: dict[str, Tensor] | None = None, weight: float = 1.0
) -> dict[str, Tensor]:
    """The three terms, each summed over the main output and the side outputs.

    Args:
        logits_B2HW: scores of background and object.
        mask_BHW: integers 0, 1, or 255 for ignored pixels.
        sides: further outputs z [B, H, W] by name, sigmoid(z) a map.
        weight: of each of these, the main output's being 1.

    Returns:
        "bce" in nats, "ssim" and "iou"; scalars >= 0.

    Raises:
        ValueError: wrong shapes, not two channels, or (on the CPU) another label.
    """
    z_BHW = object_logit(logits_B2HW, name="basnet")
    y_BHW, valid_BHW = object_mask(logits_B2HW, mask_BHW, name="basnet")
    z_ZBHW = torch.stack([z_BHW, *(sides or {}).values()])
    p_ZBHW = torch.sigmoid(z_ZBHW)
    share_Z = z_ZBHW.new_tensor([1.0] + [weight] * (len(z_ZBHW) - 1))
    bce_ZBHW = F.softplus(z_ZBHW) - y_BHW * z_ZBHW
    ssim_ZBHW = dissimilarity(p_ZBHW, y_BHW, valid_BHW)
    both_ZB = (p_ZBHW * y_BHW * valid_BHW).flatten(2).sum(2)
    either_ZB = ((p_ZBHW + y_BHW - p_ZBHW * y_BHW) * valid_BHW).flatten(2).sum(2)
    labelled_B = valid_BHW.flatten(1).amax(1)
    iou_ZB = labelled_B * (1 - both_ZB / either_ZB.clamp(min=1e-12))
    per_map = {
        "bce": torch.stack([mean_over(one, valid_BHW) for one in bce_ZBHW]),
        "ssim": torch.stack([mean_over(one, valid_BHW) for one in ssim_ZBHW]),
        "iou": iou_ZB.mean(1),
    }
    return {name: (value_Z * share_Z).sum() for name, value_Z in per_map.items()}


class Hybrid(nn.Module):
    """Hybrid loss as a training loss.

    Args:
        side_maps: also judge the side outputs that the network hands on; False: its main output alone.
        weight: of every side output, 0 or more; the main output's is 1.

    Raises:
        ValueError: a weight below 0.
    """

    batch_coupled = False

    def __init__(self, *, side_maps: bool = True, weight: float = 1.0) -> None:
        super().__init__()
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise ValueError(f"loss.weight={weight}: expected a number, 0 or more")
        self.reads_aux, self.weight = side_maps, float(weight)

    def forward(self, logits_B2HW: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss of a batch: logits [B, 2, H, W], batch["mask"] [B, H, W], perhaps batch["aux"]."""
        sides = side_outputs(batch, logits_B2HW[:, 0], edges=False) if self.reads_aux else {}
        return hybrid(logits_B2HW, batch["mask"], sides=sides, weight=self.weight)
