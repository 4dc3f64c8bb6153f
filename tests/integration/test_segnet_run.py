"""A coarse network from training to label maps: every read-out, at both resolutions, and photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seglab.config import compose
from seglab.data.files import read_labels
from seglab.evaluate import evaluate
from seglab.predict import predict
from seglab.run import Run
from seglab.train import train

pytest.importorskip("seglab.losses.ce_soft")
pytest.importorskip("seglab.proposals.superpixels")

MODEL = ["model=segnet_alexnet", "model.trunk=small", "model.frozen=false"]
LIGHT = ["batch_size=4", "val=0.25", "schedule.epochs=2", "tracker=none", "runtime.device=cpu", "runtime.threads=1"]
LIGHT += ["runtime.audit=false", "optim.lr=0.001", "loss=ce_soft", *MODEL]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A training of a few seconds on twelve frames of blocks of colour in the folders of CamVid-mini."""
    base = tmp_path_factory.mktemp("segnet")
    folder = base / "data" / "CamVid-mini"
    draw = np.random.default_rng(0)
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    stems = [f"frame_{i:02d}" for i in range(12)]
    for stem in stems:
        labels = draw.integers(0, 3, (2, 3)).repeat(48, 0).repeat(40, 1).astype(np.uint8)
        image = np.stack([80 * labels, 255 - 80 * labels, 40 + 0 * labels], 2) + draw.integers(0, 16, (96, 120, 3))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "JPEGImages" / f"{stem}.jpg")
        Image.fromarray(labels).save(folder / "SegmentationClass" / f"{stem}.png")
    for part, names in (("train", stems[:8]), ("val", stems[8:])):
        (folder / "ImageSets/Segmentation" / f"{part}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return [
        "data=camvid_semantic",
        "data.size=72",
        f"runtime.data_root={base / 'data'}",
        *LIGHT,
        f"runtime.outputs={base}",
    ]


@pytest.fixture(scope="module")
def run(settings: list[str]) -> Run:
    """Trained and scored by superpixels."""
    wanted = ["eval/post=superpixel", "eval.post.superpixels=30", "eval.protocol.name=superpixel"]
    return Run(train(compose("train", [*settings, *wanted])))


def test_training_scores_and_draws_by_superpixels(run: Run) -> None:
    content = run.read_json("eval/camvid_semantic-superpixel-original.json")
    assert content["post"] == {"upsampling": "superpixel", "superpixels": 30, "compactness": 10.0}
    assert 0 <= content["metrics"]["accuracy"] <= 100
    assert "val_miou" in (run.path / "log.jsonl").read_text(encoding="utf-8")
    assert Image.open(run.path / "samples/epoch-0002.png").size[1] > 100


@pytest.mark.parametrize("resolution", ["original", "network"])
@pytest.mark.parametrize("post", ["naive", "classes", "superpixel"])
def test_other_read_outs(run: Run, settings: list[str], post: str, resolution: str) -> None:
    name = f"{post}_again"
    wanted = [f"eval/post={post}", f"eval.protocol.name={name}", f"eval.resolution={resolution}"]
    data = [key for key in settings if key.startswith(("data", "runtime"))]
    evaluate(compose("evaluate", [f"run={run.path}", *data, *wanted]))
    stem = name if resolution == "network" else f"{name}-original"
    assert np.isfinite(run.read_json(f"eval/camvid_semantic-{stem}.json")["metrics"]["miou"])


def test_photos_get_label_maps_by_superpixels(run: Run, settings: list[str], tmp_path: Path) -> None:
    photo = next(Path(s.split("=")[1]) for s in settings if "data_root" in s) / "CamVid-mini/JPEGImages/frame_09.jpg"
    predict(
        compose("predict", [f"run={run.path}", f"input={photo}", f"output={tmp_path / 'out'}", "runtime.device=cpu"])
    )
    from seglab.evaluate import trained_evaluator

    evaluator = trained_evaluator(run, run.config(), torch.device("cpu"))
    whole = Image.open(photo)
    small = np.asarray(whole.resize((72, 72), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    with torch.inference_mode():
        logits = evaluator.model(torch.from_numpy(np.ascontiguousarray(small))[None])
    assert logits.shape == (1, 11, 4, 4)
    wanted = evaluator.post.at_size(logits[0], (96, 120), np.asarray(whole)).numpy()
    assert (read_labels(tmp_path / "out/labels/frame_09.png") == wanted).mean() > 0.999


def test_going_on_from_a_run(run: Run, settings: list[str]) -> None:
    longer = Run(train(compose("train", [*settings, "init=run", f"init.run={run.path}", "schedule.epochs=1"])))
    assert longer.path != run.path


def test_a_saliency_map_of_a_coarse_network_has_the_size_of_its_mask(tiny: list[str]) -> None:
    kept = [key for key in tiny if not key.startswith(("data.size", "schedule"))]
    run = Run(train(compose("train", [*kept, "data.size=40", "schedule.epochs=1", "loss=ce_soft", *MODEL])))
    assert (run.path / "samples/epoch-0001.png").is_file()


def test_a_loss_on_pixels_says_what_to_take(settings: list[str]) -> None:
    with pytest.raises(ValueError, match=r"grid of 4 x 4 cells.*expected loss=ce_soft"):
        train(compose("train", [*settings, "loss=ce"]))
