"""Read-outs without masks from training to an exported file, with nothing held out, and over two processes."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from PIL import Image
from torch import multiprocessing

from seglab.config import compose
from seglab.data import arrays
from seglab.evaluate import evaluate, merged
from seglab.post.calibrated import Calibrated
from seglab.post.channel import Channel
from seglab.post.channel_set import ChannelSet
from seglab.post.shown import training_images
from seglab.predict import predict
from seglab.run import Run
from seglab.train import train

SIZE, TRAIN, TEST = 32, 24, 8
SETTINGS = [
    "data=shapes",
    f"data.size={SIZE}",
    f"data.source.train={TRAIN}",
    f"data.source.test={TEST}",
    "runtime.device=cpu",
    "runtime.threads=1",
]
TRAINING = [*SETTINGS, "batch_size=4", "schedule.epochs=1", "tracker=none", "eval.samples=0", "loss=cas"]
KINDS = {
    "border": lambda: Channel(channel="border"),
    "size": lambda: ChannelSet(channel="size"),
    "logistic": Calibrated,
    "mixture": lambda: Calibrated(masks="none"),
}
MIXTURE = ["eval/post=calibrated", "eval.post.masks=none", "eval.post.channel=size"]
SET = ["eval/post=channel_set", "eval.post.channel=border"]
ABSENT = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
needs_onnx = pytest.mark.skipif(bool(ABSENT), reason=f"packages of the extra 'export' are absent: {', '.join(ABSENT)}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("practice")


@pytest.fixture(scope="module")
def unheld(folder: Path) -> Path:
    """A run with nothing held out, read out by the border rule."""
    own = ["val=0", "eval.post.channel=border", f"runtime.outputs={folder}"]
    return train(compose("train", [*TRAINING, *own]))


@pytest.fixture(scope="module")
def held(folder: Path) -> Path:
    """A run with six images held out, calibrated on their masks."""
    return train(compose("train", [*TRAINING, "val=0.25", "eval/post=calibrated", f"runtime.outputs={folder}"]))


@pytest.fixture(scope="module")
def click(folder: Path) -> str:
    """Options for one click on one training image."""
    name = training_images(compose("train", [*TRAINING, f"runtime.outputs={folder}"])).ids[3]
    (folder / "c.csv").write_text(f"image,x,y\n{name},16,15\n", encoding="utf-8")
    return str(folder / "c.csv")


def scored(path: Path, name: str, *more: str) -> dict:
    """What ``seglab.evaluate`` writes under a protocol's name."""
    given = [f"run={path}", *SETTINGS, f"runtime.outputs={path.parents[1]}", "eval.batch_size=1", *more]
    evaluate(compose("evaluate", [*given, f"eval.protocol.name={name}"]))
    return Run(path).read_json(f"eval/shapes-{name}.json")


def spoil_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks of all images but the test set's are nonsense from here on."""
    plain = arrays.ArrayDataset.__getitems__

    def without(self, indices):
        batch = plain(self, indices)
        return batch if len(self) == TEST else {**batch, "mask": torch.full_like(batch["mask"], 77)}

    monkeypatch.setattr(arrays.ArrayDataset, "__getitems__", without)


def test_nothing_held_out(unheld: Path, click: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rule looks at all training images, or at the clicked one, and at no mask."""
    assert json.loads((unheld / "post.json").read_text())["images"] == TRAIN
    spoil_masks(monkeypatch)
    shown = {
        "clicks": (1, ["eval.post.channel=clicks", f"eval.post.clicks={click}"]),
        "set": (TRAIN, SET),
        "mixture": (TRAIN, ["eval/post=calibrated"]),  # would read masks, were there some
    }
    for name, (images, more) in shown.items():
        assert scored(unheld, name, *more)["post"]["images"] == images
    with pytest.raises(ValueError, match=r"auto without validation images: .*border, size, clicks"):
        scored(unheld, "auto", "eval.post.channel=auto")


def test_a_read_out_does_not_touch_the_training(unheld: Path, folder: Path) -> None:
    """It is no part of a run's identity: a run with another one has the same weights, bit for bit."""
    own = ["val=0", "eval.post.channel=0", f"runtime.outputs={folder / 'other'}"]
    other = train(compose("train", [*TRAINING, *own]))
    assert other.name == unheld.name
    assert (other / "model.safetensors").read_bytes() == (unheld / "model.safetensors").read_bytes()


def test_held_out_masks_are_not_read(held: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = (held / "post.json").read_bytes()
    assert json.loads(kept)["way"] == "logistic"
    own = ["eval/post=channel"]
    rules = {rule: scored(held, rule, *own, f"eval.post.channel={rule}") for rule in ("border", "size")}
    spoil_masks(monkeypatch)
    for rule, content in rules.items():
        again = scored(held, f"{rule}2", *own, f"eval.post.channel={rule}")
        assert again["post"] == content["post"]
        assert again["metrics"] == content["metrics"]
        assert (content["post"]["rule"], content["post"]["images"]) == (rule, TRAIN // 4)
    with pytest.raises(ValueError, match="77"):
        scored(held, "auto2", "eval/post=channel_set")
    assert (held / "post.json").read_bytes() == kept
    mine = merged(Run(held).config(), compose("evaluate", [f"run={held}", *SETTINGS]))
    assert mine.eval.post["_target_"] == "seglab.post.calibrated.Calibrated"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (None, "it cannot be read"),
        ("nobody,1,1", "line 2: no training image is called 'nobody'"),
        ("{name},32,1", "line 2: x=32, y=1 is outside image"),
    ],
)
def test_a_wrong_click_file_is_refused_before_the_training(
    line: str | None, said: str, click: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seglab.trainer.Trainer", None)  # nothing that trains is even made
    file = tmp_path / "wrong.csv"
    if line is not None:
        name = Path(click).read_text(encoding="utf-8").splitlines()[1].split(",")[0]
        file.write_text(f"image,x,y\n{line.format(name=name)}\n", encoding="utf-8")
    given = ["eval.post.channel=clicks", f"eval.post.clicks={file}", f"runtime.outputs={tmp_path}"]
    with pytest.raises(ValueError, match=rf"eval\.post\.clicks=.*wrong\.csv.*{said}"):
        train(compose("train", [*TRAINING, "val=0.25", *given]))
    assert not list(tmp_path.rglob("last.pt")) + list(tmp_path.rglob("log.jsonl"))


@pytest.mark.parametrize(("run", "kind"), [("unheld", "torch_export"), pytest.param("held", "onnx", marks=needs_onnx)])
def test_predicted_and_exported(run: str, kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A chosen channel and a calibrated probability: the exported file gives the run's maps."""
    path, photo = request.getfixturevalue(run), tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((30, 20), Image.Resampling.BICUBIC).save(photo)

    def maps(source: Path, name: str, *more: str) -> np.ndarray:
        given = [f"run={source}", f"input={photo}", f"output={tmp_path / name}", "runtime.device=cpu", *more]
        predict(compose("predict", given))
        return np.asarray(Image.open(next((tmp_path / name).rglob("maps/a.png"))), dtype=int)

    ours = maps(path, "ours", f"export={kind}")
    (file,) = (f for suffix in ("*.pt2", "*.onnx") for f in (tmp_path / "ours").rglob(suffix))
    theirs = maps(file, "theirs")
    assert ours.shape == theirs.shape == (20, 30)
    assert ours.std() > 0
    assert abs(ours - theirs).max() <= 1


def seen(kind: str, rows: list[int], *, sync: bool) -> dict:
    random = torch.Generator().manual_seed(5)
    masks = torch.zeros(7, 16, 16, dtype=torch.int64)
    masks[:, 4:12, 3:11] = 1
    logits = torch.randn(7, 2, 16, 16, generator=random)
    logits[:, 1] += 3 * masks - 1
    post = KINDS[kind]()
    for row in rows:
        names = ([f"name {row}"],) if getattr(post, "wants_names", False) else ()
        post.update(logits[row : row + 1], masks[row : row + 1], *names)
    if sync:
        post.sync(dist.all_reduce)
    post.finish()
    return post.state()


def worker(rank: int, folder: str, path: str, click: str) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for kind in KINDS:
        for first in (3, 0):
            shares = [list(range(first))[::-1], list(range(first, 7))]
            Path(folder, f"{kind}-{first}-{rank}.json").write_text(json.dumps(seen(kind, shares[rank], sync=True)))
    scored(Path(path), "two-mixture", *MIXTURE)
    scored(Path(path), "two-clicks", "eval.post.channel=clicks", f"eval.post.clicks={click}")
    dist.destroy_process_group()


def numbers(state: dict) -> list[float]:
    flat: list[float] = []
    for value in state.values():
        if isinstance(value, dict):
            flat += numbers(value)
        else:
            flat += [v for v in (value if isinstance(value, list) else [value]) if not isinstance(v, str)]
    return flat


def test_two_processes_choose_as_one(unheld: Path, click: str, tmp_path: Path) -> None:
    """Uneven shares, a share of nothing, and ``seglab.evaluate`` itself; of one click one process sees none."""
    multiprocessing.spawn(worker, args=(str(tmp_path), str(unheld), click), nprocs=2)
    for kind in KINDS:
        alone = seen(kind, list(range(7)), sync=False)
        for first in (3, 0):
            for rank in (0, 1):
                joined = json.loads((tmp_path / f"{kind}-{first}-{rank}.json").read_text())
                assert joined.keys() == alone.keys()
                np.testing.assert_allclose(numbers(joined), numbers(alone), rtol=1e-9, atol=1e-12)
    for name, more in (
        ("mixture", MIXTURE),
        ("clicks", ["eval.post.channel=clicks", f"eval.post.clicks={click}"]),
    ):
        alone, two = scored(unheld, f"one-{name}", *more), Run(unheld).read_json(f"eval/shapes-two-{name}.json")
        assert two["post"].keys() == alone["post"].keys()
        np.testing.assert_allclose(numbers(two["post"]), numbers(alone["post"]), rtol=1e-9, atol=1e-12)
        assert two["metrics"] == pytest.approx(alone["metrics"], rel=1e-6)
