"""Re-ranking from command to files: a coarse network, its fold networks, somebody's proposals, every ranker."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seglab.checkpoint import load_weights
from seglab.config import compose
from seglab.data.arrays import ArrayDataset
from seglab.data.build import load_part, training_data
from seglab.evaluate import evaluate, merged
from seglab.evaluator import Evaluator
from seglab.folds import folds
from seglab.rerank import coarse_outputs
from seglab.rerank.coarse_outputs import finished_folds
from seglab.run import Run
from seglab.train import train

CLASSES, SIZE = ("background", "red", "blue"), (72, 96)
RANKERS = ("kl", "svm", "svm_network", "svm_classification", "svm_proposal", "svm_classification_proposal")
RANKERS += ("svm_network_proposal",)
NAMES = ("naive", "superpixel", "first", "random", "oracle", *RANKERS)


def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A photo with a large rectangle in the colour of its class, and its mask; some show nothing."""
    rng = np.random.default_rng(number)
    mask = np.zeros(SIZE, np.uint8)
    if number % 5:
        top, left = rng.integers(4, 28, 2)
        mask[top : top + 36, left : left + 44] = 1 + number % 2
    colours = np.array([(90, 120, 90), (220, 40, 40), (40, 60, 220)])
    image = np.clip(colours[mask] + rng.integers(-15, 16, (*SIZE, 3)), 0, 255).astype(np.uint8)
    return image, mask


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set in the layout of VOC, and three label maps of every photo, the true one at any of their places."""
    root = tmp_path_factory.mktemp("data")
    for name in ("JPEGImages", "SegmentationClass", "maps"):
        (root / name).mkdir()
    for part, first, count in (("train", 0, 24), ("test", 100, 10)):
        stems = []
        for number in range(first, first + count):
            stem = f"p{number}"
            image, mask = draw(number)
            Image.fromarray(image).save(root / "JPEGImages" / f"{stem}.png")
            labels = mask if number != 105 else np.full_like(mask, 255)  # one without a labelled pixel
            Image.fromarray(labels).save(root / "SegmentationClass" / f"{stem}.png")
            maps = [np.roll(mask, 22, 1), np.where(mask, 3 - mask, 0)]
            maps.insert(number % 3, mask)
            (root / "maps" / part / stem).mkdir(parents=True)
            for rank, one in enumerate(maps):
                Image.fromarray(one.astype(np.uint8)).save(root / "maps" / part / stem / f"{rank}.png")
            stems.append(stem)
        (root / f"{part}.txt").write_text("\n".join(stems) + "\n")
    return root


@pytest.fixture(scope="module")
def base(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Data and machine."""
    return [
        *("data=camvid_semantic", f"data.classes=[{','.join(CLASSES)}]", f"data.source.images={data}/JPEGImages"),
        *(f"data.source.masks={data}/SegmentationClass", f"data.source.train_list={data}/train.txt"),
        *(f"data.source.test_list={data}/test.txt", "data.size=64", "runtime.device=cpu", "runtime.threads=1"),
        *("runtime.progress=false", f"runtime.outputs={tmp_path_factory.mktemp('outputs')}"),
    ]


@pytest.fixture(scope="module")
def training(base: list[str]) -> list[str]:
    """A training of a second or two; the loss is that of the pixels, the output 3 x 3 cells."""
    return [
        *base,
        *(
            "model=segnet_alexnet",
            "model.trunk=small",
            "model.frozen=false",
            "model.normalise=per_image",
            "loss=ce_soft",
        ),
        *("optim.lr=0.003", "batch_size=8", "val=0", "schedule.epochs=6", "tracker=none", "runtime.audit=false"),
    ]


@pytest.fixture(scope="module")
def run(training: list[str]) -> Run:
    """A finished run of eval=semantic that kept snapshots."""
    return Run(train(compose("train", [*training, "schedule=snapshots", "schedule.count=3"])))


@pytest.fixture(scope="module")
def again(run: Run, base: list[str], data: Path) -> list[str]:
    """What is typed to re-rank it."""
    return [f"run={run.path}", *base, f"proposals.folder={data}/maps", "eval.samples=3"]


@pytest.fixture(scope="module")
def scored(run: Run, base: list[str], again: list[str]) -> dict:
    """The numbers of the run, with two fold networks."""
    outputs = [o for o in base if o.startswith("runtime.outputs")]
    folds(compose("folds", [f"run={run.path}", "folds=2", "runtime.device=cpu", "runtime.threads=1", *outputs]))
    evaluate(compose("evaluate", [*again, "eval=rerank", "eval.rerank.folds=2"]))
    return run.read_json("eval/camvid_semantic-rerank_miou-original.json")


def test_missing_folds_are_told_before_anything_is_made(run: Run, again: list[str]) -> None:
    with pytest.raises(
        ValueError, match=rf"python -m seglab\.folds run={run.path.name[-10:]} folds=3.*rerank\.folds=0"
    ):
        evaluate(compose("evaluate", [*again, "eval=rerank", "eval.rerank.folds=3"]))
    assert not (run.path / "eval/camvid_semantic-rerank_miou-original.json").exists()


def test_every_ranker_is_measured_and_the_report_says_by_what(scored: dict, run: Run) -> None:
    values = scored["metrics"]
    assert list(values)[: len(NAMES)] == [f"miou_{name}" for name in NAMES]
    assert {f"{name}_accuracy" for name in NAMES} < set(values)
    assert {f"iou_{name}_{one}" for name in NAMES for one in CLASSES} < set(values)
    assert values["miou_oracle"] == values["oracle_accuracy"] == 100
    for name in RANKERS:
        assert values[f"{name}_accuracy"] <= 100
    assert values["miou_random"] < values["miou_oracle"]
    assert len(scored["folds"]) == 2
    assert scored["rerank"]["folds"] == 2
    assert scored["proposals"]["folder"].endswith("maps")
    assert scored["found"]["images"] == 9
    assert scored["found"]["epsilon"] > 0
    assert set(scored["found"]["C"]) == set(RANKERS) - {"kl"}
    assert (run.path / "samples/rerank-camvid_semantic.png").is_file()


def test_rows_name_the_chosen_proposals_and_the_oracle_rises(scored: dict, run: Run) -> None:
    stem = run.path / "eval/camvid_semantic-rerank_miou-original"
    with open(f"{stem}.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    blank = next(row for row in rows if row["id"] == "p105")
    assert blank["chosen_oracle"] == ""
    rows.remove(blank)
    true_ones = [n % 3 if n % 5 else 0 for n in (int(row["id"][1:]) for row in rows)]  # p100 is background everywhere
    assert [int(float(row["chosen_oracle"])) for row in rows] == true_ones
    for name in RANKERS:
        mean = np.mean([float(row[f"accuracy_{name}"]) for row in rows])
        assert mean == pytest.approx(scored["metrics"][f"{name}_accuracy"])
    with open(f"{stem}-curves.csv", encoding="utf-8") as file:
        curve = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert [row["m"] for row in curve] == [1, 2, 3]
    assert (np.diff([row["accuracy_oracle"] for row in curve]) >= 0).all()
    assert curve[-1]["miou_oracle"] == 100
    assert curve[0]["miou_oracle"] == pytest.approx(scored["metrics"]["miou_first"])


def test_what_was_found_is_found_again_and_other_settings_need_a_name(scored: dict, run: Run, again: list[str]) -> None:
    kept = {path: path.stat().st_mtime_ns for path in (run.path / "rerank").iterdir()}
    assert sorted(path.name.split("-")[0] for path in kept) == ["camvid_semantic", "fold", "fold"]
    with pytest.raises(ValueError, match=r"measured with other settings \(rerank\).*eval\.protocol\.name"):
        evaluate(compose("evaluate", [*again, "eval=rerank", "eval.rerank.folds=2", "eval.rerank.count=2"]))
    two = [*again, "eval=rerank", "eval.rerank.folds=2", "eval.rerank.count=2", "eval.protocol.name=two"]
    evaluate(compose("evaluate", two))
    assert {path: path.stat().st_mtime_ns for path in (run.path / "rerank").iterdir()} == kept
    found = run.read_json("eval/camvid_semantic-two-original.json")
    assert found["metrics"]["miou_naive"] == scored["metrics"]["miou_naive"]
    assert found["metrics"]["miou_oracle"] < 100
    evaluate(compose("evaluate", [*again, "eval=rerank", "eval.rerank.folds=2"]))
    assert json.dumps(run.read_json("eval/camvid_semantic-rerank_miou-original.json")) == json.dumps(scored)


def test_without_folds_rankers_that_learn_are_left_out_and_the_distance_is_that_of_a_loop(
    run: Run, again: list[str], data: Path, tmp_path: Path
) -> None:
    changes = ["eval=rerank", "eval.rerank.folds=0", "eval.rerank.grid=2", "eval.protocol.name=zero", "eval.samples=0"]
    for stem in (data / "test.txt").read_text().split():  # background decides between what is there, all of it and none
        mask = np.array(Image.open(data / "SegmentationClass" / f"{stem}.png")) % 255
        (tmp_path / stem).mkdir()
        for rank, one in enumerate((np.zeros_like(mask), np.full_like(mask, 1 + int(mask.max() == 1)), mask)):
            Image.fromarray(one).save(tmp_path / stem / f"{rank}.png")
    before = set((run.path / "rerank").glob("*"))
    changes += [f"proposals.folder={tmp_path}", "eval.rerank.background=10"]
    evaluate(compose("evaluate", [*again, *changes]))
    values = run.read_json("eval/camvid_semantic-zero-original.json")["metrics"]
    assert [name for name in values if name.startswith("miou_")] == [f"miou_{name}" for name in (*NAMES[:5], "kl")]
    (kept,) = set((run.path / "rerank").glob("*")) - before
    with np.load(kept) as file:
        probs_NKGG = file["values"]
    assert probs_NKGG.shape == (10, 3, 2, 2)
    assert values["miou_kl"] == pytest.approx(by_distance(data, tmp_path, probs_NKGG, background=10))
    assert abs(values["miou_kl"] - by_distance(data, tmp_path, probs_NKGG, background=0)) > 1


def by_distance(data: Path, folder: Path, probs_NKGG: np.ndarray, *, background: float, epsilon: float = 1e-3) -> float:
    """Eq. 17 and the pooled mean IoU once more, by loops over the cells of a grid of 2 x 2."""
    table = np.zeros((3, 3))
    for p, stem in zip(probs_NKGG.astype(float), (data / "test.txt").read_text().split(), strict=True):
        mask = np.array(Image.open(data / "SegmentationClass" / f"{stem}.png"))
        maps = [np.array(Image.open(folder / stem / f"{m}.png")) for m in range(3)]
        far = [0.0, 0.0, 0.0]
        for m, i, j in np.ndindex(3, 2, 2):
            cell = maps[m][36 * i : 36 * i + 36, 48 * j : 48 * j + 48]
            q = np.array([(cell == k).mean() for k in range(3)])
            x, y = (p[:, i, j] + epsilon) / (1 + 3 * epsilon), (q + epsilon) / (1 + 3 * epsilon)
            far[m] += ((x - y) * np.log(x / y)).sum() + background * q[0]
        if (mask != 255).any():
            np.add.at(table, (mask, maps[int(np.argmin(far))]), 1)
    both = np.diag(table)
    return 100 * float(np.mean(both / (table.sum(0) + table.sum(1) - both)))


def test_every_training_image_is_judged_by_the_fold_network_that_did_not_see_it(
    scored: dict, run: Run, again: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(scored["folds"]) == 2
    cfg = merged(run.config(), compose("evaluate", [*again, "eval=rerank", "eval.rerank.folds=2"]))
    whole = load_part(cfg.data, cfg.runtime, "train")
    asked = []

    def says(evaluator: Evaluator, dataset: ArrayDataset, **_: object) -> np.ndarray:
        asked.append((evaluator.model.state_dict(), list(dataset.ids)))
        return np.full((len(dataset), 1, 1, 1), len(asked), np.float32)

    monkeypatch.setattr(coarse_outputs, "probabilities", says)
    runs = finished_folds(run, of=2)
    weights = [load_weights(one.path / "model.safetensors") for one in runs]
    saw = [set(training_data(one.config()).train.ids) for one in runs]
    device = torch.device("cpu")
    found = coarse_outputs.training_outputs(runs, cfg, run.path / "watched", whole, grid=13, device=device)
    assert sorted(id for _, ids in asked for id in ids) == sorted(whole.ids)
    for number, (state, ids) in enumerate(asked, start=1):
        (judge,) = (n for n in (0, 1) if all(torch.equal(state[key], one) for key, one in weights[n].items()))
        assert set(ids) == set(whole.ids) - saw[judge]
        assert [one for one, value in zip(whole.ids, found[:, 0, 0, 0], strict=True) if value == number] == ids


def test_a_curve_over_the_snapshots(run: Run, again: list[str]) -> None:
    evaluate(compose("evaluate", [*again, "eval=rerank_curve"]))
    stem = run.path / "eval/camvid_semantic-rerank_curve-original"
    with open(f"{stem}-curves.csv", encoding="utf-8") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert [int(row["step"]) for row in rows] == sorted(int(p.stem) for p in (run.path / "snapshots").iterdir())
    assert list(rows[0]) == ["step", "miou_kl", "miou_naive"]
    values = run.read_json(f"eval/{stem.name}.json")["metrics"]
    assert values == {name: pytest.approx(rows[-1][name]) for name in ("miou_kl", "miou_naive")}


def test_a_training_that_could_not_be_re_ranked_is_refused(training: list[str], data: Path) -> None:
    for changes, said in (
        (["eval=rerank"], r"fold networks of .* are not trained: train it with eval=semantic"),
        (["eval=rerank_curve"], "eval=rerank_curve needs 3 snapshots or more"),
        (["eval=rerank", "eval.rerank.folds=0", "eval.resolution=network"], r"eval\.resolution=network"),
        (["eval=rerank", "eval.rerank.folds=0", "loss=triplet"], "this loss gives embeddings"),
    ):
        with pytest.raises(ValueError, match=said):
            train(compose("train", [*training, *changes, "seed=5", f"proposals.folder={data}/maps"]))


def test_training_ends_with_the_numbers_of_re_ranking(training: list[str], data: Path) -> None:
    changes = ["eval=rerank", "eval.rerank.folds=0", "val=0.25", "seed=3", f"proposals.folder={data}/maps"]
    run = Run(train(compose("train", [*training, *changes])))
    assert run.read_json("eval/camvid_semantic-rerank_miou-original.json")["metrics"]["miou_oracle"] == 100
    log = [json.loads(line) for line in (run.path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert 0 <= log[-1]["val_miou"] <= 100
