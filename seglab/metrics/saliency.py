"""Saliency metrics of one image (CAS section 4.2).

Legend: H W pixels, K the 256 thresholds k/255.
Example: ``from seglab.metrics.saliency import score_map; score_map(map_HW, mask_HW, Protocol(name="cas")).values``
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seglab.metrics.curves import image_curves
from seglab.metrics.e_measure import e_measure
from seglab.metrics.fbeta import f_beta, jaccard, ratio
from seglab.metrics.protocol import Protocol
from seglab.metrics.s_measure import centroid_cut, s_measure
from seglab.metrics.scratch import scratch
from seglab.metrics.tally import Tally, tally
from seglab.metrics.weighted_f import weighted_f_beta

IMAGE_METRICS = (
    "fbeta_adaptive",
    "fbeta_adaptive_capped",
    "fbeta_fixed",
    "fbeta_weighted",
    "precision_adaptive",
    "recall_adaptive",
    "jaccard",
    "mae",
    "mae_binary",
    "s_measure",
    "e_measure_adaptive",
)
# What an image without object cannot have; ``empty_mask: skip`` leaves these, and the P, R and F curves, out.
OBJECT_METRICS = IMAGE_METRICS[:7]
SLACK = 1e-6  # interpolation in float32 leaves [0, 1] by rounding; such values are clipped


@dataclass(frozen=True, kw_only=True)
class ImageScore:
    """Everything measured on one image.

    Args:
        values: the metrics of ``IMAGE_METRICS``; NaN where the protocol skips an image without object.
        curves_4K: float64 [4, 256], rows as in :data:`seglab.metrics.curves.CURVES`.
        confusion: TP, FP, FN, TN in pixels at the fixed threshold.
    """

    values: dict[str, float]
    curves_4K: np.ndarray
    confusion: tuple[int, int, int, int]

    @property
    def empty(self) -> bool:
        """Whether the mask has no object."""
        return self.confusion[0] + self.confusion[2] == 0


def score_map(
    map_HW: np.ndarray,
    mask_HW: np.ndarray,
    protocol: Protocol,
    *,
    valid_HW: np.ndarray | None = None,
    weighted: bool = True,
) -> ImageScore:
    """Score one saliency map.

    Images without object: S = 1 - mean(map), E = share of pixels not predicted, F, P, R and Jaccard 0 (or NaN, see
    ``empty_mask``). Images that are all object: S = mean(map), E = share of pixels predicted, the rest by formula.

    Args:
        map_HW: float [H, W] in [0, 1], or uint8 grey values, which are divided by 255.
        mask_HW: bool [H, W]; or uint8 grey values of a mask file, cut by the protocol's ``mask_above``.
        protocol: thresholds, normalisation and the rest.
        valid_HW: bool [H, W], False on ignored pixels, which enter no count, sum or weight. All valid if left out.
        weighted: False spares the time of ``fbeta_weighted``, which is then NaN.

    Returns:
        Metrics, curves and confusion matrix.

    Raises:
        ValueError: sizes differ, a value is NaN or outside [0, 1], the mask is neither bool nor grey, or no pixel
            is valid.
    """
    mask_HW = _as_mask(mask_HW, protocol)
    raw_HW, valid_HW = _checked(map_HW, mask_HW, valid_HW)
    mask_HW = np.ascontiguousarray(mask_HW & valid_HW)
    v_HW = _normalised(raw_HW, valid_HW, protocol.normalise, use="stretched")
    literal = 2 * _mean(v_HW, valid_HW)
    capped = min(literal, 1.0)
    counted = tally(
        v_HW,
        mask_HW,
        valid_HW,
        cut=centroid_cut(mask_HW, rounding=protocol.s_centroid),
        thresholds=((literal, False), (capped, True), (protocol.fixed, False)),
    )
    values = _from_counts(counted, protocol)
    if protocol.mae_normalise == protocol.normalise:
        back, front = counted.sum_Q2.sum(0)
        values["mae"] = float((back + counted.count_Q2[:, 1].sum() - front) / counted.count_Q2.sum())
    else:
        stretched_HW = _normalised(raw_HW, valid_HW, protocol.mae_normalise, use="mae")
        values["mae"] = float(np.abs(stretched_HW - mask_HW).sum(where=valid_HW) / counted.count_Q2.sum())
    values["s_measure"] = s_measure(counted, alpha=protocol.s_alpha)
    values["fbeta_weighted"] = (
        weighted_f_beta(v_HW, mask_HW, valid_HW=valid_HW, beta2=protocol.beta2_weighted) if weighted else float("nan")
    )
    fp, tp = counted.above_T2[2].tolist()
    back, front = counted.count_Q2.sum(0).tolist()
    if front == 0 and protocol.empty_mask == "skip":
        values.update(dict.fromkeys(OBJECT_METRICS, float("nan")))
    return ImageScore(
        values={name: values[name] for name in IMAGE_METRICS},
        curves_4K=image_curves(counted.at_least_2K, beta2=protocol.beta2, e_divisor=protocol.e_divisor),
        confusion=(tp, fp, front - tp, back - fp),
    )


def _from_counts(counted: Tally, protocol: Protocol) -> dict[str, float]:
    back, front = counted.count_Q2.sum(0)
    fp_T, tp_T = counted.above_T2.T
    f_T = f_beta(tp=tp_T, fp=fp_T, fn=front - tp_T, beta2=protocol.beta2)
    rule = 0 if protocol.adaptive == "literal" else 1
    tp, fp = tp_T[rule], fp_T[rule]
    return {
        "fbeta_adaptive": float(f_T[0]),
        "fbeta_adaptive_capped": float(f_T[1]),
        "fbeta_fixed": float(f_T[2]),
        "precision_adaptive": float(ratio(tp, tp + fp)),
        "recall_adaptive": float(ratio(tp, front)),
        "jaccard": float(jaccard(tp=tp_T[2], fp=fp_T[2], fn=front - tp_T[2])),
        "mae_binary": float((fp + front - tp) / (back + front)),
        "e_measure_adaptive": float(
            e_measure(tp=tp, fp=fp, objects=front, pixels=back + front, divisor=protocol.e_divisor)
        ),
    }


def _as_mask(mask_HW: np.ndarray, protocol: Protocol) -> np.ndarray:
    if mask_HW.dtype == np.bool_:
        return mask_HW
    if mask_HW.dtype == np.uint8 and mask_HW.size and mask_HW.max() == 1:
        # As grey values these would all be background: surely a mask of 0 and 1.
        raise ValueError("mask with values 0..1 of type uint8: expected bool, or grey values 0..255")
    return protocol.binarise(mask_HW)


def _checked(map_HW: np.ndarray, mask_HW: np.ndarray, valid_HW: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The map as float64 in [0, 1] and the valid pixels; ignored pixels of the map are set to 0."""
    if map_HW.shape != mask_HW.shape or map_HW.ndim != 2:
        raise ValueError(f"map of size {map_HW.shape} and mask of size {mask_HW.shape}: expected one size [H, W]")
    if valid_HW is None:
        valid_HW = np.ones(mask_HW.shape, np.bool_)
    elif valid_HW.shape != mask_HW.shape or valid_HW.dtype != np.bool_:
        raise ValueError(f"valid pixels {valid_HW.dtype} {valid_HW.shape}: expected bool {mask_HW.shape}")
    if not valid_HW.any():
        raise ValueError("image without a pixel to score: its mask is empty or ignored everywhere")
    if map_HW.dtype == np.uint8:
        raw_HW = np.divide(map_HW, 255.0, out=scratch("raw", map_HW.shape, np.float64))
    elif np.issubdtype(map_HW.dtype, np.floating):
        raw_HW = np.ascontiguousarray(map_HW, np.float64)
    else:
        raise ValueError(f"map of type {map_HW.dtype}: expected floats in [0, 1] or uint8 grey values")
    if not valid_HW.all():
        raw_HW = np.where(valid_HW, raw_HW, 0.0)
    if map_HW.dtype == np.uint8:
        return raw_HW, np.ascontiguousarray(valid_HW)
    low, high = raw_HW.min(), raw_HW.max()
    if not (low >= -SLACK and high <= 1 + SLACK):  # so written, NaN fails too
        raise ValueError(f"map with values from {low} to {high}: expected numbers in [0, 1], no NaN")
    return (raw_HW if low >= 0 and high <= 1 else raw_HW.clip(0.0, 1.0)), np.ascontiguousarray(valid_HW)


def _normalised(raw_HW: np.ndarray, valid_HW: np.ndarray, how: str, *, use: str) -> np.ndarray:
    if how == "none":
        return raw_HW
    whole = bool(valid_HW.all())
    high = raw_HW.max()  # ignored pixels are 0
    low = (raw_HW if whole else raw_HW[valid_HW]).min() if how == "minmax" else 0.0
    # Deviation: sal_eval_toolbox also takes an all-zero map out of the count of images; here every image counts.
    if high == low or (low == 0 and high == 1):
        return raw_HW
    stretched_HW = np.subtract(raw_HW, low, out=scratch(use, raw_HW.shape, np.float64))
    stretched_HW /= high - low
    if not whole:
        stretched_HW[~valid_HW] = 0.0
    return stretched_HW


def _mean(values_HW: np.ndarray, valid_HW: np.ndarray) -> float:
    pixels = np.count_nonzero(valid_HW)
    return float(values_HW.mean()) if pixels == values_HW.size else float(values_HW.sum() / pixels)
