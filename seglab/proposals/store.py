"""Proposals on disk: a few whole segmentations of every image, best first, read with one message per fault.

Ours: ``<folder>/<part>/<id>.npz`` with the superpixels once and a label for each of them in every proposal.
Anybody's: a folder of label maps an image, ``<folder>/[<part>/]<id>/*.png``, in order of rank.

Legend: H W pixels, M proposals, S superpixels, K classes. One runnable line: ``python -c "from seglab.proposals.store
import Store; print(Store('maps').read('0001', part='test', size=(240, 320), classes=11).labels_MHW.shape)"``.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seglab.atomic import replacing

VERSION = 1
"""Raised when the layout of the files changes."""
LARGEST = 2**29
"""Bytes that a file may unpack to."""
MOST = 1000
"""Proposals that an image may have."""
KEYS = ("version", "id", "image", "superpixels", "labels", "energy", "augmented", "classes")


@dataclass(frozen=True, eq=False)
class ProposalSet:
    """The proposals of one image, best first.

    Attributes:
        labels_MHW: uint8, 0..K-1, at the image's own size.
        energy_M: float64, what the model says of each; of somebody's label maps their rank 0..M-1.
        augmented_M: float64, the same with the diversity that was asked for; never falls.
    """

    labels_MHW: np.ndarray
    energy_M: np.ndarray
    augmented_M: np.ndarray

    def __len__(self) -> int:
        """Number of proposals, M."""
        return len(self.labels_MHW)

    def first(self, count: int) -> ProposalSet:
        """The first ``count`` proposals; all of them where there are no more."""
        return ProposalSet(self.labels_MHW[:count], self.energy_M[:count], self.augmented_M[:count])


class Store:
    """Proposals of a data set in a folder.

    Args:
        folder: ours, or anybody's; it need not be there before something is written.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def path(self, id: str, part: str) -> Path:
        """Our file of an image.

        Raises:
            ValueError: the name of the image leads out of the folder.
        """
        return self._inside(id, part, f"{id}.npz")

    def has(self, id: str, part: str) -> bool:
        """Whether there is something of an image; not whether it can be read."""
        return self.path(id, part).is_file() or bool(self._maps(id, part))

    def read(
        self, id: str, *, part: str, size: tuple[int, int], classes: int, image: np.ndarray | None = None
    ) -> ProposalSet:
        """The proposals of one image.

        Args:
            id: name of the image.
            part: ``"train"`` or ``"test"``.
            size: height and width of the image, pixels.
            classes: K.
            image: uint8 [H,W,3]; where it is given, proposals that were made of other pixels are refused.

        Raises:
            ValueError: the image has none, a file is damaged, of another size or image, or holds a label that is no
                class; the message names file, value and what is expected.
        """
        path = self.path(id, part)
        if path.is_file():
            return self._own(path, size, classes, image)
        if maps := self._maps(id, part):
            return _foreign(maps, size, classes)
        raise self._nothing(id, part)

    def superpixels(self, id: str, part: str) -> np.ndarray | None:
        """The superpixels, int32 [H,W], that an image's proposals are made of; None for label maps of others.

        Raises:
            ValueError: the image has no proposals, or the file is damaged.
        """
        path = self.path(id, part)
        if path.is_file():
            return _read_npz(path)["superpixels"].astype(np.int32)
        if not self._maps(id, part):
            raise self._nothing(id, part)
        return None

    def check_image(self, id: str, part: str, image: np.ndarray) -> None:
        """See that our file of an image is whole and was made of these pixels.

        Raises:
            ValueError: it is damaged, or of another image.
        """
        path = self.path(id, part)
        _check_image(path, _read_npz(path), image)

    def write(
        self,
        id: str,
        *,
        part: str,
        superpixels_HW: np.ndarray,
        labels_MS: np.ndarray,
        energy_M: np.ndarray,
        augmented_M: np.ndarray,
        image: np.ndarray,
        classes: int,
    ) -> Path:
        """Write the proposals of one image, whole or not at all; equal content gives equal bytes.

        Args:
            id: name of the image.
            part: ``"train"`` or ``"test"``.
            superpixels_HW: whole numbers 0..S-1.
            labels_MS: the class of every superpixel in every proposal, 0..K-1.
            energy_M: of each proposal.
            augmented_M: the same with diversity.
            image: uint8 [H,W,3], the pixels that the proposals are made of.
            classes: K.
        """
        count, last = len(labels_MS), int(superpixels_HW.max())
        assert superpixels_HW.shape == image.shape[:2], "superpixels of another image"
        assert labels_MS.shape == (count, last + 1), "labels of other superpixels"
        assert len(energy_M) == len(augmented_M) == count
        path = self.path(id, part)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "version": np.int64(VERSION),
            "id": np.frombuffer(id.encode("utf-8", "surrogateescape"), np.uint8),
            "image": np.frombuffer(fingerprint(image), np.uint8),
            "superpixels": superpixels_HW.astype(np.uint16 if last < 2**16 else np.int32),
            "labels": labels_MS.astype(np.uint8),
            "energy": np.asarray(energy_M, np.float64),
            "augmented": np.asarray(augmented_M, np.float64),
            "classes": np.int64(classes),
        }
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **content)
        return path

    def _own(self, path: Path, size: tuple[int, int], classes: int, image: np.ndarray | None) -> ProposalSet:
        content = _read_npz(path)
        superpixels_HW, labels_MS = content["superpixels"], content["labels"]
        _check_size(path, superpixels_HW.shape, size)
        _check_labels(path, labels_MS, classes)
        if image is not None:
            _check_image(path, content, image)
        return ProposalSet(labels_MS[:, superpixels_HW], content["energy"], content["augmented"])

    def _maps(self, id: str, part: str) -> list[Path]:
        """Somebody's label maps of an image in order of their names, 2 before 10."""
        for folder in (self._inside(id, part, id), self._inside(id, "", id)):
            if folder.is_dir():
                found = [p for p in folder.iterdir() if p.suffix.lower() == ".png" and not p.name.startswith(".")]
                if found:
                    return sorted(found, key=lambda path: natural(path.name))
        return []

    def _inside(self, id: str, part: str, name: str) -> Path:
        if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
            raise ValueError(f"proposals of the image {id!r}: expected a name that stays inside '{self.folder}'")
        return self.folder / part / name

    def _nothing(self, id: str, part: str) -> ValueError:
        if not self.folder.is_dir():
            return ValueError(f"proposals '{self.folder}': no such folder")
        if next(self.folder.iterdir(), None) is None:
            return ValueError(
                f"proposals '{self.folder}': the folder is empty: expected {part}/<image>.npz of seglab.proposals, or "
                f"label maps {part}/<image>/*.png (or <image>/*.png) in order of rank"
            )
        return ValueError(
            f"proposals '{self.folder}': none for the image '{id}' of the {part} part: expected {part}/{id}.npz, or "
            f"label maps {part}/{id}/*.png or {id}/*.png in order of rank"
        )


def superpixels_of(store: Store, id: str, part: str) -> np.ndarray | None:
    """As :meth:`Store.superpixels`."""
    return store.superpixels(id, part)


def fingerprint(image_HW3: np.ndarray) -> bytes:
    """SHA-256 of an image's pixels and size."""
    found = hashlib.sha256(np.array(image_HW3.shape, "<i8").tobytes())
    found.update(np.ascontiguousarray(image_HW3, np.uint8).tobytes())
    return found.digest()


def natural(name: str) -> tuple:
    """Key by which names are sorted as people count: ``m2.png`` before ``m10.png``."""
    pieces = re.split(r"([0-9]+)", name.lower())
    return tuple((int(piece), "") if i % 2 else (-1, piece) for i, piece in enumerate(pieces)), name


def _foreign(paths: list[Path], size: tuple[int, int], classes: int) -> ProposalSet:
    from seglab.data.files import read_labels

    if len(paths) > MOST:
        raise ValueError(f"proposals '{paths[0].parent}': {len(paths)} label maps: expected 1 to {MOST}")
    maps = []
    for path in paths:
        try:
            labels_HW = read_labels(path)
        except ValueError as error:
            raise ValueError(f"proposals '{path}': {error}") from error
        _check_size(path, labels_HW.shape, size)
        _check_labels(path, labels_HW, classes)
        maps.append(labels_HW)
    rank_M = np.arange(len(maps), dtype=np.float64)
    return ProposalSet(np.stack(maps), rank_M, rank_M.copy())


def _check_size(path: Path, found: tuple[int, ...], expected: tuple[int, int]) -> None:
    if tuple(found) != tuple(expected):
        shown = " x ".join(map(str, found[::-1]))
        raise ValueError(
            f"proposals '{path}' have {shown} pixels (width x height): expected those of the image, "
            f"{expected[1]} x {expected[0]}"
        )


def _check_image(path: Path, content: dict[str, np.ndarray], image: np.ndarray) -> None:
    _check_size(path, content["superpixels"].shape, image.shape[:2])
    if content["image"].tobytes() != fingerprint(image):
        raise ValueError(
            f"proposals '{path}' were made of another image with this name and size: expected the image they were "
            "made of; python -m seglab.proposals makes it anew where the proposals are its own"
        )


def _check_labels(path: Path, labels: np.ndarray, classes: int) -> None:
    if labels.size and int(labels.max()) >= classes:
        odd = np.unique(labels[labels >= classes])[:8].tolist()
        raise ValueError(
            f"proposals '{path}' hold the labels {odd}: expected 0 to {classes - 1}, a class for every pixel"
        )


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """One of our files, checked as a whole.

    Raises:
        ValueError: it is damaged, or not one of ours.
    """
    again = "delete it and start the same command again, which makes it anew"
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
                raise ValueError(f"it unpacks to more than {LARGEST} bytes")
        with np.load(path, allow_pickle=False) as file:
            if missing := [key for key in KEYS if key not in file.files]:
                raise ValueError(f"it lacks {', '.join(missing)}")
            content = {key: file[key] for key in KEYS}
        _check_content(content)
    except Exception as error:  # zip, zlib and NumPy have a dozen types for damage, none of which names the file
        raise ValueError(
            f"proposals '{path}' cannot be read ({path.stat().st_size} bytes; {error or type(error).__name__}): "
            f"expected a whole file of seglab.proposals; {again}"
        ) from error
    return content


def _check_content(content: dict[str, np.ndarray]) -> None:
    superpixels, labels = content["superpixels"], content["labels"]
    if int(content["version"]) != VERSION:
        raise ValueError(f"its version is {int(content['version'])}, not {VERSION}")
    if superpixels.ndim != 2 or not np.issubdtype(superpixels.dtype, np.integer) or not superpixels.size:
        raise ValueError("its superpixels are no map of whole numbers")
    if labels.ndim != 2 or labels.dtype != np.uint8 or not 1 <= len(labels) <= MOST:
        raise ValueError(f"its labels are not those of 1 to {MOST} proposals")
    if not 0 <= int(superpixels.min()) <= int(superpixels.max()) < labels.shape[1]:
        raise ValueError("its superpixels have no label")
    for key in ("energy", "augmented"):
        if content[key].shape != (len(labels),) or content[key].dtype != np.float64:
            raise ValueError(f"its {key} is not one number a proposal")
