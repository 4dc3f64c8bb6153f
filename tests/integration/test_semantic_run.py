"""Training, scoring and predicting classes on pictures composed of real photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seglab.config import compose
from seglab.data.build import test_data as data_to_test
from seglab.data.files import read_labels
from seglab.evaluate import trained_evaluator
from seglab.metrics.pooled import confusion_matrix, pooled_metrics
from seglab.predict import predict
from seglab.preview import preview
from seglab.run import Run
from seglab.train import train

SMALL = ["data=fabrics", "data.size=48", "data.source.train=4", "data.source.test=5", "data.source.size=96"]
SMALL += ["batch_size=4", "val=0.25", "schedule.epochs=2", "tracker=none", "runtime.device=cpu", "runtime.threads=1"]
SMALL += ["runtime.audit=false", "optim.lr=0.01"]


@pytest.fixture(scope="module")
def settings(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A training of a few seconds."""
    return [*SMALL, f"runtime.data_root={data_root}", f"runtime.outputs={tmp_path_factory.mktemp('outputs')}"]


@pytest.fixture(scope="module")
def run(settings: list[str]) -> Run:
    """The trained run."""
    return Run(train(compose("train", [*settings, "loss=ce"])))


def test_numbers_are_those_of_label_maps_at_original_size(run: Run) -> None:
    cfg = run.config()
    content = run.read_json("eval/fabrics-voc_miou-original.json")
    assert list(content["metrics"])[:3] == ["miou", "accuracy", "iou_background"]
    assert content["protocol"]["classes"] == len(cfg.data.classes) == 7
    evaluator, dataset = trained_evaluator(run, cfg, torch.device("cpu")), data_to_test(cfg, "fabrics")
    matrix = np.zeros((7, 7), np.int64)
    with torch.inference_mode():
        for i in range(len(dataset)):
            logits = evaluator.model(dataset[i]["image"][None])
            _, mask = dataset.original(i)
            whole = torch.nn.functional.interpolate(logits, mask.shape, mode="bilinear", align_corners=False)
            matrix += confusion_matrix(whole[0].argmax(0).numpy(), mask, classes=7)
    assert content["metrics"]["miou"] == pytest.approx(pooled_metrics(matrix, beta2=0.3)["miou"], abs=0.05)
    assert len((run.path / "eval/fabrics-voc_miou-original.csv").read_text(encoding="utf-8").splitlines()) == 6
    assert (run.path / "samples/epoch-0002.png").is_file()


def test_photos_get_label_maps_in_the_palette_of_voc(run: Run, data_root: Path, tmp_path: Path) -> None:
    photos = data_root / "BSDS500/data/images/val"
    out = tmp_path / "out"
    command = [f"run={run.path}", f"input=[{photos}/3096.jpg,{photos}/8023.jpg]", f"output={out}", "runtime.device=cpu"]
    predict(compose("predict", command))
    label = Image.open(out / "labels/3096.png")
    assert (label.mode, label.size) == ("P", Image.open(photos / "3096.jpg").size)
    assert label.getpalette()[:6] == [0, 0, 0, 128, 0, 0]
    assert int(read_labels(out / "labels/8023.png").max()) < 7
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == ["labels", "overlays"]
    evaluator = trained_evaluator(run, run.config(), torch.device("cpu"))
    image = np.asarray(Image.open(photos / "3096.jpg").resize((48, 48), Image.Resampling.BILINEAR))
    with torch.inference_mode():
        logits = evaluator.model(torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None])
    expected = evaluator.post.at_size(logits[0], label.size[::-1]).numpy()
    assert (expected == np.asarray(label)).mean() > 0.999
    predict(compose("predict", [*command[:2], f"output={tmp_path / 'flipped'}", "flip=true", "runtime.device=cpu"]))
    for wrong, said in (("threshold=0.4", "which have no threshold"), ("export=onnx", "classes cannot")):
        with pytest.raises(ValueError, match=said):
            predict(compose("predict", [*command, wrong]))


def test_a_loss_on_embeddings_is_read_out_by_a_prototype_of_every_class(settings: list[str]) -> None:
    run = Run(train(compose("train", [*settings, "loss=triplet"])))
    assert len(run.read_json("post.json")["prototypes"]) == 7
    assert 0 <= run.read_json("eval/fabrics-voc_miou-original.json")["metrics"]["miou"] <= 100
    again = trained_evaluator(run, run.config(), torch.device("cpu"))
    assert not again.post.needs_fit


def test_preview_shows_classes_in_colours(settings: list[str]) -> None:
    path = preview(compose("preview", [*settings, "loss=ce", "count=4"]))
    colours = {tuple(c) for c in np.asarray(Image.open(path)).reshape(-1, 3).tolist()}
    assert (128, 0, 0) in colours
