"""Regularized loss: trains a network to segment one class of objects from images alone (Veksler 2020, Eqs. 1-7).

A short contour along changes of colour (sparse CRF), objects of a medium size (volume) in the middle of the image
(position), and no object in images known to be without one (negative). No mask is read.

    python -m seglab.train loss=regularized schedule=anneal data=people

Legend: B batch, H W pixels; two channels, of which channel 1 is the object.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seglab.losses.checks import check_choice, check_positive, is_number
from seglab.losses.dense_crf import DenseOptions, check_dense_options, dense_crf_loss
from seglab.losses.negative import PER, negative_loss
from seglab.losses.position import border_loss, centre_loss, check_position_options
from seglab.losses.sparse_crf import check_sparse_options, sparse_crf_loss
from seglab.losses.volume import check_volume_options, volume_loss
from seglab.words import nearest

WEIGHTS = {"sparse_crf": 100.0, "dense_crf": 0.0, "volume": 1.0, "small": 5.0, "position": 1.0, "negative": 0.0}
"""Parts of the loss and their weights in the normal stage."""
IMAGES = ("positive", "all")


def object_probability(logits_B2HW: Tensor) -> Tensor:
    """Softmax of two channels at channel 1, the object, [B, H, W] in 0..1; float32 (float64 for float64).

    Raises:
        ValueError: other than two channels.
    """
    if logits_B2HW.ndim != 4 or logits_B2HW.shape[1] != 2 or not logits_B2HW.is_floating_point():
        found = f"{logits_B2HW.dtype} {tuple(logits_B2HW.shape)}"
        raise ValueError(
            f"model.channels: logits are {found}, expected floating point [B, 2, H, W] for loss=regularized"
        )
    logits_B2HW = logits_B2HW if logits_B2HW.dtype == torch.float64 else logits_B2HW.float()
    return (logits_B2HW[:, 1] - logits_B2HW[:, 0]).sigmoid()


class Regularized(nn.Module):
    """The regularized loss: Veksler 2020, Eq. 6, with the negative loss of Eq. 7.

    Returns the terms sparse_crf, dense_crf, volume, volume_small, position_border, position_centre and negative, each
    where its weight is above 0, weights applied. negative is of the negative images; the others are of the positive
    ones, but for position_border with border_images "all". Means are over the images of all processes: values are those
    of the whole batch, gradients those whose mean over processes is that of the whole batch (`seglab.losses.joint`).

    Args:
        sigma: of the edge weights, see `sparse_crf_loss`.
        scale: as there.
        neighbours: as there.
        diagonal: as there.
        bilinear: as there; 0 is the paper's.
        volume_target: see `volume_loss`, target.
        small_below: as there, below.
        small_reduction: as there, small.
        border_width: see `border_loss`, width.
        border_sides: as there, sides.
        border_images: "positive" images have an empty border, or "all", as in the released code.
        centre: see `centre_loss`, side.
        position_per: see `border_loss`, per; of border and centre.
        negative_per: see `negative_loss`, per.
        dense_sigma_colour: see `dense_crf_loss`.
        dense_sigma_space: as there.
        dense_factor: as there.
        dense_divide: as there.
        dense_method: as there.
        dense_landmarks: as there.
        weights: of the parts by name, see `WEIGHTS`; a part that is not named has weight 0. None for `WEIGHTS`.
            "small" is not multiplied by "volume"; "position" is of border and centre.

    Raises:
        ValueError: naming ``loss.<key>``, its value and what is expected.
    """

    batch_coupled = True
    joins_processes = True
    reads_masks = False
    schedulable = ("sigma", *WEIGHTS)

    def __init__(
        self,
        *,
        sigma: float = 0.15,
        scale: Literal["standardised", "unit"] = "standardised",
        neighbours: Literal[4, 8] = 4,
        diagonal: Literal["distance", "plain"] = "distance",
        bilinear: float = 0.0,
        volume_target: float = 0.5,
        small_below: float = 0.15,
        small_reduction: Literal["mean", "sum"] = "mean",
        border_width: int = 3,
        border_sides: Literal["together", "apart"] = "together",
        border_images: Literal["positive", "all"] = "positive",
        centre: int = 3,
        position_per: Literal["image", "batch"] = "image",
        negative_per: Literal["image", "batch"] = "image",
        dense_sigma_colour: float = 15.0,
        dense_sigma_space: float = 100.0,
        dense_factor: float = 0.5,
        dense_divide: Literal["pixels", "pairs"] = "pixels",
        dense_method: Literal["exact", "landmarks"] = "exact",
        dense_landmarks: int = 256,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.sparse = {"scale": scale, "neighbours": neighbours, "diagonal": diagonal, "bilinear": bilinear}
        check_sparse_options(sigma=sigma, **self.sparse)
        check_volume_options(target=volume_target, below=small_below, small=small_reduction)
        self.volume = {"target": volume_target, "below": small_below, "small": small_reduction}
        check_position_options(border_width=border_width, border_sides=border_sides, centre=centre, per=position_per)
        check_choice("border_images", border_images, IMAGES)
        self.border = {"width": border_width, "sides": border_sides, "per": position_per}
        self.border_images = border_images
        self.centre = {"side": centre, "per": position_per}
        check_choice("negative_per", negative_per, PER)
        self.negative = {"per": negative_per}
        self.dense = DenseOptions(
            dense_sigma_colour, dense_sigma_space, dense_factor, dense_divide, dense_method, dense_landmarks
        )
        check_dense_options(self.dense)
        self.sigma, self.weights = float(sigma), _checked_weights(weights)
        self.configured = self.sigma, self.weights

    @property
    def wants_negatives(self) -> bool:
        """Whether images without the object have a part in the loss now."""
        return self.weights["negative"] > 0

    @property
    def sums_over_batch(self) -> bool:
        """Whether a part now grows with the number of images, so that a batch in pieces is not the whole batch."""
        return self.volume["small"] == "sum" and self.weights["small"] > 0

    def set(self, **settings: float) -> None:
        """Set sigma and weights for an epoch, as a schedule does before each; where one is wrong, nothing changes.

        Args:
            settings: of `schedulable`, absolute values; what is not named has the value it was constructed with.

        Raises:
            ValueError: an unknown name, a value out of range, or no weight above 0.
        """
        for name in settings:
            if name not in self.schedulable:
                offered = ", ".join(self.schedulable)
                raise ValueError(f"loss.{name}={settings[name]}: no setting of a schedule, expected one of {offered}")
        configured_sigma, configured_weights = self.configured
        sigma = check_positive("sigma", settings.get("sigma", configured_sigma))
        changed = {name: value for name, value in settings.items() if name != "sigma"}
        self.sigma, self.weights = sigma, _checked_weights({**configured_weights, **changed})

    def forward(self, logits_B2HW: Tensor, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Loss terms of a batch.

        Args:
            logits_B2HW: network output; channel 1 is the object.
            batch: "image" uint8 [B, 3, H, W]; "label" [B], 0 for a negative image and another number for a positive
                one; without labels all are positive.

        Raises:
            ValueError: not two channels, an image that is not uint8 or of another size, or too small for the options.
        """
        x_BHW = object_probability(logits_B2HW)
        image, label_B = batch["image"], batch.get("label")
        if image.dtype != torch.uint8:
            raise ValueError(
                f"image: {image.dtype}, expected uint8 for loss=regularized, whose loss.sigma needs a scale"
            )
        positive_B = torch.ones(len(image), dtype=torch.bool, device=image.device) if label_B is None else label_B != 0
        weight, terms = self.weights, {}
        if weight["sparse_crf"] > 0:
            terms["sparse_crf"] = sparse_crf_loss(x_BHW, image, sigma=self.sigma, use_B=positive_B, **self.sparse)
        if weight["dense_crf"] > 0:
            terms["dense_crf"] = dense_crf_loss(x_BHW, image, use_B=positive_B, **self.dense._asdict())
        if weight["volume"] > 0 or weight["small"] > 0:
            parts = volume_loss(x_BHW, use_B=positive_B, **self.volume)
            terms |= {"volume": parts.batch} if weight["volume"] > 0 else {}
            terms |= {"volume_small": parts.small} if weight["small"] > 0 else {}
        if weight["position"] > 0:
            bordered_B = positive_B if self.border_images == "positive" else None
            terms["position_border"] = border_loss(x_BHW, use_B=bordered_B, **self.border)
            terms["position_centre"] = centre_loss(x_BHW, use_B=positive_B, **self.centre)
        if weight["negative"] > 0:
            terms["negative"] = negative_loss(x_BHW, use_B=~positive_B, **self.negative)
        return {name: (weight[_PART.get(name, name)] * term).float() for name, term in terms.items()}

    def extra_repr(self) -> str:
        """Sigma and weights, for printing the module."""
        return f"sigma={self.sigma}, weights={self.weights}"


_PART = {"volume_small": "small", "position_border": "position", "position_centre": "position"}
"""Terms whose weight has another name."""


def _checked_weights(weights: Mapping[str, float] | None) -> dict[str, float]:
    given = WEIGHTS if weights is None else weights
    if not isinstance(given, Mapping):
        raise ValueError(f"loss.weights={given}: expected one number for each of {', '.join(WEIGHTS)}")
    for name, value in given.items():
        if name not in WEIGHTS:
            raise ValueError(f"unknown key 'loss.weights.{name}'{nearest(str(name), list(WEIGHTS), 'loss.weights')}")
        if not is_number(value) or value < 0:
            raise ValueError(f"loss.weights.{name}={value}: expected a number, 0 or more")
    if not any(given.values()):
        raise ValueError(f"loss.weights={dict(given)}: expected at least one above 0")
    return {name: float(given.get(name, 0.0)) for name in WEIGHTS}
