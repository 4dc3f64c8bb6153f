"""Whole data sets from a local server: fetched once, made whole, never mixed, and never written through a link."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_site import Site, serve

from seglab.fetch.archive import extract
from seglab.fetch.download import download
from seglab.fetch.get import get
from seglab.fetch.recipe import recipe_from
from seglab.fetch.state import State
from seglab.fetch.task import Patience

QUICK = Patience(timeout=0.5, retries=2, pause=0.0, sleep=lambda _: None)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    server = serve(site)
    yield site
    server.shutdown()
    server.server_close()


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as pack:
        for name in names:
            pack.writestr(name, name)
    return file.getvalue()


def tarred(*names: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as pack:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            pack.addfile(info, io.BytesIO(name.encode()))
    return file.getvalue()


def recipe(site: Site, **changes):
    about = dict.fromkeys(("title", "homepage", "licence", "citation", "layout", "by_hand"), "text")
    site.files["/tr.zip"] = zipped(
        "T/img/1.jpg", "T/img/2.jpg", "T/msk/1.png", "__MACOSX/T/img/._1.jpg", "T/img/.DS_Store"
    )
    site.files["/te.tgz"] = tarred("img/3.jpg", "msk/3.png", "readme.txt")
    train = {
        "urls": [f"{site.url}/tr.zip"],
        "into": "D",
        "strip": "T",
        "expect": {"D/img/[12].jpg": 2, "D/msk/1.png": 1},
    }
    test = {
        "urls": [f"{site.url}/te.tgz"],
        "into": "D",
        "keep": ["img/*.jpg", "msk/*.png"],
        "expect": {"D/img/3.jpg": 1},
    }
    files = {"train": {**train, **changes}, "test": test}
    return recipe_from({"name": "toy", "about": about, "files": files})


def test_a_set_is_made_whole_and_then_left_alone(site: Site, tmp_path: Path) -> None:
    toy = recipe(site)
    assert State(tmp_path, toy).words() == "absent"
    assert get(toy, tmp_path, patience=QUICK)
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert [f for f in found if f.startswith("D")] == [
        "D/img/1.jpg",
        "D/img/2.jpg",
        "D/img/3.jpg",
        "D/msk/1.png",
        "D/msk/3.png",
    ]
    assert [f for f in found if not f.startswith("D")] == [".seglab/lock", ".seglab/toy.json"]
    record = State(tmp_path, toy).record()["train"]
    body = site.files["/tr.zip"]
    assert (record["bytes"], record["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    asked = len(site.asked)
    assert not get(toy, tmp_path, patience=QUICK)
    assert len(site.asked) == asked


def test_only_what_is_missing_is_fetched(site: Site, tmp_path: Path) -> None:
    toy = recipe(site)
    site.status["/te.tgz"] = 404
    with pytest.raises(ValueError, match=r"(?s)data=toy: .*HTTP 404.*in part: 3 of 4 files.*D/img/3.jpg: 0 of 1"):
        get(toy, tmp_path, patience=QUICK)
    site.status.clear()
    site.asked.clear()
    assert get(toy, tmp_path, patience=QUICK)
    assert site.asked == [("/te.tgz", "")]
    (tmp_path / "D/img/2.jpg").unlink()
    site.asked.clear()
    assert get(toy, tmp_path, patience=QUICK)
    assert site.asked == [("/tr.zip", "")]
    assert (tmp_path / "D/img/2.jpg").read_text() == "T/img/2.jpg"


def test_a_failure_leaves_no_folder_of_its_own(site: Site, tmp_path: Path) -> None:
    toy = recipe(site)
    site.status["/tr.zip"] = 404
    for _ in range(2):
        with pytest.raises(ValueError, match="HTTP 404"):
            get(toy, tmp_path, patience=QUICK)
        assert left(tmp_path) == []
    (tmp_path / ".seglab/downloads/toy").mkdir(parents=True)
    (tmp_path / ".seglab/downloads/toy/half.part").write_text("kept")
    with pytest.raises(ValueError, match="HTTP 404"):
        get(toy, tmp_path, patience=QUICK)
    assert left(tmp_path / ".seglab/downloads/toy") == ["half.part"]


def test_a_count_that_differs_from_the_recipe_is_told_once_and_does_not_repeat(
    site: Site, tmp_path: Path, caplog
) -> None:
    toy = recipe(site, expect={"D/img/[12].jpg": 9})
    assert get(toy, tmp_path, patience=QUICK)
    assert "2 files, 9 expected" in caplog.text
    assert not get(toy, tmp_path, patience=QUICK)


def test_force_replaces_what_differs(site: Site, tmp_path: Path) -> None:
    toy = recipe(site)
    (tmp_path / "D/img").mkdir(parents=True)
    (tmp_path / "D/img/1.jpg").write_text("mine")
    with pytest.raises(ValueError, match=r"download.files.train of toy: .*1 name \(D/img/1.jpg\).*force=true"):
        get(toy, tmp_path, patience=QUICK)
    assert (tmp_path / "D/img/1.jpg").read_text() == "mine"
    asked = len(site.asked)
    assert get(toy, tmp_path, force=True, patience=QUICK)
    assert (tmp_path / "D/img/1.jpg").read_text() == "T/img/1.jpg"
    assert site.asked[asked:] == [("/te.tgz", "")]  # the archive that was refused was kept, and is not fetched again


def test_a_file_that_is_no_archive_and_kept_archives(site: Site, tmp_path: Path) -> None:
    site.files["/list.txt"] = b"one\ntwo\n"
    toy = recipe(site, urls=[f"{site.url}/list.txt"], unpack=False, expect={"D/list.txt": 1})
    assert get(toy, tmp_path, keep=True, patience=QUICK)
    assert (tmp_path / "D/list.txt").read_bytes() == b"one\ntwo\n"
    assert left(State(tmp_path, toy).downloads) == ["test-te.tgz", "train-list.txt"]


@pytest.mark.parametrize("link", ["D", "D/img"])
def test_a_folder_that_is_a_link_is_refused_before_anything_is_fetched(site: Site, link: str, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    root = tmp_path / "root"
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(tmp_path / "disk")
    with pytest.raises(ValueError, match=r"download.files.train of toy: .*root/D.* is a link to '.*/disk': expected"):
        get(recipe(site), root, patience=QUICK)
    assert site.asked == []
    (root / link).unlink()
    whole = tmp_path / "link"
    whole.symlink_to(root)  # the root itself may be one
    assert get(recipe(site), whole, patience=QUICK)


def test_two_at_a_time_are_refused_and_leftovers_removed(site: Site, tmp_path: Path) -> None:
    toy = recipe(site)
    (tmp_path / ".seglab-unpack-killed").mkdir()
    with State(tmp_path, toy).lock(), pytest.raises(ValueError, match=r"another seglab.prepare is at work"):
        get(toy, tmp_path, patience=QUICK)
    assert not (tmp_path / ".seglab-unpack-killed").exists()


def test_generated_stand_ins_are_not_mixed_with_real_files(site: Site, tmp_path: Path) -> None:
    (tmp_path / "D").mkdir()
    (tmp_path / "D/.standin.json").write_text("{}")
    with pytest.raises(ValueError, match="holds generated images"):
        get(recipe(site), tmp_path, patience=QUICK)


def test_a_real_set_comes_out_as_it_went_in(site: Site, tmp_path: Path, data_root: Path) -> None:
    file = io.BytesIO()
    source = data_root / "BSDS500/data/images/val"
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as pack:
        pack.add(source, "BSR/val")
    site.files["/BSR.tgz"], site.cut = file.getvalue(), [2_000_000, 2_000_000]
    digest = hashlib.sha256(site.files["/BSR.tgz"]).hexdigest()
    got = download([f"{site.url}/BSR.tgz"], tmp_path / "BSR.tgz", sha256=digest, patience=QUICK)
    assert got.bytes == len(site.files["/BSR.tgz"])
    found = extract(tmp_path / "BSR.tgz", tmp_path / "out")
    assert len(found) == 100
    assert all(p.read_bytes() == (source / p.name).read_bytes() for p in found)
