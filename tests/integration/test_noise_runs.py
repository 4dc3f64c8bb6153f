"""Training under every type of noise: the run folder, a second call, two processes, a loss without masks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import REPO
from PIL import Image

from seglab.config import compose
from seglab.preview import differences, preview

SEEN = """
import hashlib, sys
from seglab.config import compose
from seglab import distributed
from seglab.data.build import training_data
import torch
with distributed.process_group(torch.device("cpu")):
    data = training_data(compose("train", sys.argv[1:]))
    masks = hashlib.sha256(data.train.__getitems__(range(len(data.train)))["mask"].numpy().tobytes()).hexdigest()
    print(f"rank {distributed.rank()} {masks} {data.train.fingerprint()}\\n", end="", flush=True)
"""


def test_a_run_writes_what_was_done_and_stays_the_same(command, tiny) -> None:
    made = command("train", *tiny, "noise=boundary", "noise.rate=0.5", "noise.kind=erode", "loss=ce")
    assert made.returncode == 0, made.stderr
    folder = Path(made.stdout.splitlines()[-1])
    noise = json.loads((folder / "noise.json").read_text())
    assert (noise["type"], noise["kind"], noise["images"], noise["changed"]) == ("boundary", "erode", 18, 9)
    assert noise["transition"][0] == [1, 0]
    assert noise["transition"][1][0] > 0
    again = command("train", *tiny, "noise=boundary", "noise.rate=0.5", "noise.kind=erode", "loss=ce")
    assert "done already" in again.stderr


def test_cas_trains_on_masks_that_lost_all_objects(tiny, command) -> None:
    made = command("train", *tiny, "noise=drop", "noise.rate=0.4", "schedule.epochs=1")
    assert made.returncode == 0, made.stderr
    assert "-drop0.4-s0-" in made.stdout.splitlines()[-1]


def test_two_processes_see_the_same_masks(tiny, tmp_path) -> None:
    script = tmp_path / "seen.py"
    script.write_text(SEEN)
    options = [*tiny, "noise=ambiguous", "noise.rate=0.2"]
    environment = {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    outputs = []
    for start in (launcher, [sys.executable]):
        done = subprocess.run(
            [*start, str(script), *options],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        outputs += [line.split() for line in done.stdout.splitlines() if line.startswith("rank")]
    assert sorted(line[1] for line in outputs) == ["0", "0", "1"]
    assert len({tuple(line[2:]) for line in outputs}) == 1
    assert len(list((tmp_path / "outputs" / "cache").glob("noise-*.npy"))) == 1


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
