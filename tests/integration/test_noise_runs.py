"""Training under every type of noise: the run folder, a second call, two processes, a loss without masks."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch
from PIL import Image
from two_ranks import in_two_processes

from seglab import distributed
from seglab.config import compose
from seglab.data.build import training_data
from seglab.preview import differences, preview
from seglab.train import train


def test_a_run_writes_what_was_done_and_stays_the_same(tiny, caplog) -> None:
    caplog.set_level("INFO")
    cfg = compose("train", [*tiny, "noise=boundary", "noise.rate=0.5", "noise.kind=erode", "loss=ce"])
    folder = train(cfg)
    noise = json.loads((folder / "noise.json").read_text())
    assert (noise["type"], noise["kind"], noise["images"], noise["changed"]) == ("boundary", "erode", 18, 9)
    assert noise["transition"][0] == [1, 0]
    assert noise["transition"][1][0] > 0
    assert "changing the masks of 9 images" in caplog.text
    assert train(cfg) == folder
    assert "done already" in caplog.text


def test_cas_trains_on_masks_that_lost_all_objects(tiny) -> None:
    folder = train(compose("train", [*tiny, "noise=drop", "noise.rate=0.4", "schedule.epochs=1"]))
    assert "-drop0.4-s0-" in folder.name


def seen(settings: list[str]) -> str:
    """Digests of the training masks that each process has."""
    with distributed.process_group(torch.device("cpu")):
        train_set = training_data(compose("train", settings)).train
        masks = train_set.__getitems__(range(len(train_set)))["mask"].numpy().tobytes()
        found = distributed.gather(hashlib.sha256(masks).hexdigest() + " " + train_set.fingerprint())
    return "\n".join(found)


def test_two_processes_see_the_same_masks(tiny, tmp_path) -> None:
    options = [*tiny, "noise=ambiguous", "noise.rate=0.2"]
    double = in_two_processes(seen, options, folder=tmp_path / "logs")
    assert double.codes == [0, 0], double.logs
    assert double.result.splitlines() == [seen(options)] * 2
    assert len(list((tmp_path / "outputs" / "cache").glob("noise-*.npy"))) == 1
    assert "changing the masks" not in double.logs[1]


@pytest.mark.parametrize("kind", ["flip", "boundary", "region", "drop", "ambiguous"])
def test_a_loss_without_masks_refuses_noise(kind, command, tiny) -> None:
    if kind != "drop":
        from seglab.stages import check_stages
        from seglab.targets import instantiate

        cfg = compose("train", [*tiny, "loss=regularized", f"noise={kind}", "noise.rate=0.5"])
        with pytest.raises(ValueError, match=r"noise\.rate=0\.5: loss=regularized reads no masks.*noise\.rate=0$"):
            check_stages(cfg, schedule=instantiate(cfg.schedule), loss=instantiate(cfg.loss))
        return
    refused = command("train", *tiny, "loss=regularized", f"noise={kind}", "noise.rate=0.5", "data=shapes_single")
    assert refused.returncode == 1
    assert "reads no masks, so that changing them does nothing: expected noise.rate=0" in refused.stderr


def test_preview_shows_where_masks_differ(tiny, tmp_path, monkeypatch) -> None:
    seen = {}
    monkeypatch.setattr("seglab.data.grid.save_grid", lambda columns, *a, **k: seen.update(columns, **k))
    preview(compose("preview", [*tiny, "noise=drop", "noise.rate=1", "count=5"]))
    assert list(seen)[:4] == ["image", "true mask", "training mask", "differs in"]
    assert seen["note"] == "changed"
    assert any(seen["marked"])
    for true, noisy, shown, marked in zip(
        seen["true mask"], seen["training mask"], seen["differs in"], seen["marked"], strict=True
    ):
        assert marked == (true != noisy).any()
        np.testing.assert_array_equal(shown, differences(true, noisy))
        red = (shown == (214, 39, 40)).all(-1) | (shown == (120, 20, 20)).all(-1)
        np.testing.assert_array_equal(red, true != noisy)


def test_preview_of_real_photos(data_root, tmp_path) -> None:
    options = ["data=people", "data.size=64", "noise=boundary", "noise.rate=0.5", "count=3"]
    folders = [f"runtime.data_root={data_root}", f"runtime.outputs={tmp_path}"]
    with Image.open(preview(compose("preview", [*options, *folders]))) as page:
        assert page.width > 4 * 64
