"""Regions end to end: several annotators, descriptors, clusters, the benchmark; other read-outs; photos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from seglab.config import compose
from seglab.data.arrays import ArrayDataset
from seglab.data.standin import write_standins
from seglab.evaluate import complete, evaluate
from seglab.predict import predict
from seglab.run import Run
from seglab.train import train


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Generated data sets in the layouts of the real ones."""
    folder = tmp_path_factory.mktemp("regions")
    write_standins(["bsds500", "camvid", "texture", "duts"], folder / "data", train=8, test=3)
    return folder


def run_of(root: Path, *overrides: str) -> tuple[Path, dict]:
    settings = "data.size=32 batch_size=4 val=0.25 schedule.epochs=1 eval.every=1 tracker=none"
    settings += " runtime.device=cpu runtime.threads=1"
    places = [f"runtime.outputs={root / 'outputs'}", f"runtime.data_root={root / 'data'}"]
    cfg = compose("train", [*settings.split(), *places, *overrides])
    folder = train(cfg)
    return folder, json.loads(next((folder / "eval").glob("*.json")).read_text())


@pytest.fixture(scope="module")
def bsds(root: Path) -> Path:
    return run_of(root, "data=bsds500", "loss=cas")[0]


def test_a_run_on_bsds_is_scored_by_the_benchmark(bsds: Path) -> None:
    found = json.loads((bsds / "eval" / "bsds500-bsds-original.json").read_text())
    assert found["images"] == 3
    assert found["metrics"]["covering_ods"] == found["metrics"]["covering_ois"]  # one scale
    assert 0 < found["metrics"]["covering_ods"] < 1
    assert found["read_out"]["clusters"] == 20
    table = pd.read_csv(bsds / "eval" / "bsds500-bsds-original.csv")
    assert list(table.columns) == ["id", "covering", "pri", "voi", "precision", "recall", "f"]
    assert table.pri.mean() == pytest.approx(found["metrics"]["pri_ods"])
    row = json.loads((bsds / "log.jsonl").read_text().splitlines()[-1])
    assert {"val_covering_ods", "val_voi_ods"} <= row.keys()
    assert len(list((bsds / "samples").glob("*.png"))) == 1


@pytest.mark.parametrize("loss", ["discriminative", "magnet", "triplet"])
def test_a_loss_on_embeddings_is_read_out_by_clusters_of_the_embedding(root: Path, loss: str) -> None:
    folder, found = run_of(root, "data=camvid", f"loss={loss}", "eval.samples=0")
    assert Run(folder).config().model.channels == 8
    assert found["read_out"]["softmax"] is False
    assert found["read_out"]["unit_norm"] is (loss == "triplet")
    assert 0 < found["metrics"]["covering_ods"] <= 1


def test_an_annotator_is_drawn_anew_every_epoch(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = ArrayDataset.for_epoch

    def spy(self: ArrayDataset, epoch: int, *, seed: int) -> ArrayDataset:
        view = original(self, epoch, seed=seed)
        seen.append([view.mask(i).tobytes() for i in range(len(view))])
        return view

    monkeypatch.setattr(ArrayDataset, "for_epoch", spy)
    run_of(root, "data=bsds500", "loss=cas", "schedule.epochs=3", "seed=3", "eval.every=9", "eval.post.absorb=none")
    assert len(seen) == 3
    assert seen[0] != seen[1] or seen[1] != seen[2]
    seen.clear()
    fixed = ["data=bsds500", "data.source.annotator=1", "schedule.epochs=2", "eval.every=9", "eval.post.absorb=none"]
    run_of(root, *fixed)
    assert seen[0] == seen[1]


def test_several_numbers_of_clusters_give_scales(bsds: Path, root: Path) -> None:
    places = [f"runtime.outputs={root / 'outputs'}", f"runtime.data_root={root / 'data'}"]
    asked = [f"run={bsds}", "eval.clusters=[2,6,20]", "eval.protocol.name=scales", *places]
    cfg = compose("evaluate", complete(asked))
    evaluate(cfg)
    metrics = json.loads((bsds / "eval" / "bsds500-scales-original.json").read_text())["metrics"]
    assert metrics["covering_ois"] >= metrics["covering_ods"]
    assert metrics["voi_ois"] <= metrics["voi_ods"]
    plain = json.loads((bsds / "eval" / "bsds500-bsds-original.json").read_text())["metrics"]
    assert metrics["covering_ods"] >= plain["covering_ods"]


def test_a_saliency_network_is_read_out_as_regions_where_that_is_typed(root: Path) -> None:
    folder, _ = run_of(root, "data=duts", "loss=cas")
    places = [f"runtime.outputs={root / 'outputs'}", f"runtime.data_root={root / 'data'}"]
    with pytest.raises(ValueError, match="its task is regions, that of the run is saliency"):
        evaluate(compose("evaluate", complete([f"run={folder}", "data=texture", *places])))
    asked = [f"run={folder}", "data=texture", "eval=texture", "eval/post=argmax", *places]
    evaluate(compose("evaluate", complete(asked)))
    found = json.loads((folder / "eval" / "texture-bsds-original.json").read_text())
    assert "argmax" in found["read_out"]["_target_"].lower()
    # The read-out of the training is untouched, and that of another task is fitted on the held-out images.
    assert json.loads((folder / "post.json").read_text())["channel"] in (0, 1)


def test_a_run_trained_with_a_region_read_out_can_get_a_saliency_read_out(root: Path) -> None:
    same = ["data=duts", "loss=cas", "seed=5", "eval.samples=0"]
    folder, _ = run_of(root, *same, "eval=texture", "eval/post=argmax", "eval.sets=[texture]")
    again, _ = run_of(root, *same)
    assert again == folder
    assert {p.stem for p in (folder / "eval").glob("*.json")} == {"texture-bsds-original", "duts-cas"}
    assert json.loads((folder / "eval" / "duts-cas.json").read_text())["post"]["channel"] in (0, 1)


def test_a_read_out_of_the_other_kind_is_told_before_the_data_are_read(root: Path) -> None:
    with pytest.raises(ValueError, match=r"gives regions, and eval\.task=saliency is scored on maps"):
        run_of(root, "data=duts", "eval/post=kmeans", "seed=8")
    with pytest.raises(ValueError, match=r"gives maps, and eval\.task=regions .* expected kmeans, meanshift or argmax"):
        run_of(root, "data=camvid", "eval/post=channel", "seed=8")
    with pytest.raises(ValueError, match="eval/protocol=cas: not one of regions: expected bsds"):
        run_of(root, "data=camvid", "eval/protocol=cas", "seed=8")


def test_other_settings_never_get_the_numbers_of_a_finished_run(root: Path, bsds: Path) -> None:
    same = ["data=bsds500", "loss=cas"]
    with pytest.raises(ValueError, match=r"measured with other settings \(read_out\); give this measurement a name"):
        run_of(root, *same, "eval.clusters=[3,4]")
    folder, _ = run_of(root, *same, "eval.clusters=[3,4]", "eval.protocol.name=few")
    assert folder == bsds
    assert (bsds / "eval" / "bsds500-few-original.json").is_file()
    before = (bsds / "eval" / "bsds500-bsds-original.csv").read_bytes()
    places = [f"runtime.outputs={root / 'outputs'}", f"runtime.data_root={root / 'data'}"]
    with pytest.raises(ValueError, match="measured with other settings"):
        evaluate(compose("evaluate", complete([f"run={bsds}", "eval/post=argmax", *places])))
    assert (bsds / "eval" / "bsds500-bsds-original.csv").read_bytes() == before


def test_regions_of_photos(bsds: Path, root: Path, tmp_path: Path) -> None:
    photos = sorted((root / "data" / "BSDS500").rglob("test/*.jpg"))[:2]
    listed = "[" + ",".join(map(str, photos)) + "]"
    asked = [f"run={bsds}", f"input={listed}", f"output={tmp_path / 'out'}", f"runtime.outputs={root / 'outputs'}"]
    folder = predict(compose("predict", asked))
    for photo in photos:
        size = Image.open(photo).size
        labels = Image.open(folder / "labels" / f"{photo.stem}.png")
        assert (labels.size, labels.mode) == (size, "L")
        values = np.unique(np.asarray(labels))
        assert values.tolist() == list(range(len(values)))
        assert Image.open(folder / "overlays" / f"{photo.stem}.jpg").size == size
    assert sorted(p.name for p in folder.iterdir() if p.is_dir()) == ["labels", "overlays"]
    for wrong, words in (("flip=true", "no mean"), ("threshold=0.5", "no threshold"), ("export=onnx", "exported")):
        with pytest.raises(ValueError, match=words):
            predict(compose("predict", [*asked, wrong]))
