"""Superpixels of an image: small connected regions of one colour, the nodes of the graphical model.

SLIC (Achanta et al., "SLIC Superpixels Compared to State-of-the-art Superpixel Methods", TPAMI 2012) as scikit-image
has it, after a blur of one pixel: without it the noise of a textured photo breaks superpixels into parts that are then
merged, and far fewer than asked for are left. Connected parts (4 neighbours) are numbered in reading order, so that
every number is one connected region.

Legend: H W pixels, S superpixels.
Example: ``superpixels(np.zeros((60, 80, 3), np.uint8), count=12, compactness=10.0).max()``
"""

from __future__ import annotations

import math

import numpy as np

BLUR = 1.0
"""Standard deviation of the blur before, in pixels."""
PIXELS_EACH = 4
"""An image must have this many pixels for each superpixel asked for."""


def superpixels(image_HW3: np.ndarray, *, count: int, compactness: float) -> np.ndarray:
    """Divide an image into superpixels.

    Args:
        image_HW3: uint8 [H,W,3], RGB; a grey or constant image works, too.
        count: about how many superpixels, 1 or more. SLIC starts from a regular grid and merges what it leaves in small
            parts, so fewer are found, as a rule: about nine tenths on photos, much fewer where colours change fast.
        compactness: weight of nearness in space against nearness in colour (Lab, 0..100), above 0; a large one gives
            squares.

    Returns:
        int32 [H,W], 0..S-1, each of which is one connected region.

    Raises:
        ValueError: no such image, or ``proposals.superpixels`` or ``proposals.compactness`` outside its range; an
            image has room for one superpixel in every four pixels.
    """
    from skimage.measure import label
    from skimage.segmentation import slic

    if image_HW3.ndim != 3 or image_HW3.shape[2] != 3 or image_HW3.dtype != np.uint8 or not image_HW3.size:
        raise ValueError(f"image {image_HW3.dtype} {list(image_HW3.shape)}: expected uint8 [H, W, 3]")
    height, width = image_HW3.shape[:2]
    most = max(height * width // PIXELS_EACH, 1)
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 1 <= count <= most:
        raise ValueError(
            f"proposals.superpixels={count}: expected a whole number from 1 to {most} for an image of {width} x "
            f"{height} pixels"
        )
    if isinstance(compactness, bool) or not math.isfinite(compactness) or not compactness > 0:
        raise ValueError(f"proposals.compactness={compactness}: expected a number above 0")
    found_HW = slic(
        image_HW3, n_segments=int(count), compactness=float(compactness), sigma=BLUR, start_label=0, channel_axis=-1
    )
    return (label(found_HW, background=-1, connectivity=1) - 1).astype(np.int32)
