"""Fit the classifiers of superpixels on samples of all training images, choose the settings, keep both as plain files.

One runnable line: ``python -c "from seglab.proposals.fitting import load_fit; print(load_fit('folder').diversity)"``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.atomic import replacing, write_atomic
from seglab.cli import Stopped
from seglab.data.folds import fold_of
from seglab.data.rng import key_of, permutation
from seglab.proposals.choose import Judged, choose
from seglab.proposals.content import content_of, keep_stamp, stamp_of
from seglab.proposals.network import Judges
from seglab.proposals.place import Place
from seglab.proposals.recipe import Recipe
from seglab.proposals.solve import look
from seglab.proposals.unary import Classifier, Samples, fit, label_counts, sample
from seglab.signals import StopRequest
from seglab.words import some

if TYPE_CHECKING:
    from seglab.data.sample import Item

log = logging.getLogger(__name__)

FIELDS = ("features_ND", "labels_N", "weights_N")
MADE_OF = "made_of"


@dataclass(frozen=True, eq=False)
class Fit:
    """What proposals of any image are made with.

    Attributes:
        whole: classifier of all training images.
        folds: classifiers that did not see a fold, one a fold; none where training images are judged by ``whole``.
        smoothness: price of a boundary.
        diversity: price of a superpixel labelled as before.
    """

    whole: Classifier
    folds: tuple[Classifier, ...]
    smoothness: float
    diversity: float

    def judge(self, fold: int | None) -> Classifier:
        """The classifier that judges an image of a fold; None = of no fold."""
        return self.whole if fold is None or not self.folds else self.folds[fold]


def folds_of(recipe: Recipe, ids: Sequence[str], *, tell: bool = True) -> np.ndarray | None:
    """The fold of every training image; None where all are judged by the classifier that saw them.

    Args:
        recipe: ``proposals.folds``.
        ids: names of the training images.
        tell: say it where there are fewer images than folds.
    """
    of = min(recipe.folds, len(ids))
    if tell and of == 1:
        log.warning(
            "proposals.folds=%d of a single training image: it is judged by a classifier that saw it, so its proposals "
            "are better than those of any other image; expected: more training images", recipe.folds,
        )  # fmt: skip
    elif tell and of < recipe.folds:
        log.info("proposals.folds=%d of %d training images: %d folds are made", recipe.folds, len(ids), of)
    return fold_of(ids, of=of) if of >= 2 else None


def sample_image(place: Place, item: Item, judges: Judges, *, fold: int | None) -> Samples:
    """Superpixels of a training image to learn from.

    Raises:
        ValueError: the image cannot be read, is too small, or its mask has other classes.
    """
    seen, counts_SK = _seen(place, item, judges, fold)
    rng = np.random.default_rng(np.random.SeedSequence([place.recipe.seed, key_of("sample", item.id)]))
    return sample(seen.features_SD, counts_SK, seen.graph.area_S, most=place.recipe.samples, rng=rng)


def _seen(place: Place, item: Item, judges: Judges, fold: int | None) -> tuple[Any, np.ndarray]:
    image_HW3, mask_HW = item.read()
    try:
        seen = look(image_HW3, place.recipe, probabilities_KHW=judges.probabilities(image_HW3, fold=fold))
    except ValueError as error:
        raise ValueError(f"image '{item.id}': {error}") from error
    count = len(seen.graph.area_S)
    return seen, label_counts(mask_HW, seen.graph.labels_HW, count=count, classes=len(place.classes))


def samples_of(place: Place, item: Item, judges: Judges, *, fold: int | None) -> tuple[Samples, bool]:
    """Superpixels of a training image to learn from, and whether their file had to be written.

    Args:
        place: recipe and folder.
        item: the image.
        judges: networks that have a say.
        fold: of the image; None where there are no folds.

    Raises:
        ValueError: as :func:`sample_image`.
    """
    path = place.folder / "samples" / f"{item.id}.npz"
    asked = b"" if fold is None or not place.judges else str(fold).encode()  # which of the networks was asked
    made_of = np.frombuffer(hashlib.sha256(item.fingerprint() + asked).digest(), np.uint8)
    if (there := _load_sample(path, made_of)) is not None:
        return there, False
    samples = sample_image(place, item, judges, fold=fold)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **{MADE_OF: made_of}, **{name: getattr(samples, name) for name in FIELDS})
    return samples, True


def _load_sample(path: Path, made_of: np.ndarray) -> Samples | None:
    """The samples of one image; None where the file is missing, damaged, or was made of other files."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if np.array_equal(file[MADE_OF], made_of):
                return Samples(*(file[name] for name in FIELDS))
        log.warning("'%s' was made of another image or mask, or of another fold; it is made anew", path)
    except FileNotFoundError:
        pass
    except Exception as error:  # zip, zlib and NumPy have a dozen types for damage
        log.warning("'%s' cannot be read (%s); it is made anew", path, error)
    return None


def fit_all(place: Place, items: Sequence[Item], judges: Judges) -> None:
    """Fit all classifiers, choose smoothness and diversity, write ``fit.npz`` and then ``fit.json``.

    Args:
        place: recipe and folder.
        items: the training images.
        judges: networks that have a say.

    Raises:
        ValueError: nothing to learn from, or an image cannot be read.
        seglab.cli.Stopped: a signal asked for it; the samples are kept.
    """
    began = time.monotonic()
    stamp = stamp_of(items)
    content = content_of(items)
    folds = folds_of(place.recipe, [item.id for item in items])
    with StopRequest() as stop:

        def check() -> None:
            if stop.asked:
                raise Stopped("stopped while classifiers were fitted; start the same command to go on")

        parts = []
        for number, item in enumerate(items):
            check()
            fold = None if folds is None else int(folds[number])
            parts.append(samples_of(place, item, judges, fold=fold)[0])
        _check_folds(place.recipe, items, parts, folds)
        whole = _fit(place, parts)
        _tell_classes(place, whole)
        others = []
        for number in range(0 if folds is None else int(folds.max()) + 1):
            check()
            others.append(_fit(place, [part for part, fold in zip(parts, folds, strict=True) if fold != number]))
        chosen = _choose(place, items, judges, folds, Fit(whole, tuple(others), 0, 0), check)
    states = {"whole": whole, **{f"fold{number}": one for number, one in enumerate(others)}}
    path = place.folder / "fit.npz"
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{f"{name}.{key}": value for name, one in states.items() for key, value in one.state().items()})
    seconds = round(time.monotonic() - began, 1)
    write_fit(place, chosen, path, images=len(items), folds=len(others), content=content, seconds=seconds)
    keep_stamp(place.folder, content, stamp)


def _check_folds(recipe: Recipe, items: Sequence[Item], parts: Sequence[Samples], folds: np.ndarray | None) -> None:
    """See that something is left to learn from without any one fold.

    Raises:
        ValueError: all images with enough labelled pixels are in one fold.
    """
    labelled = [number for number, part in enumerate(parts) if len(part.labels_N)]
    if folds is None or not labelled or len(set(folds[labelled].tolist())) > 1:
        return
    only = some([items[number].id for number in labelled])
    raise ValueError(
        f"proposals.folds={recipe.folds}: of {len(items)} training images only {only} with enough labelled pixels, in "
        f"fold {folds[labelled[0]]}, so the classifier without that fold has nothing to learn from: expected "
        "proposals.folds=0 (training images are judged by a classifier that saw them), another number of folds, or "
        "more labelled images"
    )


def _fit(place: Place, parts: Sequence[Samples]) -> Classifier:
    recipe, joined = place.recipe, Samples.joined(parts)
    return fit(joined, classes=len(place.classes), waves=recipe.waves, strength=recipe.strength, seed=recipe.seed)


def _tell_classes(place: Place, whole: Classifier) -> None:
    absent = [name for number, name in enumerate(place.classes) if number not in set(whole.seen_L.tolist())]
    if len(whole.seen_L) == 1:
        log.warning(
            "data=%s: the training images show %s only, so proposals differ by their diversity alone",
            place.cfg.data.name, place.classes[int(whole.seen_L[0])],
        )  # fmt: skip
    elif absent:
        log.warning(
            "data=%s: no superpixel of a training image shows %s: expected nowhere, with a small constant probability",
            place.cfg.data.name, ", ".join(absent),
        )  # fmt: skip


def _choose(place: Place, items: Sequence[Item], judges: Judges, folds: Any, fitted: Fit, check: Any) -> dict[str, Any]:
    """Smoothness and diversity, on training images that are drawn by the recipe's seed."""
    if place.recipe.smoothness is not None and place.recipe.diversity is not None:
        return choose([], place.recipe)
    rows = sorted(permutation(len(items), place.recipe.seed, "tuning")[: place.recipe.tuning].tolist())
    judged = []
    for row in rows:
        check()
        fold = None if folds is None else int(folds[row])
        seen, counts_SK = _seen(place, items[row], judges, fold)
        judged.append(Judged(seen.graph, fitted.judge(fold).probabilities(seen.features_SD), counts_SK))
    return choose(judged, place.recipe)


def write_fit(place: Place, chosen: dict[str, Any], path: Path, *, images: int, folds: int, **more: Any) -> None:
    """Write ``fit.json``, which says that the fit is whole.

    Args:
        place: recipe and folder.
        chosen: smoothness and diversity.
        path: ``fit.npz``.
        images: training images.
        folds: classifiers of folds.
        **more: what else is told.
    """
    told = {
        "data": str(place.cfg.data.name),
        "classes": list(place.classes),
        "networks": [Path(judge).name for judge in place.judges],
        "images": images,
        "folds": folds,
        **{("tuning_images" if key == "images" else key): value for key, value in chosen.items()},
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        **more,
    }
    write_atomic(place.folder / "fit.json", json.dumps(told, indent=2) + "\n")


def read_note(folder: Path | str) -> dict[str, Any] | None:
    """``fit.json``; None where the fit is missing or does not fit to ``fit.npz``."""
    folder = Path(folder)
    try:
        note = json.loads((folder / "fit.json").read_text(encoding="utf-8"))
        if note["sha256"] == hashlib.sha256((folder / "fit.npz").read_bytes()).hexdigest():
            return note
        log.warning("'%s': fit.npz is not the file that fit.json is of; it is made anew when it is needed", folder)
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError) as error:
        log.warning("'%s/fit.json' cannot be read (%s); it is made anew when it is needed", folder, error)
    return None


def load_fit(folder: Path | str) -> Fit:
    """The classifiers and settings of a folder of proposals.

    Raises:
        ValueError: they are missing or damaged.
    """
    note = read_note(folder)
    if note is None:
        raise ValueError(f"proposals '{folder}': no whole fit.npz and fit.json: start seglab.proposals again")
    with np.load(Path(folder) / "fit.npz", allow_pickle=False) as file:
        states: dict[str, dict[str, np.ndarray]] = {}
        for key in file.files:
            name, _, leaf = key.partition(".")
            states.setdefault(name, {})[leaf] = file[key]
    folds = tuple(Classifier.load(states[f"fold{number}"]) for number in range(note["folds"]))
    return Fit(Classifier.load(states["whole"]), folds, float(note["smoothness"]), float(note["diversity"]))
