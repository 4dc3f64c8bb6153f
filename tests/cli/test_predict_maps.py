"""What predicted maps, masks and overlays hold, for every way to name photos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from predict_support import NOTES, SIZES, files, make_photos, noise, predicted, read, trained

from seglab.config import compose
from seglab.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return trained(tmp_path_factory.getbasetemp())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos")


def test_folder_gives_maps_masks_and_overlays_of_original_size_and_name(run, photos, tmp_path) -> None:
    out = predicted(run, f"input={photos}", f"output={tmp_path / 'out'}", "batch_size=4", "threshold=0.4")
    assert files(out) == NOTES | {
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
    assert files(one) == {"maps/plain.png"} | NOTES
    fits = predicted(run, f"input={photos}/*.j*g", f"output={tmp_path / 'fits'}", *only)
    assert files(fits) == {"maps/plain.png", "maps/turned.png"} | NOTES
    both = f"input=[{photos / 'plain.jpg'},{photos / 'turned.jpg'},{photos / 'plain.jpg'}]"
    assert files(predicted(run, both, f"output={tmp_path / 'both'}", *only)) == files(fits)
    deep = predicted(run, f"input={photos}", "recursive=true", f"output={tmp_path / 'deep'}", *only)
    assert files(deep) == {f"maps/{name}.png" for name in (*SIZES, "more/plain")} | NOTES
    assert (read(deep / "maps" / "plain.png") != 0).any()


def test_batches_give_what_single_photos_give(run, photos, tmp_path) -> None:
    alone = predicted(run, f"input={photos}", f"output={tmp_path / 'alone'}", "batch_size=1", "runtime.workers=0")
    together = predicted(run, f"input={photos}", f"output={tmp_path / 'together'}", "batch_size=6")
    for name in SIZES:
        # A convolution may add in another order for another batch: at most the last of 8 bits.
        a, b = (read(out / "maps" / f"{name}.png").astype(int) for out in (alone, together))
        assert np.abs(a - b).max() <= 1
        assert (a != b).mean() < 0.01


def test_maps_are_those_of_the_evaluation(run, tmp_path) -> None:
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


def test_the_read_out_of_embeddings_gives_maps_too(photos, tmp_path) -> None:
    base = "data=shapes data.size=32 data.source.train=12 data.source.test=2 batch_size=4 val=0.25 tracker=none "
    base += "loss=discriminative schedule.epochs=1 eval.samples=0 runtime.device=cpu runtime.threads=1"
    run = train(compose("train", [*base.split(), f"runtime.outputs={tmp_path / 'outputs'}"]))
    out = predicted(run, f"input={photos}", f"output={tmp_path / 'out'}")
    assert read(out / "maps" / "turned.png").shape == SIZES["turned"]
