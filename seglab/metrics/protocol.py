"""Protocol of the saliency metrics: every convention on which two programs can differ and print two numbers.

CAS section 4.2 leaves most of it open; the presets ``conf/eval/protocol/*.yaml`` are complete readings of it.
Example: ``python -m seglab.train eval/protocol=pysodmetrics``
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

NORMALISATIONS = ("none", "max", "minmax")
CHOICES = {
    "normalise": NORMALISATIONS,
    "mae_normalise": NORMALISATIONS,
    "adaptive": ("literal", "capped"),
    "s_centroid": ("half_up", "half_even"),
    "e_divisor": ("pixels_minus_one", "pixels"),
    "empty_mask": ("zero", "skip"),
}


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One complete reading of the saliency metrics; it is stored beside every number.

    Args:
        name: how tables and files call this protocol.
        normalise: how a map in [0, 1] is stretched before F, S and E: ``none``, ``max`` (divided by its maximum),
            ``minmax`` (smallest value to 0, largest to 1). A constant map is left as it is by ``minmax``, an
            all-zero one by ``max``.
        mae_normalise: the same for the mean absolute error.
        mask_above: a grey value 0..255 of a mask file is object if it lies above this number.
        adaptive: rule of the object B behind ``fbeta_adaptive``, ``precision_adaptive``, ``recall_adaptive``,
            ``e_measure_adaptive`` and ``mae_binary``: ``literal`` is map > 2 mean, ``capped`` is
            map >= min(2 mean, 1). ``fbeta_adaptive_capped`` is always by the capped rule.
        fixed: threshold of ``fbeta_fixed``, ``jaccard`` and the pooled metrics, in [0, 1): map > fixed is object.
            0.5 is the argmax of two channels if the map is not stretched.
        beta2: weight of precision in F, above 0 (CAS section 4.2: 0.3).
        beta2_weighted: the same in ``fbeta_weighted``, above 0 (Margolin et al. 2014: 1).
        s_alpha: weight of the object part of the S-measure, in [0, 1] (Fan et al. 2017: 0.5).
        s_centroid: rounding of the centroid: ``half_up`` (Matlab) or ``half_even`` (NumPy).
        e_divisor: the E-measure divides by the pixels less one (its authors' program) or by the ``pixels``.
        empty_mask: image without object: ``zero`` counts F, precision, recall and Jaccard as 0, ``skip`` leaves
            them out of the averages.
        note: free text on what else a reader must know, for example the averaging.

    Raises:
        ValueError: a value is outside its range; the message names ``eval.protocol.<key>``.
    """

    name: str
    normalise: str = "none"
    mae_normalise: str = "none"
    mask_above: float = 127.5
    adaptive: str = "literal"
    fixed: float = 0.5
    beta2: float = 0.3
    beta2_weighted: float = 1.0
    s_alpha: float = 0.5
    s_centroid: str = "half_up"
    e_divisor: str = "pixels_minus_one"
    empty_mask: str = "zero"
    note: str = "means over images; pooled metrics count pixels over the whole set"

    def __post_init__(self) -> None:
        """Check every value once, so that no metric has to."""
        for key, offered in CHOICES.items():
            value = getattr(self, key)
            if value not in offered:
                raise ValueError(f"eval.protocol.{key}={value}: expected one of {', '.join(offered)}")
        for key in (f.name for f in fields(self) if f.type == "float"):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
                raise ValueError(f"eval.protocol.{key}={value}: expected a number")
        for key, inside, wanted in (
            ("name", isinstance(self.name, str) and bool(self.name), "a name"),
            ("note", isinstance(self.note, str), "text"),
            ("mask_above", 0 <= self.mask_above < 255, "a grey value, 0 or more and below 255"),
            ("fixed", 0 <= self.fixed < 1, "a number in [0, 1)"),
            ("beta2", self.beta2 > 0, "a number above 0"),
            ("beta2_weighted", self.beta2_weighted > 0, "a number above 0"),
            ("s_alpha", 0 <= self.s_alpha <= 1, "a number in [0, 1]"),
        ):
            if not inside:
                raise ValueError(f"eval.protocol.{key}={getattr(self, key)}: expected {wanted}")

    def binarise(self, grey_HW: np.ndarray) -> np.ndarray:
        """Turn a mask file's grey values into a mask.

        Args:
            grey_HW: uint8 [H, W], 0..255.

        Returns:
            bool [H, W], True on the object.

        Raises:
            ValueError: not uint8.
        """
        if grey_HW.dtype != np.uint8:
            raise ValueError(f"mask of type {grey_HW.dtype}: expected grey values, uint8 0..255")
        return grey_HW > np.uint8(self.mask_above)  # of whole numbers those above 127.5 are those above 127

    def to_dict(self) -> dict[str, Any]:
        """Plain types, to be stored beside the numbers."""
        return asdict(self)
