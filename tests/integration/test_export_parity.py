"""Exported files against their runs where it is not easy: real photos, a read-out that is fitted, bf16 as reference."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from seglab.config import compose
from seglab.export.parity import TOLERANCE
from seglab.predict import predict
from seglab.predicting.inputs import find_photos
from seglab.predicting.maps import Maps, load_maps
from seglab.predicting.pipeline import read_small
from seglab.train import train

ABSENT = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
KINDS = [
    pytest.param("onnx", marks=pytest.mark.skipif(bool(ABSENT), reason=f"absent: {', '.join(ABSENT)}")),
    "torch_export",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("parity")


def trained(folder: Path, *more: str) -> Path:
    settings = "data=shapes data.size=40 data.source.train=16 data.source.test=4 batch_size=4 val=0.25 tracker=none "
    settings += "model=unet_small schedule.epochs=1 eval.samples=0 runtime.device=cpu runtime.threads=1"
    return train(compose("train", [*settings.split(), *more, f"runtime.outputs={folder / 'outputs'}"]))


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    return trained(folder, "data.size=64", "data.source.train=64", "schedule.epochs=4")


def exported(run: Path, folder: Path, kind: str, *more: str) -> Path:
    settings = f"run={run}", "runtime.device=cpu", f"export={kind}", f"output={folder}"
    return predict(compose("predict", [*settings, *more]))


def loaded(run: Path, *more: str) -> Maps:
    return load_maps(compose("predict", [f"run={run}", "input=none", "runtime.device=cpu", *more]))


@pytest.mark.parametrize("kind", KINDS)
def test_twenty_real_photos_agree_to_1e_4(data_root, run, tmp_path, kind: str) -> None:
    photos = find_photos(str(data_root / "BSDS500/data/images/val"))[:20]
    assert len(photos) == 20
    images = torch.from_numpy(np.stack([read_small(photo, 128)[0] for photo in photos]))
    ours = loaded(run, "size=128")(images)
    theirs = loaded(exported(run, tmp_path, kind, "size=128"))(images)
    assert (ours.amax((1, 2)) - ours.amin((1, 2))).median() > 0.2, "flat maps would show nothing"
    assert (theirs - ours).abs().max() <= TOLERANCE == 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_the_read_out_of_embeddings_is_inside_too(folder, tmp_path, kind: str) -> None:
    other = trained(folder, "loss=discriminative")
    images = torch.randint(0, 256, (3, 3, 40, 40), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    assert (loaded(exported(other, tmp_path, kind))(images) - loaded(other)(images)).abs().max() <= 1e-4


def test_a_file_computes_in_fp32_whatever_the_run_computes_in(run, tmp_path) -> None:
    path = exported(run, tmp_path, "torch_export", "runtime.precision=bf16")
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    theirs = loaded(path)(images)
    assert (theirs - loaded(run)(images)).abs().max() <= 1e-4
    assert (theirs - loaded(run, "runtime.precision=bf16")(images)).abs().max() > 1e-4
