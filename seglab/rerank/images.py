"""One image with its proposals: accuracies, distances to a network, features; and many of them, in processes.

Label maps are big and looked at one image at a time; what is handed on are counts and features. The features that do
not depend on a network take most of the time; they are kept in files named by a hash of all they depend on.

Legend: T outputs of networks, E epsilons, M proposals, K classes, H W pixels, G cells, D F features.
One runnable line: ``python -m seglab.evaluate run=<run> eval=rerank``.
"""

from __future__ import annotations

import hashlib
import logging
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from seglab.atomic import replacing
from seglab.coarse import IGNORE
from seglab.metrics.pooled import confusion_matrix
from seglab.post.upsampling import naive, superpixel
from seglab.proposals.features import descriptors, pooled, second_order
from seglab.proposals.store import ProposalSet, Store
from seglab.proposals.superpixels import superpixels
from seglab.rerank.accuracy import accuracy_of, confusion
from seglab.rerank.classification import proposal_shares
from seglab.rerank.distance import reduce, symmetric_kl
from seglab.rerank.network_features import network_features
from seglab.rerank.proposal_features import proposal_feature_names, proposal_features

log = logging.getLogger(__name__)

VERSION = 1
"""Raised when features change and their names do not, so that older files are not read."""
FEWEST = 16
"""Images for which a process of its own is worth starting."""
AHEAD = 3
"""Images under way per process."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is wanted of every image of a part.

    Attributes:
        store: folder of the proposals.
        part: ``train`` or ``test``.
        classes: K.
        count: proposals looked at, the best first; None = all.
        epsilons: values for which distances are found.
        background: of Eq. 17.
        groups: groups of features that are found.
        filters: whether features of the whole image are found, by filters.
        upsampled: whether label maps are made of the output itself; superpixels then have these settings.
        cache: folder of features that do not depend on a network.
    """

    store: str
    part: str
    classes: int
    count: int | None
    epsilons: tuple[float, ...]
    background: float
    groups: tuple[str, ...] = ()
    filters: bool = False
    upsampled: tuple[int, float] | None = None
    cache: str = ""


@dataclass(eq=False)
class Judged:
    """What is known of one image.

    Attributes:
        accuracy_M: of every proposal, 0..1.
        counts_MKK: label by prediction.
        distance_TEM: of Eq. 17.
        truth_K: share of each class among the labelled pixels.
        digest: of the label maps.
        network_EMD: features, if wanted; so the others.
        shares_MK: share of each class in every proposal.
        proposal_MD: features of the proposals by themselves.
        image_F: features of the image, by filters.
        upsampled: ``naive`` [T,K,K] and ``superpixel`` [K,K]: counts of label maps made of the outputs.
    """

    accuracy_M: np.ndarray
    counts_MKK: np.ndarray
    distance_TEM: np.ndarray
    truth_K: np.ndarray
    digest: bytes
    network_EMD: np.ndarray | None = None
    shares_MK: np.ndarray | None = None
    proposal_MD: np.ndarray | None = None
    image_F: np.ndarray | None = None
    upsampled: dict[str, np.ndarray] = field(default_factory=dict)


def judge(look: Look, item: Any, probs_TKGG: np.ndarray) -> Judged | None:
    """Look at one image.

    Args:
        look: what is wanted.
        item: the image and its mask, see :class:`seglab.data.sample.Item`.
        probs_TKGG: outputs of networks for it.

    Returns:
        None where no pixel of the mask is labelled: nothing can be said of any proposal.

    Raises:
        ValueError: proposals are missing or do not fit the image, or there are fewer than ``eval.rerank.count``.
    """
    image_HW3, mask_HW = item.read()
    if (mask_HW == IGNORE).all():
        return None
    proposals = proposals_for(look, item.id, image_HW3)
    labels_MHW = proposals.labels_MHW
    counts_MKK = confusion(labels_MHW, mask_HW, classes=look.classes)
    q_MKGG = reduce(labels_MHW, classes=look.classes, grid=probs_TKGG.shape[2:])
    found = Judged(
        accuracy_M=accuracy_of(counts_MKK),
        counts_MKK=counts_MKK,
        distance_TEM=np.array(
            [
                [symmetric_kl(p, q_MKGG, epsilon=e, background=look.background) for e in look.epsilons]
                for p in probs_TKGG
            ]
        ),
        truth_K=np.bincount(mask_HW[mask_HW != IGNORE], minlength=look.classes) / (mask_HW != IGNORE).sum(),
        digest=hashlib.sha256(np.ascontiguousarray(labels_MHW)).digest(),
    )
    if "network" in look.groups:
        by_epsilon = [network_features(probs_TKGG[0], q_MKGG, epsilon=epsilon) for epsilon in look.epsilons]
        found.network_EMD = np.stack(by_epsilon).astype(np.float32)
    if "classification" in look.groups:
        found.shares_MK = proposal_shares(labels_MHW, classes=look.classes)
    if "proposal" in look.groups or look.filters:
        features = _kept_features(look, item.id, image_HW3, proposals)
        found.proposal_MD, found.image_F = features.get("proposal"), features.get("image")
    if look.upsampled is not None:
        found.upsampled = _upsampled(look, item.id, image_HW3, mask_HW, probs_TKGG)
    return found


def proposals_for(look: Look, id: str, image_HW3: np.ndarray) -> ProposalSet:
    """The proposals of an image that are looked at.

    Raises:
        ValueError: missing, not of this image, or fewer than ``eval.rerank.count``.
    """
    found = Store(look.store).read(id, part=look.part, size=image_HW3.shape[:2], classes=look.classes, image=image_HW3)
    if look.count is None:
        return found
    if look.count > len(found):
        raise ValueError(
            f"eval.rerank.count={look.count}: the image '{id}' has {len(found)} proposals in '{look.store}': expected "
            f"at most so many (proposals.count makes more), or null for all there are"
        )
    return found.first(look.count)


def image_features(image_HW3: np.ndarray) -> np.ndarray:
    """What a photo looks like without a network: second-order pooled filters, and their means in nine parts of it.

    Used for "CNN classification" where the network has no fixed trunk: features of two trained networks cannot be
    compared, and those of one that learned from an image would be too sure of it.

    Returns:
        float32 [F]: 105 of the whole image (:mod:`seglab.proposals.features`) and 12 of each ninth.
    """
    values_CHW = descriptors(image_HW3)
    height, width = image_HW3.shape[:2]
    ninths_HW = (np.arange(height) * 3 // height)[:, None] * 3 + (np.arange(width) * 3 // width)[None]
    whole_F = second_order(values_CHW, np.zeros((height, width), np.int64), count=1)[0]
    parts_9C = pooled(values_CHW[:-2], ninths_HW, count=9)  # the last two channels say where a pixel is
    return np.concatenate([whole_F, parts_9C.ravel()]).astype(np.float32)


def _kept_features(look: Look, id: str, image_HW3: np.ndarray, proposals: ProposalSet) -> dict[str, np.ndarray]:
    """Features that do not depend on a network, from their file where there is one."""
    kinds = [kind for kind, there in (("proposal", "proposal" in look.groups), ("image", look.filters)) if there]
    names = proposal_feature_names(look.classes)
    digest = hashlib.sha256(f"{VERSION} {names} {image_HW3.shape} {kinds}".encode())
    for array in (image_HW3, proposals.labels_MHW, proposals.energy_M, proposals.augmented_M):
        digest.update(np.ascontiguousarray(array))
    name = digest.hexdigest()
    path = Path(look.cache) / name[:2] / f"{name[2:34]}.npz"
    if path.is_file():
        try:
            with np.load(path, allow_pickle=False) as file:
                return {kind: file[kind] for kind in kinds}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            log.warning("'%s' is damaged (%s): it is made again", path, error)
    found = {}
    if "proposal" in look.groups:
        found["proposal"] = proposal_features(image_HW3, proposals, classes=look.classes).astype(np.float32)
    if look.filters:
        found["image"] = image_features(image_HW3)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **found)
    return found


def _upsampled(
    look: Look, id: str, image_HW3: np.ndarray, mask_HW: np.ndarray, probs_TKGG: np.ndarray
) -> dict[str, np.ndarray]:
    assert look.upsampled is not None
    size, K = mask_HW.shape, look.classes
    found = {"naive": np.stack([confusion_matrix(naive(p, size), mask_HW, classes=K) for p in probs_TKGG])}
    regions_HW = Store(look.store).superpixels(id, look.part)
    if regions_HW is None:
        count, compactness = look.upsampled
        regions_HW = superpixels(image_HW3, count=count, compactness=compactness)
    found["superpixel"] = confusion_matrix(superpixel(probs_TKGG[0], regions_HW), mask_HW, classes=K)
    return found


def judge_all(
    look: Look, items: Sequence[Any], outputs: Callable[[int], np.ndarray], *, workers: int
) -> Iterator[tuple[int, Judged | None]]:
    """Look at all images of a part, in order.

    Args:
        look: what is wanted.
        items: the images.
        outputs: position of an image -> outputs [T,K,G,G] of networks for it.
        workers: processes; 0 = this one.

    Raises:
        ValueError: as :func:`judge`; or a process ended abruptly.
    """
    workers = min(workers, len(items) // FEWEST)
    if workers == 0:
        for place, item in enumerate(items):
            yield place, judge(look, item, outputs(place))
        return
    from seglab.scoring.work import _start

    waiting: deque[tuple[int, Future[Judged | None]]] = deque()
    # Fresh processes: numba, torch and a progress bar have threads, which do not survive a fork.
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start, initargs=(logging.getLogger().level,)
    )
    try:
        for place, item in enumerate(items):
            waiting.append((place, pool.submit(judge, look, item, outputs(place))))
            if len(waiting) >= workers * AHEAD:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
    except BrokenProcessPool as error:
        raise ValueError(
            f"one of {workers} processes that look at proposals ended abruptly, killed perhaps, or out of memory; the "
            "same command goes on, with fewer of them if memory is short: runtime.workers=1"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
