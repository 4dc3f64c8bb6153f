"""Fold networks judge nothing that they saw: training lists that change, other lists, trunks that moved before."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from seglab.checkpoint import save_weights
from seglab.config import compose
from seglab.data.folds import fold_of
from seglab.evaluate import evaluate
from seglab.fold_lists import training_ids
from seglab.folds import fold_run, folds
from seglab.proposals.network import judges_of
from seglab.proposals.place import Place
from seglab.rerank.coarse_outputs import finished_folds, has_shared_trunk, training_outputs
from seglab.run import Run
from seglab.train import train

CLASSES = ["background", "red", "blue"]
COUNT = 10
NETWORK = ["model=segnet_alexnet", "model.trunk=small", "model.normalise=per_image", "loss=ce_soft", "batch_size=4"]


def image_of(number: int) -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros((36, 40), np.uint8)
    mask[6:30, 4 + number : 28 + number] = 1 + number % 2
    colours = np.array([(90, 120, 90), (220, 40, 40), (40, 60, 220)])
    noise = np.random.default_rng(number).integers(-15, 16, (36, 40, 3))
    return (colours[mask] + noise).astype(np.uint8), mask


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten training images, two that no list names yet, two test images, and two label maps of each."""
    root = tmp_path_factory.mktemp("data")
    stems = [f"p{number}" for number in range(COUNT + 4)]
    for number, stem in enumerate(stems):
        image, mask = image_of(number)
        part = "test" if number >= COUNT + 2 else "train"
        (root / "maps" / part / stem).mkdir(parents=True)
        places = {"JPEGImages": image, "SegmentationClass": mask}
        for name, pixels in places.items():
            (root / name).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(root / name / f"{stem}.png")
        for rank, labels in enumerate((np.roll(mask, 9, 1), mask)):
            Image.fromarray(labels).save(root / "maps" / part / stem / f"{rank}.png")
    (root / "train.txt").write_text("\n".join(stems[:COUNT]) + "\n")
    (root / "test.txt").write_text("\n".join(stems[-2:]) + "\n")
    return root


@pytest.fixture
def longer(data: Path) -> Iterator[list[str]]:
    """Two images more in the training list; their names."""
    before = (data / "train.txt").read_text()
    (data / "train.txt").write_text(f"{before}p{COUNT}\np{COUNT + 1}\n")
    yield [f"p{number}" for number in range(COUNT + 2)]
    (data / "train.txt").write_text(before)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


def machine(outputs: Path) -> list[str]:
    return ["runtime.device=cpu", "runtime.threads=1", "runtime.progress=false", f"runtime.outputs={outputs}"]


def base(data: Path, outputs: Path) -> list[str]:
    places = {"images": "JPEGImages", "masks": "SegmentationClass", "train_list": "train.txt", "test_list": "test.txt"}
    where = [f"data.source.{key}={data / name}" for key, name in places.items()]
    return ["data=camvid_semantic", f"data.classes=[{','.join(CLASSES)}]", *where, "data.size=40", *machine(outputs)]


def train_folds(run: Run, outputs: Path, *more: str) -> None:
    folds(compose("folds", [f"run={run.path}", "folds=2", *machine(outputs), "runtime.audit=false", *more]))


def trained(data: Path, outputs: Path, *more: str) -> Run:
    quick = ["val=0", "eval.sets=[]", "eval.samples=0", "schedule.epochs=1", "tracker=none", "runtime.audit=false"]
    run = Run(train(compose("train", [*base(data, outputs), *NETWORK, *quick, *more])))
    train_folds(run, outputs)
    return run


@pytest.fixture(scope="module")
def run(data: Path, outputs: Path) -> Run:
    """A run whose trunk learns, with two fold networks."""
    return trained(data, outputs, "model.frozen=false", "optim.lr=0.01")


@pytest.fixture(scope="module")
def frozen(run: Run, data: Path, outputs: Path) -> Run:
    """One that goes on from it with its trunk frozen, with two fold networks."""
    return trained(data, outputs, "model.frozen=true", "init=run", f"init.run={run.path}")


def parts_of(run: Run) -> list[Run]:
    return [fold_run(run, number, of=2, outputs=run.path.parents[1]) for number in range(2)]


def reranked(run: Run, data: Path, outputs: Path, *more: str) -> Path:
    maps = ["eval=rerank", "eval.rerank.folds=2", f"proposals.folder={data}/maps", "eval.samples=0"]
    return evaluate(compose("evaluate", [f"run={run.path}", *base(data, outputs), *maps, *more]))


def test_every_run_keeps_its_list(run: Run, data: Path) -> None:
    ids = training_ids(run.config().data)
    left_out = [json.loads((part.path / "images.json").read_text())["left_out"] for part in parts_of(run)]
    assert left_out == [sorted(n for n, k in zip(ids, fold_of(ids, of=2), strict=True) if k == f) for f in (0, 1)]
    own = run.read_json("images.json")
    assert (own["of"], own["images"], own["left_out"]) == (0, COUNT, [])


def test_fold_networks_of_an_older_list_judge_nothing(run: Run, data: Path, outputs: Path, longer: list[str]) -> None:
    before, after = fold_of(longer[:COUNT], of=2), fold_of(longer, of=2)
    unseen = int((before != after[:COUNT]).sum()) + 2
    said = (
        rf"run={run.path.name}: 2 of 2 fold networks were trained on another list of training images than the 12 of "
        rf"today, and {unseen} images would .*python -m seglab\.folds run={run.path.name[-10:]} folds=2 "
        r"runtime\.rerun=true$"
    )
    with pytest.raises(ValueError, match=said):
        reranked(run, data, outputs, "eval.protocol.name=leak")
    assert not (run.path / "eval").exists()
    assert not (run.path / "rerank").exists()
    with pytest.raises(ValueError, match=said):
        train_folds(run, outputs)
    with pytest.raises(ValueError, match=said):
        finished_folds(run, of=2, ids=longer)
    asked = SimpleNamespace(ids=longer)
    with pytest.raises(ValueError, match=said):
        training_outputs(parts_of(run), None, run.path / "rerank", asked, grid=13, device=torch.device("cpu"))
    assert finished_folds(run, of=2, ids=longer[:COUNT])


def test_rerun_trains_them_on_the_list_of_today(
    run: Run, outputs: Path, longer: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(outputs, tmp_path / "copy")
    copied = Run(tmp_path / "copy" / "runs" / run.path.name)
    train_folds(copied, tmp_path / "copy", "runtime.rerun=true")
    assert finished_folds(copied, of=2, ids=longer)
    assert f"run={run.path.name}: it was trained on another list of images (10) than today's (12)" in caplog.text


def test_a_fold_network_without_a_list_does_not_count(run: Run) -> None:
    path = parts_of(run)[1].path / "images.json"
    ids, whole = training_ids(run.config().data), path.read_text()
    try:
        for found in (None, "{", "[]"):
            path.unlink() if found is None else path.write_text(found)
            with pytest.raises(ValueError, match=r"1 of 2 .* and 5 images .*\(1 networks keep no list, images\.json\)"):
                finished_folds(run, of=2, ids=ids)
    finally:
        path.write_text(whole)
    assert finished_folds(run, of=2, ids=ids)


def test_superpixels_are_judged_by_fold_networks_of_the_same_list_only(
    run: Run, data: Path, outputs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (data / "some.txt").write_text("\n".join(f"p{number}" for number in range(1, COUNT)) + "\n")
    asked = ["proposals.folds=2", f"proposals.network={run.path}", *base(data, outputs)]
    with caplog.at_level(logging.WARNING):
        same = Place.of(compose("proposals", asked)).judges
        assert same == (str(run.path), *(str(part.path) for part in parts_of(run)))
        assert "fold networks" not in caplog.text
        other = Place.of(compose("proposals", [*asked, f"data.source.train_list={data}/some.txt"])).judges
    assert other == (str(run.path),)
    assert "2 of 2 fold networks were trained on another list of training images than the 9 of today" in caplog.text


def test_without_folds_the_run_itself_judges(run: Run, outputs: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = judges_of(str(run.path), folds=0, classes=CLASSES, outputs=str(outputs), ids=list)
    assert found == [str(run.path)]
    assert "proposals.folds=0 asks for no fold networks" in caplog.text


def test_a_trunk_is_shared_where_its_weights_are_equal(tmp_path: Path) -> None:
    model = SimpleNamespace(frozen=True, features=lambda image: image)
    runs = [Run(tmp_path / name) for name in "abc"]
    for place, one in enumerate(runs):
        one.path.mkdir()
        trunk = torch.full((2,), float(place == 2))
        save_weights(one.path / "model.safetensors", {"trunk.conv": trunk, "new6": torch.full((1,), float(place))})
    assert has_shared_trunk(model, runs[:2])
    assert not has_shared_trunk(model, runs)
    assert not has_shared_trunk(SimpleNamespace(frozen=False, features=model.features), runs[:2])


def test_frozen_trunks_that_learned_before_are_no_features(frozen: Run, data: Path, outputs: Path) -> None:
    assert all("of2" in Path(part.config().init.run).name for part in parts_of(frozen))
    learned = ["eval.rerank.epsilon=0.01", "eval.rerank.C=1", "eval.rerank.rankers={kl: kl, svm: [classification]}"]
    reranked(frozen, data, outputs, "proposals.superpixels=40", *learned)
    kept = sorted(path.name.split("-")[0] for path in (frozen.path / "rerank").iterdir())
    assert kept == ["camvid_semantic", "fold", "fold"]


def test_a_moved_run_is_judged_by_the_folds_beside_it(frozen: Run, outputs: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(outputs, moved)
    hidden = outputs.rename(tmp_path / "hidden")
    try:
        found = finished_folds(Run(moved / "runs" / frozen.path.name), of=2)
    finally:
        hidden.rename(outputs)
    assert [part.path for part in found] == [moved / "runs" / part.path.name for part in parts_of(frozen)]
