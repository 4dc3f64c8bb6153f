"""How the sparse-CRF and the dense-CRF loss of hard predictions go with their F-measure over a training.

Regularized loss section 3.2 and table 1 (EQUATIONS 1.6, 3.2, 3.9.11): a network trained with true masks is stopped at
20 steps; at each the losses and the F-measure are averaged over the test set; the table holds Pearson's correlation of
these 20 pairs.

Legend: B batch, T snapshots, N images, L = T + 1 label maps of an image (its mask is the last), H W pixels.
Example: ``python -m seglab.evaluate run=<run of schedule=snapshots> eval=correlation``
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional as F

from seglab.data.sample import IGNORE
from seglab.metrics.crf_planes import dense_planes, sparse_planes
from seglab.metrics.crf_protocol import CrfProtocol
from seglab.metrics.fbeta import f_beta
from seglab.metrics.image_rows import ImageRows

CURVES = ("fbeta", "sparse_crf", "dense_crf")
TRUTH = ("gt_sparse_crf", "gt_dense_crf")
_SAME = 1e-12
"""Relative deviation below which numbers are one number, rounded in different ways."""


class CrfCorrelation(ImageRows):
    """Losses and F-measure at every snapshot; with one network only (validation), its own.

    Args:
        protocol: what they depend on.

    Raises:
        ValueError: the protocol is one of another evaluation.
    """

    reads_images = True
    """Whether ``update`` wants the images."""
    over_snapshots = True
    """Whether a run is scored at each of its snapshots: ``start`` before each."""

    def __init__(self, protocol: CrfProtocol) -> None:
        if not isinstance(protocol, CrfProtocol):
            name = getattr(protocol, "name", protocol)
            raise ValueError(f"eval/protocol={name}: not one of eval=correlation: expected crf_correlation")
        super().__init__(names=(*CURVES, *TRUTH), dtype=torch.float64)
        self.protocol = protocol
        self.steps, self.last, self._started = [0], True, False
        self._earlier: dict[int, list[np.ndarray]] = {}  # position -> packed label maps of the snapshots before
        self.add_rows("snapshot_rows")  # position, number of the snapshot, then ``CURVES``

    def start(self, step: int, *, last: bool) -> None:
        """Say that the network is now that of another snapshot.

        Args:
            step: optimiser step it was kept at, larger than that of the one before.
            last: no other follows; the losses are found then, those of all snapshots at once.
        """
        self.steps = [*(self.steps if self._started else []), int(step)]
        self._started, self.last = True, last

    def update(
        self,
        maps_BHW: Tensor,
        masks_BHW: Tensor,
        index_B: Tensor | Sequence[int],
        images_B3HW: Tensor | None = None,
    ) -> None:
        """Take the predictions of a batch.

        Args:
            maps_BHW: float [B, H, W] in [0, 1]; object is what lies above ``protocol.fixed``.
            masks_BHW: int [B, H, W], 0 background, 1 object, 255 ignored.
            index_B: positions of the images in the data set, each given once a snapshot.
            images_B3HW: uint8, or float in grey levels; None: images of one colour.

        Raises:
            ValueError: sizes differ, a map is not finite, or a mask holds other values or nothing but 255.
        """
        if maps_BHW.ndim != 3 or maps_BHW.shape != masks_BHW.shape:
            raise ValueError(f"maps {tuple(maps_BHW.shape)} and masks {tuple(masks_BHW.shape)}: expected [B,H,W] both")
        if not bool(maps_BHW.isfinite().all()):
            raise ValueError("map with NaN or infinity: expected numbers in 0..1; are the weights whole?")
        found_BHW = self._at_size(maps_BHW[:, None].float(), smooth=True)[:, 0] > self.protocol.fixed
        positions = [int(i) for i in torch.as_tensor(index_B).tolist()]
        if not self.last:
            for position, found_HW in zip(positions, found_BHW.cpu().numpy(), strict=True):
                self._earlier.setdefault(position, []).append(np.packbits(found_HW))
            return
        if images_B3HW is None:
            images_B3HW = torch.zeros(len(maps_BHW), 3, *maps_BHW.shape[1:], device=maps_BHW.device)
        images_B3HW = self._at_size(images_B3HW.to(maps_BHW.device).float(), smooth=True)
        masks_BHW = self._at_size(masks_BHW[:, None].double(), smooth=False)[:, 0].round().long()
        for position, found_HW, mask_HW, image_3HW in zip(positions, found_BHW, masks_BHW, images_B3HW, strict=True):
            try:
                self._take(position, found_HW, mask_HW.cpu().numpy(), image_3HW)
            except ValueError as error:
                raise ValueError(f"image {position} of the test set: {error}") from error

    def update_one(self, map_HW: Tensor, mask_HW: Tensor, index: int, image_3HW: Tensor | None = None) -> None:
        """Take one image, of any size; arguments as in :meth:`update`, without the batch."""
        self.update(map_HW[None], mask_HW[None], [index], None if image_3HW is None else image_3HW[None])

    def compute(self) -> dict[str, float]:
        """Metrics of the set, over all processes (each of them must call it).

        Returns:
            ``fbeta`` (percent, mean over images), ``sparse_crf`` (per pair) and ``dense_crf`` (per pixel) of the last
            snapshot, ``gt_sparse_crf`` and ``gt_dense_crf`` of the true masks; over snapshots also
            ``correlation_sparse_crf`` and ``correlation_dense_crf``, in [-1, 1].

        Raises:
            ValueError: no image was scored, or one twice; or a mean is the same at every snapshot, so that there is no
                correlation.
        """
        with self.all_processes():
            rows_ND, curves_T3 = self.sorted_rows(), self._curves()
        values = dict(zip(self.names, rows_ND[:, 1:].mean(0).tolist(), strict=True))
        if len(self.steps) == 1:
            return values
        found = {name: self._pearson(curves_T3, name) for name in CURVES[1:]}
        return {**{f"correlation_{name}": value for name, value in found.items()}, **values}

    def curves(self) -> dict[str, np.ndarray]:
        """One row a snapshot, over all processes (each of them must call it).

        Returns:
            ``step`` (int64), ``fbeta``, ``sparse_crf``, ``dense_crf``, [T] each; nothing for one network.
        """
        if len(self.steps) == 1:
            return {}
        with self.all_processes():
            curves_T3 = self._curves()
        return {"step": np.array(self.steps), **dict(zip(CURVES, curves_T3.T, strict=True))}

    def _curves(self) -> np.ndarray:
        """Means over the images, [T, 3]; summed in order of the images, whichever process scored them."""
        rows = torch.cat(self.snapshot_rows).numpy()
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
        return rows[:, 2:].reshape(-1, len(self.steps), len(CURVES)).mean(0)

    def _pearson(self, curves_T3: np.ndarray, name: str) -> float:
        apart = []
        for column in ("fbeta", name):
            values_T = curves_T3[:, CURVES.index(column)]
            apart.append(values_T - values_T.mean())
            if np.abs(apart[-1]).max() <= _SAME * max(1.0, np.abs(values_T).max()):
                raise ValueError(
                    f"eval=correlation: the mean {column} is {values_T[0]:g} at all {len(values_T)} snapshots, so "
                    "there is no correlation: expected a training that gets better (schedule.epochs, loss, optim.lr)"
                )
        f_T, loss_T = apart
        return float((f_T @ loss_T) / np.sqrt((f_T @ f_T) * (loss_T @ loss_T)))

    def _take(self, position: int, found_HW: Tensor, mask_HW: np.ndarray, image_3HW: Tensor) -> None:
        earlier = self._earlier.pop(position, [])
        if len(earlier) != len(self.steps) - 1:
            raise ValueError(f"seen at {len(earlier) + 1} of {len(self.steps)} snapshots: expected each image at each")
        size = tuple(found_HW.shape)
        unpacked = [np.unpackbits(bits, count=found_HW.numel()).reshape(size).astype(bool) for bits in earlier]
        maps_THW = torch.from_numpy(np.stack([*unpacked, found_HW.cpu().numpy()]))
        truth_HW = completed(mask_HW)
        planes_LHW = torch.cat([maps_THW, torch.from_numpy(truth_HW)[None]]).to(image_3HW.device)
        p, side = self.protocol, max(size)
        sparse = {key: getattr(p, key) for key in ("sigma", "scale", "neighbours", "diagonal")}
        sparse_L = sparse_planes(planes_LHW, image_3HW, **sparse)
        dense_L = dense_planes(
            planes_LHW,
            image_3HW,
            sigma_space=p.sigma_space * side / p.space_at,
            sigma_colour=p.sigma_colour,
            landmarks=p.landmarks if p.method == "landmarks" else None,
        )
        f_T = 100 * f_scores(maps_THW.numpy(), mask_HW, beta2=p.beta2)
        table_T3 = np.stack([f_T, sparse_L[:-1].numpy(), dense_L[:-1].numpy()], 1)
        numbers = np.arange(len(table_T3))[:, None]
        rows = np.concatenate([np.full_like(numbers, position), numbers, table_T3], 1)
        self.snapshot_rows.append(torch.from_numpy(rows))
        row = [position, *table_T3[-1], float(sparse_L[-1]), float(dense_L[-1])]
        self.image_rows.append(torch.tensor([row], dtype=torch.float64))

    def _at_size(self, planes_BCHW: Tensor, *, smooth: bool) -> Tensor:
        size = self.protocol.size
        if size is None or tuple(planes_BCHW.shape[2:]) == (size, size):
            return planes_BCHW
        if not smooth:
            return F.interpolate(planes_BCHW, (size, size), mode="nearest-exact")
        return F.interpolate(planes_BCHW, (size, size), mode="bilinear", align_corners=False, antialias=True)


def f_scores(maps_THW: np.ndarray, mask_HW: np.ndarray, *, beta2: float) -> np.ndarray:
    """F-measure of hard maps, float64 [T] in 0..1; ignored pixels (255) do not count, and 0/0 is 0."""
    found_TP, truth_P = maps_THW[:, mask_HW != IGNORE], mask_HW[mask_HW != IGNORE] == 1
    tp = (found_TP & truth_P).sum(1)
    return f_beta(tp=tp, fp=found_TP.sum(1) - tp, fn=truth_P.sum() - tp, beta2=beta2)


def completed(mask_HW: np.ndarray) -> np.ndarray:
    """A mask as bool [H, W] without ignored pixels: each takes the label of the nearest that has one.

    The border round the objects of some sets is ignored, and a CRF loss needs a label of every pixel: with all of it
    background or all object, the outline would lie beside the true one.

    Raises:
        ValueError: the mask holds other values than 0, 1 and 255, or 255 only.
    """
    odd = np.setdiff1d(mask_HW, [0, 1, IGNORE])
    if odd.size:
        raise ValueError(f"mask with values {odd[:8].tolist()}: expected 0 background, 1 object, 255 ignored")
    ignored_HW = mask_HW == IGNORE
    if ignored_HW.all():
        raise ValueError("every pixel of its mask is ignored: expected a test set with masks")
    if not ignored_HW.any():
        return mask_HW == 1
    rows_HW, columns_HW = distance_transform_edt(ignored_HW, return_distances=False, return_indices=True)
    return mask_HW[rows_HW, columns_HW] == 1
