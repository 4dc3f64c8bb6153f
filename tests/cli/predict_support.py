"""What the tests of ``seglab.predict`` share: a small run, photos of many kinds, and command lines that start fast."""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
from pathlib import Path

import numpy as np
from conftest import REPO
from PIL import Image

from seglab.config import compose
from seglab.predict import predict
from seglab.train import train

SIZES = {
    "plain": (41, 60), "grey.v2": (50, 33), "cmyk": (30, 44), "deep": (37, 37), "clear": (29, 31), "turned": (70, 24)
}  # fmt: skip
"""Name of a photo of :func:`make_photos` -> height and width of its results."""

PRELOAD = ["hydra", "seglab.evaluator", "seglab.train", "seglab.metrics.image_rows", "seglab.predict"]
"""What takes long to import."""

NOTES = {"predict.json", "predict.jsonl"}
"""What lies beside the results."""


@functools.cache
def trained(base: Path) -> Path:
    """A run of three epochs on 32 pixels below the session's folder; one for all modules."""
    outputs = base / "predict" / "outputs"
    settings = "data=shapes data.size=32 data.source.train=24 data.source.test=8 batch_size=4 val=0.25 tracker=none "
    settings += "schedule.epochs=3 eval.samples=0 eval.resolution=original runtime.device=cpu runtime.threads=1"
    return train(compose("train", [*settings.split(), f"runtime.outputs={outputs}"]))


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture with large patches, so that maps are not flat."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def make_photos(folder: Path) -> Path:
    """Pictures of the kinds people have: grey, CMYK, 16 bit, transparent, turned by EXIF, a name with dots."""
    (folder / "more").mkdir(parents=True)
    Image.fromarray(noise(41, 60, 1)).save(folder / "plain.jpg")
    Image.fromarray(noise(50, 33, 2)[..., 0]).save(folder / "grey.v2.png")
    Image.fromarray(noise(30, 44, 3)).convert("CMYK").save(folder / "cmyk.JPG")
    Image.fromarray(noise(37, 37, 4)[..., 0].astype(np.uint16) * 257).save(folder / "deep.tif")
    Image.fromarray(noise(29, 31, 5)).convert("RGBA").save(folder / "clear.webp")
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter before it is shown
    Image.fromarray(noise(24, 70, 6)).save(folder / "turned.jpg", exif=turned)
    Image.fromarray(noise(35, 39, 7)).save(folder / "more" / "plain.png")
    (folder / "._plain.jpg").write_bytes(b"a resource fork of another system")
    (folder / "notes.txt").write_text("no picture")
    return folder


def predicted(run: Path, *settings: str) -> Path:
    return predict(compose("predict", [f"run={run}", "runtime.device=cpu", *settings]))


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def start(log: Path, *arguments: str) -> multiprocessing.Process:
    """The command line in a process of its own, which a server with all imports done forks; stderr goes to a file."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    os.environ.setdefault("PYTHONPATH", str(REPO))
    process = context.Process(target=_main, args=(log, arguments))
    process.start()
    return process


def _main(log: Path, arguments: tuple[str, ...]) -> None:
    import runpy

    with open(log, "wb") as file:
        os.dup2(file.fileno(), 2)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    sys.argv = ["predict", *arguments]
    sys.modules.pop("seglab.predict", None)
    runpy.run_module("seglab.predict", run_name="__main__", alter_sys=True)
