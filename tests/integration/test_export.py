"""Exported files: they give the run's maps, need no run folder, and cannot do more than compute."""

from __future__ import annotations

import io
import json
import logging
import pickle
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seglab.config import compose
from seglab.export.guard import check_archive
from seglab.predict import parity_images, predict
from seglab.predicting.maps import load_maps
from seglab.train import train

SUFFIXES = {"onnx": ".onnx", "torch_export": ".pt2"}
ABSENT = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
onnx_only = pytest.mark.skipif(bool(ABSENT), reason=f"packages of the extra 'export' are absent: {', '.join(ABSENT)}")
KINDS = [pytest.param("onnx", marks=onnx_only), "torch_export"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    settings = "data=shapes data.size=40 data.source.train=16 data.source.test=4 batch_size=4 val=0.25 tracker=none "
    settings += "schedule.epochs=2 eval.samples=0 runtime.device=cpu runtime.threads=1"  # 40: the network has to pad
    return train(compose("train", [*settings.split(), "loss=cas", f"runtime.outputs={folder / 'outputs'}"]))


@pytest.fixture(scope="module")
def photos(folder: Path) -> Path:
    place = folder / "photos"
    place.mkdir(exist_ok=True)
    for i in range(3):
        coarse = np.random.default_rng(i).integers(0, 256, (5, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((50 + i, 61), Image.Resampling.BICUBIC).save(place / f"{i}.png")
    return place


@pytest.fixture(scope="module")
def exported(run: Path, folder: Path) -> dict[str, Path]:
    """Kind -> file; kinds whose packages are absent are left out."""
    made = {}
    for kind, suffix in SUFFIXES.items():
        if kind == "onnx" and ABSENT:
            continue
        made[kind] = predicted(run, f"export={kind}", f"output={folder / 'files'}", "threshold=0.3")
        assert made[kind] == folder / "files" / f"{run.name}{suffix}"
    return made


def loaded(run: Path):
    return load_maps(compose("predict", [f"run={run}", "input=none", "runtime.device=cpu"]))


def predicted(run: Path, *settings: str) -> Path:
    return predict(compose("predict", [f"run={run}", "runtime.device=cpu", *settings]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_gives_the_maps_of_its_run_for_any_batch(run, exported, kind: str) -> None:
    ours, theirs = loaded(run), loaded(exported[kind])
    draw = torch.Generator().manual_seed(1)
    for count in (1, 2, 7):
        images = torch.randint(0, 256, (count, 3, 40, 40), generator=draw, dtype=torch.uint8)
        maps = theirs(images)
        assert maps.shape == (count, 40, 40)
        assert maps.dtype == torch.float32
        assert (maps - ours(images)).abs().max() <= 1e-4
    flat = torch.full((2, 3, 40, 40), 200, dtype=torch.uint8)  # a photo without contrast
    assert (theirs(flat) - ours(flat)).abs().max() <= 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_predicts_without_its_run(run, exported, photos, tmp_path, kind: str) -> None:
    moved = tmp_path / f"model{exported[kind].suffix}"
    moved.write_bytes(exported[kind].read_bytes())
    ours = predicted(run, f"input={photos}", f"output={tmp_path / 'ours'}", "threshold=0.3")
    theirs = predicted(moved, f"input={photos}", f"output={tmp_path / 'theirs'}", f"runtime.outputs={tmp_path / 'no'}")
    for i in range(3):
        a, b = (np.asarray(Image.open(out / "maps" / f"{i}.png")).astype(int) for out in (ours, theirs))
        assert a.shape == (61, 50 + i)
        assert np.abs(a - b).max() <= 1
    made = json.loads((theirs / "predict.json").read_text())
    assert (made["run"], made["size"], made["threshold"]) == (run.name, 40, 0.3)
    with pytest.raises(ValueError, match=r"size=64: model.* takes 40 only"):
        predicted(moved, f"input={photos}", "size=64")


def description(path: Path) -> str:
    """What an exported file says of itself."""
    if path.suffix == ".onnx":
        import onnx

        return {p.key: p.value for p in onnx.load(path).metadata_props}["seglab.json"]
    with zipfile.ZipFile(path) as archive:
        return archive.read(next(n for n in archive.namelist() if n.endswith("extra/seglab.json"))).decode()


@pytest.mark.parametrize("kind", KINDS)
def test_files_say_what_they_are_and_hold_no_paths(run, exported, kind: str) -> None:
    content = json.loads(description(exported[kind]))
    assert (content["run"], content["size"], content["threshold"]) == (run.name, 40, 0.3)
    assert {"read_out", "weights", "input", "output", "licence", "format"} <= set(content)
    source = str(Path(__file__).resolve().parents[2]).encode()
    assert source not in exported[kind].read_bytes(), "notes on where the code lies"


def test_a_file_that_differs_is_not_kept(run, photos, tmp_path, monkeypatch) -> None:
    from seglab.export import graph

    real = graph.ExactStandard.forward
    monkeypatch.setattr(graph.ExactStandard, "forward", lambda self, image: real(self, image) * 1.01)
    with pytest.raises(ValueError, match=r"differ from the run's by .* on 3 photos"):
        predicted(run, "export=torch_export", f"output={tmp_path}", f"input={photos}")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_export_compares_on_what_is_at_hand(run, tmp_path, monkeypatch, caplog) -> None:
    from seglab.data.shapes import Shapes

    with caplog.at_level(logging.INFO):
        predicted(run, "export=torch_export", f"output={tmp_path}")
        assert "on 4 test images of the run" in caplog.text
        monkeypatch.setattr(Shapes, "items", lambda *_: (_ for _ in ()).throw(ValueError("no data here")))
        images, what = parity_images(loaded(run), [])
    assert "no data here" in caplog.text
    assert what.startswith("8 random images")
    assert images.shape == (8, 3, 40, 40)
    with pytest.raises(ValueError, match="is there already"):
        predicted(run, "export=torch_export", f"output={tmp_path}", "existing=error")
    with pytest.raises(ValueError, match="is an exported file already"):
        predicted(next(tmp_path.glob("*.pt2")), "export=torch_export")


@pytest.mark.skipif("onnx" in ABSENT, reason="asks for onnx first")
def test_a_missing_package_is_named(run, tmp_path, monkeypatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ValueError, match=r"onnxscript: pip install 'seglab\[export\]'"):
        predicted(run, "export=onnx", f"output={tmp_path}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
def test_a_damaged_file_is_one_message(exported, photos, tmp_path, kind: str, damage: str) -> None:
    whole = exported[kind].read_bytes()
    bad = tmp_path / exported[kind].name
    bad.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "noise": b"PK\x03\x04" + bytes(900)}[damage])
    with pytest.raises(ValueError, match=r"not a whole (ONNX|pt2) file"):
        predicted(bad, f"input={photos}")


@onnx_only
def test_an_onnx_file_that_reaches_for_other_files_is_refused(exported, photos, tmp_path) -> None:
    import onnx

    model = onnx.load(exported["onnx"])
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="../../etc/passwd")
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="lies in another file"):
        predicted(bad, f"input={photos}")
    foreign = onnx.load(exported["onnx"])
    del foreign.metadata_props[:]
    bad.write_bytes(foreign.SerializeToString())
    with pytest.raises(ValueError, match="it has no description"):
        predicted(bad, f"input={photos}")


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def changed(source: Path, target: Path, members: dict[str, bytes]) -> Path:
    """A copy of an archive with some members replaced or added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        root = old.namelist()[0].partition("/")[0]
        for name in old.namelist():
            new.writestr(name, members.pop(name.partition("/")[2], None) or old.read(name))
        for name, content in members.items():
            new.writestr(f"{root}/{name}", content)
    return target


def pickled(trap: Path, *, by_torch: bool) -> bytes:
    buffer = io.BytesIO()
    if by_torch:
        torch.save(Bomb(trap), buffer)
    else:
        pickle.dump(Bomb(trap), buffer)
    return buffer.getvalue()


def traps(path: Path, trap: Path) -> dict[str, dict[str, bytes]]:
    """What was done to a file -> its changed members; most run code where torch.export.load is given the file."""
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].partition("/")[0]

        def content(name: str) -> dict:
            return json.loads(archive.read(f"{root}/{name}"))

        model, weights = content("models/model.json"), content("data/weights/model_weights_config.json")
    code = f"__import__('pathlib').Path({str(trap)!r}).touch()"
    text = json.dumps(model)
    size = next(
        part["as_expr"]["expr_str"]
        for value in model["graph_module"]["graph"]["tensor_values"].values()
        for part in value["sizes"]
        if "as_expr" in part
    )
    entry = next(iter(weights["config"].values()))
    entry["use_pickle"] = True
    weight = {f"data/weights/{entry['path_name']}": pickled(trap, by_torch=True)}

    def put(text: str) -> dict[str, bytes]:
        return {"models/model.json": text.encode()}

    return {
        "pickled weight": {"data/weights/model_weights_config.json": json.dumps(weights).encode(), **weight},
        "pickled example": {"data/sample_inputs/model.pt": pickled(trap, by_torch=True)},
        "pickled constant": {
            "data/constants/model_constants_config.json": json.dumps(
                {"config": {"c": {**entry, "path_name": "opaque_obj_0"}}}
            ).encode(),
            "data/constants/opaque_obj_0": pickled(trap, by_torch=False),
        },
        "expression": put(text.replace(json.dumps(size), json.dumps(code))),
        "operation": put(text.replace("torch.ops.aten.softmax.int", "torch.os.system")),
        "writing operation": put(text.replace("torch.ops.aten.relu_.default", "torch.ops.aten.save.default")),
        "guard": put(json.dumps({**model, "guards_code": [code]})),
        "container": put(text.replace("builtins.tuple", "collections.defaultdict")),
        "name": put(text.replace('"image', '"image=' + code.replace('"', ""))),
        "library": {"data/aotinductor/model/x.so": b"\x7fELF"},
    }


KINDS_OF_TRAP = [
    "pickled weight", "pickled example", "pickled constant", "expression", "operation", "writing operation", "guard",
    "container", "name", "library",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS_OF_TRAP)
def test_a_pt2_file_that_could_run_code_is_refused(exported, photos, tmp_path, kind: str) -> None:
    trap = tmp_path / "trap"
    members = traps(exported["torch_export"], trap)[kind]
    with zipfile.ZipFile(exported["torch_export"]) as archive:
        before = next(archive.read(n) for n in archive.namelist() if n.endswith("models/model.json"))
    assert members.get("models/model.json") != before, "the file was not changed, so nothing is shown"
    bad = changed(exported["torch_export"], tmp_path / "bad.pt2", members)
    with pytest.raises(ValueError, match="refused, it holds"):
        predicted(bad, f"input={photos}")
    assert not trap.exists()


def test_members_must_be_stored_and_named_once(exported, tmp_path) -> None:
    path = exported["torch_export"]
    same = changed(path, tmp_path / "same.pt2", {})
    assert json.loads(check_archive(same.read_bytes(), same))["size"] == 40
    with zipfile.ZipFile(path) as old:
        packed, twice = tmp_path / "packed.pt2", tmp_path / "twice.pt2"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                new.writestr(name, old.read(name))
        with zipfile.ZipFile(twice, "w") as new:
            for name in (*old.namelist(), old.namelist()[0].replace("data", "DATA")):  # torch's reader ignores case
                new.writestr(name, old.read(name.replace("DATA", "data")))
    for bad, what in ((packed, "compressed members"), (twice, "two members of one name")):
        with pytest.raises(ValueError, match=what):
            check_archive(bad.read_bytes(), bad)
