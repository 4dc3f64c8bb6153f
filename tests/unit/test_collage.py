"""Collage: a composed set in the layout of PASCAL VOC; same bytes, no photograph in both parts, resumed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from seglab.config import compose
from seglab.data.collage import Collage
from seglab.data.collage_draw import SCENE, Part, scene_window, void_band, without_holes
from seglab.data.collage_draw import compose as picture
from seglab.data.pairs import DataMissing
from seglab.data.palette import class_palette
from seglab.data.standin import write_standins
from seglab.data.voc_semantic import VocSemantic
from seglab.identity import identity
from seglab.tables.plan import Plan
from seglab.tables.proposals import proposals_status
from seglab.tables.state import find_data
from seglab.targets import instantiate

CLASSES = ["background", "person", "object", "denim", "rose", "linen", "ink"]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Stand-ins of the photographs."""
    place = tmp_path_factory.mktemp("data")
    write_standins(["collage"], place, train=8, test=6, size=(120, 90))
    return place


def config(root: Path, outputs: Path, *changes: str, command: str = "evaluate"):
    chosen = ["run=none"] if command == "evaluate" else []
    small = ["data.source.size=[96,72]", "data.source.train=8", "data.source.test=8"]
    where = [f"runtime.data_root={root}", f"runtime.outputs={outputs}"]
    return compose(command, [*chosen, "data=collage", *small, *where, *changes])


def collage(root: Path, outputs: Path, *changes: str) -> Collage:
    return instantiate(config(root, outputs, *changes).data.source)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def made(root: Path, tmp_path_factory) -> Path:
    """The folder of the written set."""
    return collage(root, tmp_path_factory.mktemp("outputs")).write()


def test_it_is_a_set_in_the_layout_of_voc(made: Path, root: Path, tmp_path: Path) -> None:
    lists = made / "ImageSets/Segmentation"
    assert len((lists / "train.txt").read_text().split()) == len((lists / "val.txt").read_text().split()) == 8
    source = VocSemantic(
        str(made / "JPEGImages"), masks=str(made / "SegmentationClass"), classes=CLASSES,
        train_list=str(lists / "train.txt"), test_list=str(lists / "val.txt"),
    )  # fmt: skip
    told = json.loads((made / "collage.json").read_text())
    assert told["classes"] == CLASSES
    for item in (*source.items("train"), *source.items("test")):
        image, labels = item.read()
        assert sorted(image.shape[:2]) == [72, 96]
        assert image.shape[:2] == labels.shape
        wanted = {CLASSES.index(name) for name, _ in told["pictures"][item.id]["objects"]}
        assert set(np.unique(labels)) <= wanted | {0, 255}
        assert 255 in labels, "where an object ends is void"
        with Image.open(item.mask) as mask:
            assert mask.mode == "P"
            assert mask.getpalette() == class_palette().ravel().tolist()
    counts = [len(one["objects"]) for name, one in told["pictures"].items() if name.startswith("train")]
    assert counts == [1, 2, 3, 4] * 2


def test_no_photograph_is_in_both_parts(made: Path) -> None:
    pictures = json.loads((made / "collage.json").read_text())["pictures"]
    used = {"train": set(), "test": set()}
    for name, one in pictures.items():
        objects = {(name_of, photo) for name_of, photo in map(tuple, one["objects"])}
        # Scenes and objects are photographs of one folder.
        used[name.split("_")[0]] |= objects | {("object", one["scene"])}
    assert used["train"]
    assert used["test"]
    assert not used["train"] & used["test"]


def test_two_processes_at_once_write_the_same_bytes_as_one(made: Path, root: Path, tmp_path: Path) -> None:
    cfg = config(root, tmp_path)
    (tmp_path / "source.yaml").write_text(OmegaConf.to_yaml(cfg.data.source, resolve=True))
    code = (
        "import sys; from omegaconf import OmegaConf; from seglab.targets import instantiate; "
        "print(instantiate(OmegaConf.load(sys.argv[1])).write())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "source.yaml")]
    working = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = {process.communicate()[0].strip() for process in working}
    assert [process.returncode for process in working] == [0, 0]
    assert len(folders) == 1
    assert contents(Path(folders.pop())) == contents(made)


def test_what_a_stopped_process_left_is_kept_and_the_rest_is_made(
    made: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seglab.data import collage as module

    drawn = []
    true_draw = module.draw

    def draw(plan, size):
        if len(drawn) == 3:
            raise KeyboardInterrupt
        drawn.append(plan.id)
        return true_draw(plan, size)

    monkeypatch.setattr(module, "draw", draw)
    with pytest.raises(KeyboardInterrupt):
        collage(root, tmp_path).items("train")
    monkeypatch.setattr(module, "draw", lambda plan, size: drawn.append(plan.id) or true_draw(plan, size))
    assert len(collage(root, tmp_path).items("train")) == 8
    assert len(drawn) == len(set(drawn)) == 16, "no picture is drawn twice"
    folder = next((tmp_path / "collages").iterdir())
    assert contents(folder) == contents(made)
    (folder / "SegmentationClass/test_0003.png").unlink()
    collage(root, tmp_path).items("test")
    assert drawn[16:] == ["test_0003"]
    assert contents(folder) == contents(made)


def test_other_photographs_and_options_have_another_folder(root: Path, tmp_path: Path, made: Path) -> None:
    assert collage(root, tmp_path, "data.source.seed=1").write().name != made.name
    assert collage(root, tmp_path, "data.source.cutouts.person.0.leave_out=[1]").write().name != made.name


def test_where_files_lie_is_no_part_of_a_run(root: Path, tmp_path: Path) -> None:
    ids = {identity(config(root, tmp_path / place, command="train")) for place in ("a", "b")}
    ids |= {identity(config(tmp_path, tmp_path, command="train"))}
    assert len(ids) == 1
    assert identity(config(root, tmp_path, "data.source.seed=1", command="train")) not in ids


def test_void_band_is_two_pixels_wide_and_no_wider() -> None:
    numbers = np.zeros((6, 6), np.uint8)
    numbers[:, 3:] = 1
    assert void_band(numbers).tolist() == [[False, False, True, True, False, False]] * 6
    assert not void_band(np.ones((4, 4))).any()


def test_an_object_covers_what_lies_behind_it_and_has_its_label() -> None:
    scene, nothing = np.full((60, 80, 3), 40, np.uint8), np.zeros((60, 80), bool)
    photos = [np.full((50, 50, 3), grey, np.uint8) for grey in (250, 140)]
    mask = np.zeros((50, 50), bool)
    mask[5:45, 5:45] = True
    image, labels = picture(scene, nothing, [Part(3, photos[0], mask), Part(5, photos[1], mask)], "key")
    assert set(np.unique(labels)) == {0, 3, 5, 255}
    for label, grey in ((0, 40), (3, 250), (5, 140)):
        assert (image[labels == label] == grey).mean() > 0.95
    salient = nothing.copy()
    salient[:4] = True
    _, labels = picture(scene, salient, [Part(3, photos[0], mask)], "key")
    assert set(np.unique(labels[:4])) <= {3, 255}, "the background's own object is void"


def test_a_window_of_a_scene_avoids_its_object() -> None:
    salient = np.zeros((200, 300), bool)
    salient[:, 200:] = True
    for key in range(5):
        top, left, rows, columns = scene_window(salient, (72, 96), key)
        assert top + rows <= 200
        assert left + columns <= 300
        assert salient[top : top + rows, left : left + columns].mean() <= SCENE / 1000
        assert abs(columns / rows - 96 / 72) < 0.06


def test_small_holes_are_filled_and_large_ones_stay() -> None:
    mask = np.zeros((60, 60), bool)
    mask[5:55, 5:55] = True
    mask[10:12, 10:12] = False
    mask[30:45, 30:45] = False
    filled = without_holes(mask)
    assert filled[10:12, 10:12].all()
    assert not filled[30:45, 30:45].any()
    assert not filled[:5].any()


def test_messages(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"data=collage: list '.*SOD/train.txt' not found; expected below .*People"):
        collage(tmp_path / "none", tmp_path).items("train")
    with pytest.raises(ValueError, match=r"part='val': data=collage has the parts train and test"):
        collage(root, tmp_path).items("val")
    with pytest.raises(ValueError, match=r"data.source.size\[1\]=\[96, 8\]: expected a whole number, 32 or more"):
        collage(root, tmp_path, "data.source.size=[96,8]")
    with pytest.raises(ValueError, match=r"data.source.train=0: expected a whole number, 1 or more"):
        collage(root, tmp_path, "data.source.train=0")
    with pytest.raises(ValueError, match=r"data.classes=\['background', 'person'\]: expected the background, then"):
        collage(root, tmp_path, "data.classes=[background,person]")
    with pytest.raises(ValueError, match=r"data.source.fabrics.ink=.*: expected one stem or more .* none in both"):
        collage(root, tmp_path, "data.source.fabrics.ink.test=[tex_08]")


def test_real_photographs(data_root: Path, tmp_path: Path) -> None:
    source = instantiate(
        compose(
            "evaluate",
            ["run=none", "data=collage", "data.source.train=1", "data.source.test=4", f"runtime.data_root={data_root}",
             f"runtime.outputs={tmp_path}"],
        ).data.source
    )  # fmt: skip
    for item in source.items("test"):
        image, labels = item.read()
        assert sorted(image.shape[:2]) == [240, 320]
        background = (labels == 0).mean()
        assert 0.2 < background < 0.97
        assert len(np.setdiff1d(np.unique(labels), [0, 255])) >= 1


def test_names_are_told_without_composing(root: Path, tmp_path: Path) -> None:
    source = collage(root, tmp_path / "outputs")
    names = {part: source.names(part) for part in ("train", "test")}
    assert not (tmp_path / "outputs").exists()
    assert names == {part: [item.id for item in source.items(part)] for part in names}
    with pytest.raises(ValueError, match="has the parts train and test"):
        source.names("val")
    with pytest.raises(DataMissing):
        collage(tmp_path / "nowhere", tmp_path).names("train")


def test_the_status_of_a_table_composes_nothing(root: Path, tmp_path: Path) -> None:
    run = ["data=collage", "model=segnet_alexnet", "model.trunk=small", "val=0", "eval=rerank", "noise.rate=0"]
    content = {"id": "t", "paper": "p", "title": "T", "source": "s", "protocol": "p"}
    content["columns"] = [{"name": "mIoU", "metric": "miou_kl", "set": "collage", "better": "higher"}]
    content["columns"][0]["protocol"] = "rerank_miou"
    content["rows"] = [{"name": "ce", "kind": "ours", "run": [*run, "loss=ce_soft", "eval.rerank.folds=0"]}]
    OmegaConf.save(OmegaConf.create(content), tmp_path / "t.yaml")
    places = [f"runtime.outputs={tmp_path / 'outputs'}", f"runtime.data_root={root}"]
    plan = Plan(compose("table", [f"tables=['{tmp_path / 't.yaml'}']", *places]))
    (job,) = plan.row_jobs(name := str(tmp_path / "t.yaml"), plan.spec(name).row("ce"))
    find_data(job)
    assert (job.untrainable, job.missing) == ("", {})
    (line,) = proposals_status([job])
    assert line.startswith("proposals of collage: 0 of 60 images in ")
    assert not list(tmp_path.rglob("collages"))
