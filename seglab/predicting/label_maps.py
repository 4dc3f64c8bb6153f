"""Label maps that the network of one class makes of photos of its class, each file whole or not there at all.

They lie in ``<runtime.outputs>/labels/<run>-<set>-<ten digits>/<id>.png``; the digits hash the run's weights and
read-out, the label, and all photos (their masks are not read), so that a folder never holds maps of anything else: with
another network or other photos there is another folder. ``labels.json`` there says what made them. Maps that are there
are not made again.

One runnable line: see :mod:`seglab.data.pseudo_labels`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig, open_dict
from PIL import Image
from tqdm import tqdm

from seglab import distributed
from seglab.atomic import os_message, write_atomic
from seglab.data.palette import class_palette
from seglab.data.photos import content_of, image_of
from seglab.data.sample import Item
from seglab.run import Run

if TYPE_CHECKING:
    from seglab.predicting.maps import Maps

log = logging.getLogger(__name__)

VERSION = 1
"""Raised when label maps change their meaning, so that older ones are not taken."""

CUT = 0.5
"""A map above it is the object: the larger of two softmax channels."""


@dataclass(frozen=True)
class ClassRun:
    """A finished run whose network knows the object of one category.

    Attributes:
        run: its folder.
        category: the category.
        label: number of the class.
        cfg: finalised config of ``conf/predict.yaml`` for this run.
    """

    run: Run
    category: str
    label: int
    cfg: DictConfig

    @classmethod
    def find(cls, wanted: str, *, category: str, label: int, runtime: Mapping[str, Any]) -> ClassRun:
        """Find a run and see that it can label.

        Args:
            wanted: its name or id.
            category: whose objects it knows.
            label: number of the class.
            runtime: keys of ``runtime`` of this command; ``outputs`` says where runs are.

        Raises:
            ValueError: no such run, not finished, or of another task.
        """
        from seglab.config import compose
        from seglab.predicting.maps import own_config

        key = f"data.source.runs.{category}"
        cfg = compose("predict", ["run=none"])
        with open_dict(cfg):
            cfg.runtime.update(runtime)
        try:
            run = Run.find(wanted, cfg.runtime.outputs)
            cfg.run = run.path.resolve().name
            task = own_config(run, cfg).eval.task
        except ValueError as error:
            raise ValueError(f"{key}={wanted}: {error}") from error
        if task != "saliency":
            raise ValueError(f"{key}={wanted}: its task is {task}: expected a network of one object (task saliency)")
        return cls(run, category, label, cfg)

    def made_by(self) -> dict[str, Any]:
        """What label maps of this run depend on besides the photos, plain types."""
        from seglab.predicting.maps import digest, own_config

        own = own_config(self.run, self.cfg)
        return {
            "version": VERSION,
            "run": self.cfg.run,
            "weights": digest(self.run.path / "model.safetensors"),
            "read_out": self.run.read_json("post.json"),
            "precision": own.runtime.precision,
            "size": int(own.data.size),
            "category": self.category,
            "label": self.label,
        }


def label_photos(items: Sequence[Item], labeller: ClassRun, *, set_name: str, batch_size: int) -> list[Path]:
    """Label maps of photos; those that are missing are made by the main process while the others wait.

    Args:
        items: the photos; their masks are not looked at.
        labeller: the run.
        set_name: name of the data set they are of.
        batch_size: photos that go through the network at a time.

    Returns:
        The file of every photo, at the photo's own size: 0 background, the class's number where the object is.

    Raises:
        ValueError: a photo cannot be read, the maps are not finite, or a file cannot be written; names it.
    """
    made_by = {**labeller.made_by(), "set": set_name, "photos": len(items), "content": _content(items)}
    key = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:10]
    name = f"{labeller.cfg.run}-{set_name.replace('/', '-')}-{key}"
    folder = Path(labeller.cfg.runtime.outputs) / "labels" / name
    places = [folder / f"{item.id}.png" for item in items]
    left = distributed.broadcast([i for i, place in enumerate(places) if not _is_there(place)])
    if not left:
        return places
    from seglab.predicting.maps import RunMaps

    maps = RunMaps(labeller.run, labeller.cfg)  # in every process: they wait for each other in there
    if distributed.is_main():
        log.info("%s: %d of %d photos of %s are labelled", labeller.cfg.run, len(left), len(items), set_name)
        try:
            write_atomic(folder / "labels.json", json.dumps(made_by, indent=2) + "\n")
            shares = _label([items[i] for i in left], [places[i] for i in left], maps, labeller, batch_size=batch_size)
        except OSError as error:
            raise ValueError(
                f"label maps in '{folder}': {os_message(error)}; what is there is whole: the same command goes on"
            ) from error
        _tell(shares, labeller, set_name, total=len(items))
    distributed.barrier()
    return places


def _label(
    items: Sequence[Item], places: Sequence[Path], maps: Maps, labeller: ClassRun, *, batch_size: int
) -> list[float]:
    """Write the label maps; returns the share of each that is object."""
    import torch

    from seglab.data.cache import resize as to_network
    from seglab.evaluator import resize
    from seglab.predicting.write import cut

    runtime, shares = labeller.cfg.runtime, []
    with (
        ThreadPoolExecutor(max(1, runtime.workers)) as pool,
        tqdm(total=len(items), desc="label", unit="img", disable=None if runtime.progress else True) as bar,
    ):
        for start in range(0, len(items), batch_size):
            images = list(pool.map(image_of, items[start : start + batch_size]))
            small = [to_network(image, np.zeros(image.shape[:2], np.uint8), maps.size)[0] for image in images]
            for image, map_SS, place in zip(
                images, maps(torch.from_numpy(np.stack(small))), places[start:], strict=False
            ):
                whole = resize(map_SS[None], image.shape[:2])[0].numpy()
                if not np.isfinite(whole).all():
                    raise ValueError(f"run={labeller.cfg.run}: a map holds values that are not finite")
                found = cut(whole, CUT)
                shares.append(float(found.mean()))
                save_labels(found.astype(np.uint8) * np.uint8(labeller.label), place)
                bar.update()
    return shares


def _tell(shares: Sequence[float], labeller: ClassRun, set_name: str, *, total: int) -> None:
    """One line on the label maps that were made now; those of an earlier, stopped command are not looked at again."""
    of = set_name if len(shares) == total else f"{len(shares)} of {total} photos of {set_name}"
    empty = sum(share == 0 for share in shares)
    full = sum(share > 0.95 for share in shares)
    mean = 100 * float(np.mean(shares))
    said = f"{labeller.cfg.run}: {labeller.category} is {mean:.1f} % of the area of {of}"
    if 2 * (empty + full) > len(shares):
        said += f", nothing in {empty} of {len(shares)} photos and nearly everything in {full}"
        log.warning("%s: the network did not learn the class", said)
    else:
        log.info("%s, nothing in %d of %d photos", said, empty, len(shares))


def save_labels(labels_HW: np.ndarray, path: Path) -> None:
    """Write a label map as a palette PNG in the colours of PASCAL VOC, by way of a temporary file.

    Raises:
        OSError: it cannot be written.
    """
    image = Image.fromarray(labels_HW.astype(np.uint8), mode="P")
    image.putpalette(class_palette().tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        image.save(temporary, format="PNG")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _content(items: Sequence[Item]) -> str:
    digest = hashlib.sha256()
    for item in items:
        digest.update(f"{item.id}\n".encode() + content_of(item))
    return digest.hexdigest()[:16]


def _is_there(place: Path) -> bool:
    try:
        return place.stat().st_size > 0  # empty: the power went before the content reached the disk
    except OSError:
        return False
