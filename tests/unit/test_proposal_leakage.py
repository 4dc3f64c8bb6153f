"""No training image is judged by what saw it: classifiers of folds, stored energies, tuning images, fold networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seglab.config import compose
from seglab.data.folds import fold_of
from seglab.data.standin import write_standins
from seglab.proposals import fitting, make
from seglab.proposals.fitting import Fit, load_fit, samples_of
from seglab.proposals.network import Judges
from seglab.proposals.place import Place
from seglab.proposals.solve import energy_of, look
from seglab.proposals.store import fingerprint
from seglab.proposals.unary import fit
from seglab.proposals.works import works_for

FOLDS = 3
SMALL = ["superpixels=24", "waves=20", "tuning=4", f"folds={FOLDS}", "count=2", "samples=5", "diversity=0.2"]


class Asked:
    """Stands for a network and its fold networks: notes which fold it is asked for, says nothing."""

    def __init__(self) -> None:
        self.calls: list[tuple[bytes, int | None]] = []

    def probabilities(self, image_HW3: np.ndarray, *, fold: int | None) -> None:
        self.calls.append((fingerprint(image_HW3), fold))


class Made:
    """Proposals of a few pictures, made in two shares a stage, and what was asked on the way."""

    def __init__(self, folder: Path) -> None:
        write_standins(["camvid_semantic"], folder / "data", train=8, test=8, size=(96, 72))
        settings = [f"proposals.{setting}" for setting in [*SMALL, "smoothness=null"]]
        where = [f"runtime.data_root={folder / 'data'}", f"runtime.outputs={folder / 'outputs'}"]
        cfg = compose("proposals", ["data=camvid_semantic", *settings, *where])
        self.asked, self.tuned = Asked(), []
        choose = fitting.choose
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(make, "judges_at", lambda place: self.asked)
            patch.setattr(fitting, "choose", lambda images, recipe: self.tuned.extend(images) or choose(images, recipe))
            works = works_for(cfg, slots=2)
            for work in works:
                make.make_part(work.configs[0])
        assert sum("-proposals-" in work.key for work in works) == 4
        self.place = Place.of(cfg)
        self.items = {part: self.place.items(part) for part in ("train", "test")}
        self.fold = fold_of([item.id for item in self.items["train"]], of=FOLDS)
        self.fit: Fit = load_fit(self.place.folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    return Made(tmp_path_factory.mktemp("leakage"))


def same(one, other) -> bool:
    return all(np.array_equal(one.state()[key], other.state()[key]) for key in one.state())


def test_the_classifier_of_a_fold_learns_from_the_other_folds_only(made: Made) -> None:
    place, recipe = made.place, made.place.recipe
    parts = [samples_of(place, item, Judges([], {}), fold=None)[0] for item in made.items["train"]]
    assert len(made.fit.folds) == FOLDS
    for number in range(FOLDS):
        others = [part for part, fold in zip(parts, made.fold, strict=True) if fold != number]
        assert len(others) < len(parts)
        joined = type(parts[0]).joined(others)
        again = fit(joined, classes=11, waves=recipe.waves, strength=recipe.strength, seed=recipe.seed)
        assert same(made.fit.folds[number], again)
        assert not same(made.fit.folds[number], made.fit.whole)


def test_stored_energies_are_those_under_the_classifier_that_did_not_see_the_image(made: Made) -> None:
    store = made.place.store()
    for part, items in made.items.items():
        for number, item in enumerate(items):
            image, mask = item.read()
            seen = look(image, made.place.recipe)
            found = store.read(item.id, part=part, size=mask.shape, classes=11, image=image)
            where = np.unique(seen.graph.labels_HW, return_index=True)[1]
            labels_MS = found.labels_MHW.reshape(len(found), -1)[:, where].astype(np.int64)
            fits = []
            for judge in (made.fit.whole, *made.fit.folds):
                unary = judge.probabilities(seen.features_SD)
                energy = energy_of(seen.graph, unary, made.place.recipe, smoothness=made.fit.smoothness)
                fits.append(np.allclose([energy.of(one) for one in labels_MS], found.energy_M, rtol=1e-9, atol=0))
            right = 0 if part == "test" else 1 + made.fold[number]
            assert fits == [judge == right for judge in range(1 + FOLDS)], (part, item.id)


def test_tuning_images_are_judged_by_the_classifier_that_did_not_see_them(made: Made) -> None:
    seen = [look(item.read()[0], made.place.recipe) for item in made.items["train"]]
    assert len(made.tuned) == 4
    for judged in made.tuned:
        row = next(n for n, one in enumerate(seen) if np.array_equal(one.graph.labels_HW, judged.graph.labels_HW))
        right = made.fit.folds[made.fold[row]].probabilities(seen[row].features_SD)
        assert np.array_equal(judged.probabilities_SK, right)


def test_a_training_image_is_asked_of_its_own_fold_network_and_a_test_image_of_the_whole(made: Made) -> None:
    asked: dict[bytes, set[int | None]] = {}
    for image, fold in made.asked.calls:
        asked.setdefault(image, set()).add(fold)
    expected = {fingerprint(item.read()[0]): {None} for item in made.items["test"]}
    for item, fold in zip(made.items["train"], made.fold.tolist(), strict=True):
        expected[fingerprint(item.read()[0])] = {fold}
    assert asked == expected
    assert len(made.asked.calls) == 8 + 4 + 8 + 8  # samples, tuning, proposals of both parts
