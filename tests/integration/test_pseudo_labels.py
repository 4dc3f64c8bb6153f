"""Label maps that a trained network of one class makes: right, made once, and refused where they would be wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seglab.config import compose
from seglab.data.cache import resize as to_network
from seglab.data.files import read_labels
from seglab.data.palette import class_palette
from seglab.data.photos import Photo
from seglab.data.pseudo_labels import PseudoLabels
from seglab.data.standin import write_standins
from seglab.identity import identity
from seglab.run import Run
from seglab.targets import instantiate

SMALL = ["data.size=32", "runtime.device=cpu", "runtime.threads=1", "runtime.progress=false"]
PHOTOS = ["data.source.train=5", "data.source.size=48"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Photographs, and a finished run on the category rose in ``outputs``."""
    from seglab.train import train

    root = tmp_path_factory.mktemp("pseudo")
    write_standins(["fabrics"], root / "data", size=(96, 80))
    chosen = ["data=fabrics_single", "data.category=rose", *PHOTOS, *SMALL, *where(root)]
    fitted = ["loss=ce", "eval/post=object", "optim.lr=0.01", "schedule.epochs=12", "batch_size=5", "val=0"]
    train(compose("train", [*chosen, *fitted, "data.test_sets=[]", "tracker=none"]))
    return root


@pytest.fixture
def fresh(place: Path, tmp_path: Path) -> Path:
    """A copy, to be changed."""
    return Path(shutil.copytree(place, tmp_path / "copy"))


def where(root: Path) -> list[str]:
    return [f"runtime.data_root={root}/data", f"runtime.outputs={root}/outputs"]


def run_name(root: Path) -> str:
    return next((root / "outputs" / "runs").iterdir()).name


def config(root: Path, *changes: str, run: str | None = None):
    photos = f"data.source.overrides=[{','.join(repr(one) for one in PHOTOS)}]"
    one = ["data.classes=[background,rose]", f"data.source.runs={{rose:{run or run_name(root)}}}"]
    typed = {change.split("=")[0] for change in changes}
    chosen = ["data=pseudo_labels", photos, *[key for key in one if key.split("=")[0] not in typed]]
    return compose("train", [*chosen, *SMALL, *where(root), *changes])


def items(root: Path, *changes: str, run: str | None = None, part: str = "train"):
    return instantiate(config(root, *changes, run=run).data.source).items(part)


def test_labels_are_where_the_network_says_object(fresh: Path) -> None:
    from seglab.evaluator import resize
    from seglab.predicting.maps import RunMaps

    cfg = compose("predict", [f"run={run_name(fresh)}", "runtime.device=cpu", f"runtime.outputs={fresh}/outputs"])
    maps = RunMaps(Run.find(cfg.run, cfg.runtime.outputs), cfg)
    found = items(fresh)
    assert [item.id for item in found] == [f"rose_rose_train_{i:04d}" for i in range(5)]
    for item in found:
        image, labels = item.read()
        assert labels.shape == image.shape[:2] == (48, 48)
        small, _ = to_network(image, labels, 32)
        expected = resize(maps(torch.from_numpy(small[None])), (48, 48))[0].numpy() > 0.5
        np.testing.assert_array_equal(labels, expected)
        assert Image.open(item.labels).mode == "P"
    # The network was fitted to these five pictures, so its labels are near the masks, which nobody read.
    hits = [float(((item.read()[1] == 1) == (item.photo.read()[1] == 1)).mean()) for item in found]
    assert np.mean(hits) > 0.8


def test_the_second_class_has_the_second_number(fresh: Path) -> None:
    name = run_name(fresh)
    runs = f"data.source.runs={{denim:{name},rose:{name}}}"
    found = items(fresh, "data.classes=[background,denim,rose]", runs)
    assert [item.id[:5] for item in found] == ["denim"] * 5 + ["rose_"] * 5
    assert {int(v) for item in found[5:] for v in np.unique(item.read()[1])} == {0, 2}
    assert {int(v) for item in found[:5] for v in np.unique(item.read()[1])} <= {0, 1}


def test_labels_are_made_once_and_a_missing_one_is_made_again(fresh: Path) -> None:
    first = items(fresh)
    stamps = {item.labels: item.labels.stat().st_mtime_ns for item in first}
    before = read_labels(first[2].labels)
    first[2].labels.unlink()
    first[3].labels.write_bytes(b"")  # as a power cut leaves it
    second = items(fresh)
    assert [item.labels for item in second] == [item.labels for item in first]
    same = [item.labels.stat().st_mtime_ns == stamps[item.labels] for item in second]
    assert same == [True, True, False, False, True]
    np.testing.assert_array_equal(read_labels(second[2].labels), before)


def test_other_photos_or_weights_have_a_folder_of_their_own(fresh: Path) -> None:
    from safetensors.torch import load_file, save_file

    (first,) = {item.labels.parent for item in items(fresh)}
    more = f"data.source.overrides=[{','.join(repr(one) for one in [*PHOTOS, 'data.source.seed=1'])}]"
    (second,) = {item.labels.parent for item in items(fresh, more)}
    weights = fresh / "outputs" / "runs" / run_name(fresh) / "model.safetensors"
    save_file({key: value + 1 for key, value in load_file(weights).items()}, weights)
    (third,) = {item.labels.parent for item in items(fresh)}
    assert len({first, second, third}) == 3
    noted = json.loads((first / "labels.json").read_text())
    assert (noted["run"], noted["set"], noted["label"]) == (run_name(fresh), "fabrics_single/rose", 1)


def class_folders(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Photos of the category rose as somebody's own class folder, with masks, and what names them."""
    monkeypatch.chdir(root)
    chosen = ["run=none", "data=fabrics_single/rose", *PHOTOS, f"runtime.data_root={root}/data"]
    for item in instantiate(compose("evaluate", chosen).data.source).items("train"):
        for kind, array in zip(("photos", "masks"), item.read(), strict=True):
            (root / kind / "rose").mkdir(parents=True, exist_ok=True)
            Image.fromarray(array * (255 if kind == "masks" else 1)).save(root / kind / "rose" / f"{item.id}.png")
    return ["data.classes=[background,rose]", "data.source.photos=class_folders"]


def test_masks_of_the_photos_are_not_read(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = class_folders(fresh, monkeypatch)
    chosen.append("data.source.overrides=['data.images=photos','data.masks=masks']")
    first = items(fresh, *chosen)
    pixels, prints = [item.read()[1] for item in first], [item.fingerprint() for item in first]
    for mask in (fresh / "masks/rose").iterdir():
        mask.write_bytes(b"no image")
    second = items(fresh, *chosen)
    assert [item.labels for item in second] == [item.labels for item in first]
    assert [item.fingerprint() for item in second] == prints
    shutil.rmtree(fresh / "outputs/labels")
    for item, before in zip(items(fresh, *chosen), pixels, strict=True):
        np.testing.assert_array_equal(item.read()[1], before)


def test_the_command_line_of_the_documents(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [*class_folders(fresh, monkeypatch), "data.source.overrides=['data.images=photos']", "data.test_sets=[]"]
    runs = f"data.source.runs.rose={run_name(fresh)[-10:]}"
    cfg = compose("train", ["data=pseudo_labels", "loss=ce", *chosen, runs, *SMALL, *where(fresh)])
    assert identity(cfg) == identity(config(fresh, "loss=ce", *chosen))
    assert len(instantiate(cfg.data.source).items("train")) == 5


def test_a_damaged_label_map_says_what_to_do(fresh: Path) -> None:
    item = items(fresh)[0]
    item.labels.write_bytes(item.labels.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"label map '.*' is damaged: delete it, the same command makes it anew"):
        item.read()
    item.labels.unlink()
    items(fresh)[0].read()


def test_label_maps_have_the_colours_of_the_classes(fresh: Path) -> None:
    palette = Image.open(items(fresh)[0].labels).getpalette()
    assert palette == class_palette().ravel().tolist()


def test_what_is_told_is_of_the_maps_that_were_made(fresh: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    made = items(fresh)
    assert "of the area of fabrics_single/rose" in caplog.text
    caplog.clear()
    made[0].labels.unlink()
    items(fresh)
    assert "of the area of 1 of 5 photos of fabrics_single/rose" in caplog.text


def test_two_photos_of_one_name_are_refused(fresh: Path) -> None:
    one = items(fresh)
    source = instantiate(config(fresh, "data.classes=[background,b,b_c]", runs_of(fresh, "b", "b_c")).data.source)
    photos = {"b": [Photo("c_1", one[0].labels)], "b_c": [Photo("1", one[1].labels)]}
    source._photos_of = photos.__getitem__
    with pytest.raises(ValueError, match=r"1 name \(b_c_1\) twice, after category and photo"):
        source.items("train")


def runs_of(root: Path, *categories: str) -> str:
    return "data.source.runs={" + ",".join(f"{one}:{run_name(root)}" for one in categories) + "}"


def test_without_a_test_set_there_is_nothing_to_evaluate(fresh: Path) -> None:
    """The training of ``place`` has none."""
    from seglab.evaluate import complete, evaluate

    for given in ([], ["eval.sets=[]"]):
        arguments = complete([f"run={run_name(fresh)}", *where(fresh)])
        with pytest.raises(ValueError, match=r"there is no test set to score on.*expected data\.test_sets=\[self\]"):
            evaluate(compose("evaluate", [*arguments, "runtime.device=cpu", *given]))


def test_the_identity_holds_the_run_and_no_path(place: Path) -> None:
    one, other = config(place), config(place, "runtime.device=auto", "runtime.workers=2")
    assert identity(one) == identity(other)
    assert identity(one) != identity(config(place, run="another"))


def test_a_training_starts_from_them(fresh: Path) -> None:
    from seglab.data.build import training_data

    data = training_data(config(fresh, "val=0")).train
    assert len(data) == 5
    assert set(np.unique(data.masks)) == {0, 1}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (["data.classes=[background,denim,rose]"], r"runs: 1 name \(denim\) without a run"),
        (["data.classes=[background,leaf]"], "runs.rose: no such category; known here: leaf"),
        (["data.source.runs={rose:/tmp/run}"], "runs.rose=/tmp/run: expected the name or the id"),
        (["data.source.runs={rose:.}"], "runs.rose=.: expected the name or the id"),
        (["data.source.runs={rose:..}"], "runs.rose=..: expected the name or the id"),
        (["data.source.runs={rose:12e4567890}"], "an id of digits in quotes"),
        (["data.source.runs={rose:nothing}"], "runs.rose=nothing: run=nothing: no such run"),
        (["data.source.folder=x", "data.source.images=y"], "expected either data.source.runs"),
        (["data.source.categories=[rose,leaf]"], "categories=.*expected 1, one for each class"),
        (["data.source.photos=shapes"], "data.category"),
    ],
)
def test_what_does_not_fit_is_refused(place: Path, changes: list[str], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        items(place, *changes)


def test_there_is_no_test_part(place: Path) -> None:
    with pytest.raises(ValueError, match="has a training part only; score on other sets"):
        items(place, part="test")


def test_an_unfinished_run_and_one_of_another_task_are_refused(fresh: Path) -> None:
    run = fresh / "outputs" / "runs" / run_name(fresh)
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("  task: saliency\n", "  task: regions\n"))
    with pytest.raises(ValueError, match=r"runs.rose=.*its task is regions: expected a network of one object"):
        items(fresh)
    (run / "config.yaml").write_text(text)
    (run / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"runs.rose=.*it is not finished: model.safetensors"):
        items(fresh)


def test_photos_that_are_not_there_are_told(fresh: Path) -> None:
    shutil.rmtree(fresh / "data" / "Textures")
    with pytest.raises(ValueError, match="data=fabrics_single/rose: folder of cloths"):
        items(fresh)


def plain(folder: Path, labels: dict[str, np.ndarray], photos: tuple[str, ...] = ("a", "b")) -> PseudoLabels:
    for name, arrays in (("photos", {stem: np.zeros((4, 6, 3), np.uint8) for stem in photos}), ("labels", labels)):
        (folder / name).mkdir()
        for stem, array in arrays.items():
            Image.fromarray(array).save(folder / name / f"{stem}.png")
    return PseudoLabels(["none", "x"], images=str(folder / "photos"), folder=str(folder / "labels"))


def test_label_maps_of_anybody(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 255, 0, 1, 1]] * 4, np.uint8)
    found = plain(tmp_path, {"a": labels, "b": 1 - labels // 255}).items("train")
    assert [item.id for item in found] == ["a", "b"]
    np.testing.assert_array_equal(found[0].read()[1], labels)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"a": np.zeros((4, 6), np.uint8)}, r"1 name \(b\): photo without a label map"),
        ({key: np.zeros((4, 6), np.uint8) for key in "abc"}, r"1 name \(c\): label map without a photo"),
        ({key: np.zeros((6, 4), np.uint8) for key in "ab"}, "is 6x4 .*, labels .* are 4x6"),
        ({key: np.full((4, 6), 2, np.uint8) for key in "ab"}, r"has the labels \[2\]: expected 0 to 1"),
    ],
)
def test_label_maps_that_do_not_fit_are_refused(tmp_path: Path, labels: dict, expected: str) -> None:
    source = plain(tmp_path, labels)
    with pytest.raises(ValueError, match=expected):
        source.items("train")[0].read()
