"""Mean-field inference in a fully connected CRF (Kraehenbuehl and Koltun 2011), as CAS absorbs small regions.

Potts energy with two Gaussian kernels, one of position and one of position and colour. Names, meaning and defaults are
those of the common C++ library's ``addPairwiseGaussian`` and ``addPairwiseBilateral`` (kernel of diagonal covariance):
q <- softmax(-unary + sum over kernels of compat * N K N q), where N normalises K by its row sums and K_ii = 1 counts.

CAS names the library and no numbers (section 4.3); the values are those of the library's own example.

Legend: L labels, H W pixels, P = H * W.
Example: ``DenseCRF()(torch.rand(2, 32, 32), torch.zeros(3, 32, 32, dtype=torch.uint8))``
"""

from __future__ import annotations

import logging
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from seglab.post.crf_kernels import Exact, Kernel, Landmarks, Product, Spatial

log = logging.getLogger(__name__)

METHODS = ("exact", "landmarks", "auto")
BACKENDS = ("seglab", "pydensecrf")
NORMALISATIONS = ("symmetric", "before", "after", "none")
EXACT_UP_TO = 128 * 128
"""Pixels of an image for which ``auto`` takes all pairs; the choice is the same on every device."""
_CERTAIN = 1e3
"""Energy of the labels that an observed pixel does not have, for a library that knows no observed pixels."""


class DenseCRF:
    """Label probabilities of all pixels from unary energies and an image.

    Args:
        gaussian_sxy: standard deviation of the position kernel, pixels.
        gaussian_compat: its weight; 0 leaves it out.
        bilateral_sxy: standard deviation of position in the colour kernel, pixels.
        bilateral_srgb: standard deviation of colour in it, grey levels (0..255).
        bilateral_compat: its weight; 0 leaves it out.
        normalisation: ``symmetric``, ``before``, ``after`` or ``none``.
        iterations: mean-field steps.
        method: ``exact`` takes all pairs of pixels; ``landmarks`` approximates the colour kernel (Nystroem);
            ``auto`` is exact up to 128 x 128 pixels.
        landmarks: number of landmarks.
        backend: ``seglab``, or ``pydensecrf`` where that library is installed (``pip install pydensecrf2``).

    Raises:
        ValueError: a value is outside its range, or the library is not installed.
    """

    def __init__(
        self,
        *,
        gaussian_sxy: float = 3.0,
        gaussian_compat: float = 3.0,
        bilateral_sxy: float = 80.0,
        bilateral_srgb: float = 13.0,
        bilateral_compat: float = 10.0,
        normalisation: str = "symmetric",
        iterations: int = 10,
        method: str = "auto",
        landmarks: int = 256,
        backend: str = "seglab",
    ) -> None:
        widths = {"gaussian_sxy": gaussian_sxy, "bilateral_sxy": bilateral_sxy, "bilateral_srgb": bilateral_srgb}
        weights = {"gaussian_compat": gaussian_compat, "bilateral_compat": bilateral_compat}
        for key, value in {**widths, **weights}.items():
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not number or value < 0 or (value == 0 and key in widths):
                raise ValueError(
                    f"eval.post.crf.{key}={value}: expected a number {'above 0' if key in widths else '>= 0'}"
                )
        for key, value, low in (("iterations", iterations, 0), ("landmarks", landmarks, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise ValueError(f"eval.post.crf.{key}={value}: expected a whole number, {low} or more")
        chosen = (("method", method, METHODS), ("backend", backend, BACKENDS))
        for key, value, offered in (*chosen, ("normalisation", normalisation, NORMALISATIONS)):
            if value not in offered:
                raise ValueError(f"eval.post.crf.{key}={value}: expected one of {', '.join(offered)}")
        if backend == "pydensecrf":
            _library()
        self.gaussian = float(gaussian_sxy), float(gaussian_compat)
        self.bilateral = float(bilateral_sxy), float(bilateral_srgb), float(bilateral_compat)
        self.normalisation, self.iterations, self.method = normalisation, iterations, method
        self.landmarks, self.backend = landmarks, backend

    @torch.no_grad()
    def __call__(self, unary_LHW: Tensor, image_3HW: Tensor, *, observed_HW: Tensor | None = None) -> Tensor:
        """Run mean field.

        Args:
            unary_LHW: energy of every label at every pixel, minus log probability, float32.
            image_3HW: uint8, or float in grey levels 0..255.
            observed_HW: int64, the label of a pixel that is known, which then speaks to the others and is not asked;
                -1 = to be found. None: all are to be found.

        Returns:
            Probabilities, float32 [L, H, W] on the device of ``unary_LHW``; 0 or 1 at observed pixels.

        Raises:
            ValueError: sizes differ, or a float image lies in 0..1.
        """
        _check(unary_LHW, image_3HW)
        unary_LP = unary_LHW.float().flatten(1)
        known_P = None if observed_HW is None else observed_HW.flatten().to(unary_LP.device)
        free = None if known_P is None else (known_P < 0).nonzero()[:, 0]
        if free is not None and len(free) == len(known_P):
            free = None
        start_LP = (-unary_LP).softmax(0)
        if free is not None:
            sure_LP = F.one_hot(known_P.clamp(min=0), len(unary_LP)).T.to(start_LP)
            start_LP = torch.where(known_P < 0, start_LP, sure_LP)
            if len(free) == 0:
                return start_LP.view_as(unary_LHW)
        if self.backend == "pydensecrf":
            if free is not None:
                unary_LP = torch.where(known_P < 0, unary_LP, _CERTAIN * (1 - start_LP))
            return self._by_library(unary_LP.view_as(unary_LHW), image_3HW)
        return self._mean_field(unary_LP, start_LP, image_3HW, free).view_as(unary_LHW)

    def _mean_field(self, unary_LP: Tensor, q_LP: Tensor, image_3HW: Tensor, free: Tensor | None) -> Tensor:
        kernels = self.kernels(image_3HW.to(q_LP.device))
        messages = [_Message(kernel, weight, self.normalisation, q_LP, free) for weight, kernel in kernels]
        unary_LR = unary_LP if free is None else unary_LP[:, free]
        q_LR = q_LP if free is None else q_LP[:, free]
        for _ in range(self.iterations):
            q_LR = (sum((m(q_LR) for m in messages), start=-unary_LR)).softmax(0)
        if free is None:
            return q_LR
        q_LP = q_LP.clone()
        q_LP[:, free] = q_LR
        return q_LP

    def kernels(self, image_3HW: Tensor) -> list[tuple[float, Kernel]]:
        """Weight and kernel of the terms that are in use, for one image."""
        _, height, width = image_3HW.shape
        found: list[tuple[float, Kernel]] = []
        if self.gaussian[1]:
            sxy, weight = self.gaussian
            found.append((weight, Spatial(height, width, sxy=sxy, device=image_3HW.device)))
        if self.bilateral[2]:
            sxy, srgb, weight = self.bilateral
            features = bilateral_features(image_3HW, sxy=sxy, srgb=srgb)
            if self.method == "exact" or (self.method == "auto" and len(features) <= EXACT_UP_TO):
                found.append((weight, Exact(features)))
            else:
                kernel = Landmarks(features, landmarks=self.landmarks)
                log.debug("%d landmarks miss %.4f of the colour kernel", self.landmarks, kernel.missed)
                found.append((weight, kernel))
        return found

    def _by_library(self, unary_LHW: Tensor, image_3HW: Tensor) -> Tensor:
        """The same by the C++ library, on the CPU."""
        import numpy as np

        crf = _library()
        labels, height, width = unary_LHW.shape
        mode = {"symmetric": "SYMMETRIC", "before": "BEFORE", "after": "AFTER", "none": "NO"}[self.normalisation]
        normalise = getattr(crf, f"NORMALIZE_{mode}" if mode != "NO" else "NO_NORMALIZATION")
        model = crf.DenseCRF2D(width, height, labels)
        model.setUnaryEnergy(np.ascontiguousarray(unary_LHW.flatten(1).cpu().numpy()))
        if self.gaussian[1]:
            sxy, weight = self.gaussian
            model.addPairwiseGaussian(sxy=sxy, compat=weight, normalization=normalise)
        if self.bilateral[2]:
            sxy, srgb, weight = self.bilateral
            colours = image_3HW.detach().cpu().round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()
            model.addPairwiseBilateral(sxy=sxy, srgb=srgb, rgbim=colours, compat=weight, normalization=normalise)
        q_LP = np.array(model.inference(self.iterations), dtype=np.float32)
        return torch.from_numpy(q_LP).view(labels, height, width).to(unary_LHW.device)


class _Message:
    """What one kernel tells the pixels that are to be found, weight * N K N q; what observed pixels say is constant."""

    def __init__(self, kernel: Kernel, weight: float, normalisation: str, q_LP: Tensor, free: Tensor | None) -> None:
        power = {"symmetric": (-0.5, -0.5), "before": (-1.0, 0.0), "after": (0.0, -1.0), "none": (0.0, 0.0)}
        before, after = power[normalisation]
        sums_P = kernel.sums_P + 1e-20  # as the library does
        in_P, out_P = sums_P**before, weight * sums_P**after
        self.product: Product = kernel.between(free, free)
        self.constant: Tensor | float = 0.0
        if free is not None:
            known_LP = q_LP.index_fill(1, free, 0.0) * in_P
            in_P, out_P = in_P[free], out_P[free]
            self.constant = kernel.between(free, None)(known_LP) * out_P
        self.in_R, self.out_R = in_P, out_P

    def __call__(self, q_LR: Tensor) -> Tensor:
        return self.product(q_LR * self.in_R) * self.out_R + self.constant


def bilateral_features(image_3HW: Tensor, *, sxy: float, srgb: float) -> Tensor:
    """Column / sxy, row / sxy and colour / srgb of every pixel, float32 [P, 5]."""
    _, height, width = image_3HW.shape
    rows = torch.arange(height, dtype=torch.float32, device=image_3HW.device)
    columns = torch.arange(width, dtype=torch.float32, device=image_3HW.device)
    place_P2 = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).flatten(0, 1) / sxy
    return torch.cat([place_P2, image_3HW.float().flatten(1).T / srgb], 1)


def _check(unary_LHW: Tensor, image_3HW: Tensor) -> None:
    if unary_LHW.ndim != 3 or image_3HW.ndim != 3 or len(image_3HW) != 3 or unary_LHW.shape[1:] != image_3HW.shape[1:]:
        raise ValueError(
            f"unary {tuple(unary_LHW.shape)}, image {tuple(image_3HW.shape)}: expected [L,H,W] and [3,H,W] of one size"
        )
    if image_3HW.is_floating_point() and 0 < float(image_3HW.max()) <= 1:
        raise ValueError(
            "image with values 0..1: expected grey levels 0..255, in which eval.post.crf.bilateral_srgb is"
        )


def _library():
    try:
        from pydensecrf import densecrf
    except ImportError as error:
        raise ValueError(
            "eval.post.crf.backend=pydensecrf: the library is not installed; expected pip install pydensecrf2 (it "
            "needs a C++ compiler), or eval.post.crf.backend=seglab"
        ) from error
    return densecrf
