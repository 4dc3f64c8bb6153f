"""Saliency metrics of one image (CAS section 4.2).

A grey map (uint8) is counted once by level and needs no pass in floating point; a float map is counted pixel by pixel.
Both ways give the same numbers. Legend: H W pixels, K the 256 thresholds k/255, or the 256 levels of a grey map.
Example: ``from seglab.metrics.saliency import score_map; score_map(map_HW, mask_HW, Protocol(name="cas")).values``
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from seglab.metrics.curves import image_curves
from seglab.metrics.e_measure import e_measure
from seglab.metrics.fbeta import f_beta, jaccard, ratio
from seglab.metrics.histogram import joint_histogram, tally_levels
from seglab.metrics.protocol import Protocol
from seglab.metrics.s_measure import centroid_cut, s_measure
from seglab.metrics.scratch import scratch
from seglab.metrics.stretch import stretch
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
NEAR = 1e-9  # a level so near to 2 mean is above or below it by the rounding of the mean
LEVELS = np.arange(256) / 255.0


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
    valid_HW = _checked(map_HW, mask_HW, valid_HW)
    mask_HW = np.ascontiguousarray(mask_HW if valid_HW is None else mask_HW & valid_HW)
    cut = centroid_cut(mask_HW, rounding=protocol.s_centroid)
    count = _count_grey if map_HW.dtype == np.uint8 else _count_float
    counted, mae, stretched = count(map_HW, mask_HW, valid_HW, cut, protocol)
    values = _from_counts(counted, protocol)
    values["mae"] = mae
    values["s_measure"] = s_measure(counted, alpha=protocol.s_alpha)
    values["fbeta_weighted"] = (
        weighted_f_beta(stretched(), mask_HW, valid_HW=valid_HW, beta2=protocol.beta2_weighted)
        if weighted
        else float("nan")
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


def _count_grey(
    map_HW: np.ndarray, mask_HW: np.ndarray, valid_HW: np.ndarray | None, cut: tuple[int, int], protocol: Protocol
) -> tuple[Tally, float, Callable[[], np.ndarray]]:
    """Counts and mean absolute error of a grey map, whose table is stretched; and its pixels, if they are asked for."""
    hist_Q2K = joint_histogram(map_HW, mask_HW, valid_HW, cut=cut)
    hist_2K = hist_Q2K.sum(0)
    level_K = hist_2K.sum(0)
    there = np.flatnonzero(level_K)
    low, high = LEVELS[there[0]], LEVELS[there[-1]]
    v_K = stretch(LEVELS, low, high, protocol.normalise)
    mae_K = v_K if protocol.mae_normalise == protocol.normalise else stretch(LEVELS, low, high, protocol.mae_normalise)

    def stretched() -> np.ndarray:
        # Ignored pixels may have levels outside the range of the others; they are 0, as in a float map.
        v_HW = np.take(v_K, map_HW, out=scratch("stretched", map_HW.shape, np.float64), mode="clip")
        if valid_HW is not None:
            v_HW[~valid_HW] = 0.0
        return v_HW

    literal = 2 * float(level_K @ v_K) / float(level_K.sum())
    if (np.abs(v_K[there] - literal) < NEAR).any():
        # A level lies on the threshold but for rounding: round as the mean of the pixels does, in one certain order.
        literal = 2 * _mean(stretched(), valid_HW)
    counted = tally_levels(hist_Q2K, v_K, thresholds=_thresholds(literal, protocol))
    mae = float(hist_2K[0] @ mae_K + hist_2K[1] @ (1 - mae_K)) / float(level_K.sum())
    return counted, mae, stretched


def _count_float(
    map_HW: np.ndarray, mask_HW: np.ndarray, valid_HW: np.ndarray | None, cut: tuple[int, int], protocol: Protocol
) -> tuple[Tally, float, Callable[[], np.ndarray]]:
    """The same of a float map."""
    map_HW = np.ascontiguousarray(map_HW, map_HW.dtype if map_HW.dtype in (np.float32, np.float64) else np.float64)
    if valid_HW is None:
        low, high = map_HW.min(), map_HW.max()
    else:
        low, high = map_HW.min(where=valid_HW, initial=np.inf), map_HW.max(where=valid_HW, initial=-np.inf)
        map_HW = np.where(valid_HW, map_HW, 0.0)
    if not (low >= -SLACK and high <= 1 + SLACK):  # so written, NaN fails too
        raise ValueError(f"map with values from {low} to {high}: expected numbers in [0, 1], no NaN")
    if low < 0 or high > 1:
        map_HW, low, high = map_HW.clip(0.0, 1.0), max(low, 0.0), min(high, 1.0)
    low, high = float(low), float(high)
    v_HW = stretch(map_HW, low, high, protocol.normalise, out=scratch("stretched", map_HW.shape, np.float64))
    if valid_HW is not None:
        v_HW[~valid_HW] = 0.0
    thresholds = _thresholds(2 * _mean(v_HW, valid_HW), protocol)
    counted = tally(v_HW, mask_HW, valid_HW, cut=cut, thresholds=thresholds)
    if protocol.mae_normalise == protocol.normalise:
        back, front = counted.sum_Q2.sum(0)
        return counted, float((back + counted.count_Q2[:, 1].sum() - front) / counted.count_Q2.sum()), lambda: v_HW
    mae_HW = stretch(map_HW, low, high, protocol.mae_normalise, out=scratch("mae", map_HW.shape, np.float64))
    errors_HW = np.abs(mae_HW - mask_HW)
    error = errors_HW.sum() if valid_HW is None else errors_HW.sum(where=valid_HW)
    return counted, float(error / counted.count_Q2.sum()), lambda: v_HW


def _thresholds(literal: float, protocol: Protocol) -> tuple[tuple[float, bool], ...]:
    """Those of ``fbeta_adaptive`` by either rule and of ``fbeta_fixed``: a number, and whether it belongs to B."""
    return (literal, False), (min(literal, 1.0), True), (protocol.fixed, False)


def _from_counts(counted: Tally, protocol: Protocol) -> dict[str, float]:
    back, front = counted.count_Q2.sum(0)
    fp_T, tp_T = counted.above_T2.T
    f_T = f_beta(tp=tp_T, fp=fp_T, fn=front - tp_T, beta2=protocol.beta2)
    rule = 0 if protocol.adaptive == "literal" else 1
    tp, fp = tp_T[rule], fp_T[rule]
    return {
        "fbeta_adaptive": float(f_T[rule]),
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


def _checked(map_HW: np.ndarray, mask_HW: np.ndarray, valid_HW: np.ndarray | None) -> np.ndarray | None:
    """The valid pixels, None where all are; sizes and types are right."""
    if map_HW.shape != mask_HW.shape or map_HW.ndim != 2:
        raise ValueError(f"map of size {map_HW.shape} and mask of size {mask_HW.shape}: expected one size [H, W]")
    if map_HW.dtype != np.uint8 and not np.issubdtype(map_HW.dtype, np.floating):
        raise ValueError(f"map of type {map_HW.dtype}: expected floats in [0, 1] or uint8 grey values")
    if valid_HW is not None and (valid_HW.shape != mask_HW.shape or valid_HW.dtype != np.bool_):
        raise ValueError(f"valid pixels {valid_HW.dtype} {valid_HW.shape}: expected bool {mask_HW.shape}")
    if not mask_HW.size or (valid_HW is not None and not valid_HW.any()):
        raise ValueError("image without a pixel to score: its mask is empty or ignored everywhere")
    return None if valid_HW is None or valid_HW.all() else np.ascontiguousarray(valid_HW)


def _mean(values_HW: np.ndarray, valid_HW: np.ndarray | None) -> float:
    return float(values_HW.mean() if valid_HW is None else values_HW.sum() / np.count_nonzero(valid_HW))
