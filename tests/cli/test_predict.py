"""Maps of photos, as a person asks for them: what goes in, what comes out, and what happens when it is broken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import REPO
from PIL import Image

from seglab.config import compose
from seglab.predict import predict
from seglab.train import train


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("predict") / "outputs"


@pytest.fixture(scope="module")
def run(outputs: Path) -> Path:
    settings = "data=shapes data.size=32 data.source.train=24 data.source.test=8 batch_size=4 val=0.25 tracker=none "
    settings += "schedule.epochs=3 eval.samples=0 eval.resolution=original runtime.device=cpu runtime.threads=1"
    return train(compose("train", [*settings.split(), f"runtime.outputs={outputs}"]))


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture with large patches, so that maps are not flat."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures of the kinds people have: grey, CMYK, 16 bit, transparent, turned by EXIF, a name with dots."""
    folder = tmp_path / "photos"
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


SIZES = {
    "plain": (41, 60), "grey.v2": (50, 33), "cmyk": (30, 44), "deep": (37, 37), "clear": (29, 31), "turned": (70, 24)
}  # fmt: skip


def test_folder_gives_maps_masks_and_overlays_of_original_size_and_name(run, photos, tmp_path) -> None:
    out = predicted(run, f"input={photos}", f"output={tmp_path / 'out'}", "batch_size=4", "threshold=0.4")
    assert files(out) == {"predict.json"} | {
        f"{kind}/{name}" for name in SIZES for kind, name in (
            ("maps", f"{name}.png"), ("masks", f"{name}.png"), ("overlays", f"{name}.jpg")
        )
    }  # fmt: skip
    for name, size in SIZES.items():
        whole, mask = Image.open(out / "maps" / f"{name}.png"), read(out / "masks" / f"{name}.png")
        assert (whole.mode, whole.size) == ("L", size[::-1])
        assert set(np.unique(mask)) <= {0, 255}
        grey = np.asarray(whole)
        assert grey.std() > 0
        clear = np.abs(grey / 255 - 0.4) > 1 / 255
        assert ((mask == 255) == (grey / 255 > 0.4))[clear].all()
        assert read(out / "overlays" / f"{name}.jpg").shape == (*size, 3)
    made = json.loads((out / "predict.json").read_text())
    assert (made["run"], made["size"], made["threshold"]) == (run.name, 32, 0.4)


def test_file_pattern_list_and_sub_folders(run, photos, tmp_path) -> None:
    only = "what.masks=false", "what.overlays=false"
    one = predicted(run, f"input={photos / 'plain.jpg'}", f"output={tmp_path / 'one'}", *only)
    assert files(one) == {"maps/plain.png", "predict.json"}
    fits = predicted(run, f"input={photos}/*.j*g", f"output={tmp_path / 'fits'}", *only)
    assert files(fits) == {"maps/plain.png", "maps/turned.png", "predict.json"}
    both = f"input=[{photos / 'plain.jpg'},{photos / 'turned.jpg'},{photos / 'plain.jpg'}]"
    assert files(predicted(run, both, f"output={tmp_path / 'both'}", *only)) == files(fits)
    deep = predicted(run, f"input={photos}", "recursive=true", f"output={tmp_path / 'deep'}", *only)
    assert files(deep) == {f"maps/{name}.png" for name in (*SIZES, "more/plain")} | {"predict.json"}
    assert (read(deep / "maps" / "plain.png") != 0).any()


def test_batches_give_what_single_photos_give(run, photos, tmp_path) -> None:
    alone = predicted(run, f"input={photos}", f"output={tmp_path / 'alone'}", "batch_size=1", "runtime.workers=0")
    together = predicted(run, f"input={photos}", f"output={tmp_path / 'together'}", "batch_size=6")
    for name in SIZES:
        # A convolution may add in another order for another batch: at most the last of 8 bits.
        a, b = (read(out / "maps" / f"{name}.png").astype(int) for out in (alone, together))
        assert np.abs(a - b).max() <= 1
        assert (a != b).mean() < 0.01


def test_maps_are_those_of_the_evaluation(run, outputs, tmp_path) -> None:
    import torch

    from seglab.data.build import test_data
    from seglab.evaluate import trained_evaluator
    from seglab.evaluator import resize
    from seglab.run import Run

    cfg = Run(run).config()
    dataset = test_data(cfg, "shapes")
    evaluator = trained_evaluator(Run(run), cfg, torch.device("cpu"))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(len(dataset)):
        Image.fromarray(dataset.original(index)[0]).save(folder / f"{index}.png")
    out = predicted(run, f"input={folder}", f"output={tmp_path / 'out'}", "batch_size=8")
    for batch, logits in evaluator.logits(dataset, "shapes"):
        for row, index in enumerate(batch["index"].tolist()):
            whole = resize(evaluator.post(logits[row : row + 1]), dataset.original(index)[1].shape)[0].numpy()
            assert np.abs(read(out / "maps" / f"{index}.png") / 255 - whole).max() <= 0.5 / 255 + 1e-6
    scores = json.loads((run / "eval" / "shapes-cas-original.json").read_text())["metrics"]
    errors = [
        np.abs(read(out / "maps" / f"{i}.png") / 255 - dataset.original(i)[1]).mean() for i in range(len(dataset))
    ]
    assert np.mean(errors) == pytest.approx(scores["mae"], abs=0.5 / 255)


def test_a_real_photo_goes_in_as_the_cache_stores_it(data_root) -> None:
    from seglab.data.cache import resize
    from seglab.data.files import read_image
    from seglab.predicting.inputs import Photo
    from seglab.predicting.pipeline import read_small

    path = sorted((data_root / "BSDS500/data/images/val").glob("*.jpg"))[0]
    image = read_image(path)
    small, size = read_small(Photo(path, path.stem), 128)
    assert size == image.shape[:2]
    assert (small == resize(image, np.zeros(size, dtype=np.uint8), 128)[0]).all()


def test_flip_is_the_mean_with_the_mirrored_photo(run, tmp_path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(noise(32, 32)).save(folder / "a.png")
    Image.fromarray(noise(32, 32)[:, ::-1]).save(folder / "mirrored.png")
    plain = predicted(run, f"input={folder}", f"output={tmp_path / 'plain'}")
    both = predicted(run, f"input={folder}", f"output={tmp_path / 'both'}", "flip=true")
    a, mirrored = (read(plain / "maps" / f"{n}.png").astype(float) for n in ("a", "mirrored"))
    assert np.abs(a - mirrored[:, ::-1]).max() > 1, "the network must not be symmetric, or this shows nothing"
    assert np.abs(read(both / "maps" / "a.png") - (a + mirrored[:, ::-1]) / 2).max() <= 1
    assert np.abs(read(both / "maps" / "a.png").astype(int) - read(both / "maps" / "mirrored.png")[:, ::-1]).max() <= 1


def test_adaptive_threshold_is_twice_the_mean(run, photos, tmp_path) -> None:
    out = predicted(run, f"input={photos / 'plain.jpg'}", f"output={tmp_path / 'out'}", "threshold=adaptive")
    grey, mask = read(out / "maps" / "plain.png").astype(float), read(out / "masks" / "plain.png")
    clear = np.abs(grey - 2 * grey.mean()) > 2
    assert ((mask == 255) == (grey > 2 * grey.mean()))[clear].all()


def test_unreadable_photos_are_named_and_the_others_done(run, photos, tmp_path) -> None:
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "half.jpg").write_bytes((photos / "plain.jpg").read_bytes()[:400])
    with pytest.raises(ValueError, match="2 of 8 photos could not be predicted") as caught:
        predicted(run, f"input={photos}", f"output={tmp_path / 'out'}", "batch_size=3")
    assert "empty.jpg" in str(caught.value)
    assert "half.jpg" in str(caught.value)
    assert {path.stem for path in (tmp_path / "out" / "maps").iterdir()} == set(SIZES)
    assert len((tmp_path / "out" / "failed.txt").read_text().splitlines()) == 2
    (photos / "empty.jpg").unlink()
    (photos / "half.jpg").unlink()
    again = predicted(run, f"input={photos}", f"output={tmp_path / 'out'}")
    assert not (again / "failed.txt").exists()


def test_what_is_there_is_kept_and_other_settings_do_not_mix(run, photos, tmp_path) -> None:
    asked = f"input={photos}", f"output={tmp_path / 'out'}"
    out = predicted(run, *asked)
    missing, kept = out / "maps" / "plain.png", out / "maps" / "turned.png"
    missing.unlink()
    before = kept.stat().st_mtime_ns
    predicted(run, *asked)
    assert missing.is_file()
    assert kept.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="existing=skip"):
        predicted(run, *asked, "existing=error")
    with pytest.raises(ValueError, match=r"other settings \(flip\)"):
        predicted(run, *asked, "flip=true")
    predicted(run, *asked, "flip=true", "existing=overwrite")
    assert kept.stat().st_mtime_ns != before
    newer = kept.stat().st_mtime_ns
    os.utime(photos / "turned.jpg", ns=(newer + 10**9, newer + 10**9))  # a photo changed since
    predicted(run, *asked, "flip=true")
    assert kept.stat().st_mtime_ns != newer


def test_a_killed_command_goes_on(run, tmp_path) -> None:
    folder, out = tmp_path / "many", tmp_path / "out"
    folder.mkdir()
    for i in range(60):
        Image.fromarray(noise(90, 80, i)).save(folder / f"{i:03}.png")
    line = [sys.executable, "-m", "seglab.predict", f"run={run}", f"input={folder}", f"output={out}", "batch_size=2"]
    environment = {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*line, "runtime.workers=1"], env=environment, cwd=tmp_path, stderr=subprocess.PIPE) as first:
        until = time.monotonic() + 120
        while len(list(out.glob("overlays/*.jpg"))) < 5:
            assert first.poll() is None, first.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.005)
        first.send_signal(signal.SIGKILL)
    before = {path: path.stat().st_mtime_ns for path in out.glob("maps/*.png")}
    assert len(before) < 60, "it was too quick to be killed"
    for path in before:
        Image.open(path).load()
    assert predicted(run, f"input={folder}", f"output={out}") == out
    assert len(list(out.glob("maps/*.png"))) == len(list(out.glob("masks/*.png"))) == 60
    assert sum(path.stat().st_mtime_ns == time for path, time in before.items()) >= len(before) - 1


def test_results_do_not_land_among_the_photos(run, photos, tmp_path) -> None:
    with pytest.raises(ValueError, match="lies in the folder of the photos"):
        predicted(run, f"input={photos}", f"output={photos}")
    with pytest.raises(ValueError, match="lies in the folder of the photos"):
        predicted(run, f"input={photos}", f"output={photos / 'out'}", "recursive=true")
    maps = predicted(run, f"input={photos}", f"output={tmp_path / 'out'}") / "maps"
    with pytest.raises(ValueError, match="is one of the photos"):
        predicted(run, f"input={maps}", f"output={tmp_path / 'out'}")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("existing=maybe", "existing=maybe: expected one of skip"),
        ("threshold=1.5", "threshold=1.5: expected 0 <= threshold < 1"),
        ("size=0", "size=0: expected a whole number"),
        ("export=caffe", "export=caffe: expected null or one of onnx"),
        ("flip=2", "flip=2: expected true or false"),
        ("input=null", "input is missing"),
        ("what={maps:false,masks:false,overlays:false}", "are all false"),
    ],
)
def test_values_are_checked(run, photos, setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predicted(run, f"input={photos}", setting)


def test_results_that_cannot_be_written(run, photos, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="cannot be written"):
        predicted(run, f"input={photos}", f"output={tmp_path / 'file'}")

    from seglab.predicting import write

    real = os.replace

    def full(source, target) -> None:
        if Path(target).name == "turned.png":
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(write.os, "replace", full)
    with pytest.raises(ValueError, match="No space left on device"):
        predicted(run, f"input={photos}", f"output={tmp_path / 'out'}", "batch_size=1")
    assert not [name for name in files(tmp_path / "out") if name.endswith(".tmp")]


def test_runs_that_give_no_maps_are_refused(outputs, photos, tmp_path) -> None:
    bare = tmp_path / "unfinished"
    bare.mkdir()
    (bare / "config.yaml").write_text((next(outputs.glob("runs/*")) / "config.yaml").read_text())
    with pytest.raises(ValueError, match=r"it is not finished: model\.safetensors and post\.json"):
        predicted(bare, f"input={photos}")
    points = ["data=toy_imbalance", "model=mlp_10", f"runtime.outputs={outputs}"]
    from omegaconf import OmegaConf

    (bare / "config.yaml").write_text(OmegaConf.to_yaml(compose("train", points)))
    with pytest.raises(ValueError, match="its task is points"):
        predicted(bare, f"input={photos}")


def test_the_read_out_of_embeddings_gives_maps_too(outputs, photos, tmp_path) -> None:
    base = "data=shapes data.size=32 data.source.train=12 data.source.test=2 batch_size=4 val=0.25 tracker=none "
    base += "loss=discriminative schedule.epochs=1 eval.samples=0 runtime.device=cpu runtime.threads=1"
    run = train(compose("train", [*base.split(), f"runtime.outputs={outputs}"]))
    out = predicted(run, f"input={photos}", f"output={tmp_path / 'out'}")
    assert read(out / "maps" / "turned.png").shape == SIZES["turned"]


def test_command_line(run, photos, tmp_path, command) -> None:
    odd = tmp_path / "my photos (2), new"
    photos.rename(odd)
    (odd / "bad.png").write_bytes(b"not a picture")
    ended = command("predict", f"run={run}", f"input={odd}", f"output={tmp_path / 'its maps'}", "runtime.device=cpu")
    assert ended.returncode == 1
    assert "1 of 7 photos could not be predicted" in ended.stderr
    assert "bad.png" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert {path.stem for path in (tmp_path / "its maps" / "maps").iterdir()} == set(SIZES)
