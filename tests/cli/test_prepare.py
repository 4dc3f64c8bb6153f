"""``python -m seglab.prepare`` as a user types it, with a server on this machine."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

REPO = Path(__file__).resolve().parents[2]
place = importlib.util.spec_from_file_location("http_site", REPO / "tests/integration/http_site.py")
http_site = sys.modules.setdefault("http_site", importlib.util.module_from_spec(place))
place.loader.exec_module(http_site)


def ecssd(kind: str, count: int = 3) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as pack:
        for number in range(count):
            picture = io.BytesIO()
            if kind == "images":
                Image.effect_noise((40, 30), 64).convert("RGB").save(picture, "jpeg")
                pack.writestr(f"images/{number:04d}.jpg", picture.getvalue())
            else:
                mask = Image.new("L", (40, 30), 0)
                mask.paste(255, (number + 5, 5, 30, 25))
                mask.save(picture, "png")
                pack.writestr(f"ground_truth_mask/{number:04d}.png", picture.getvalue())
    return file.getvalue()


@pytest.fixture
def site() -> Iterator[http_site.Site]:
    site = http_site.Site({"/images.zip": ecssd("images"), "/masks.zip": ecssd("masks")})
    server = http_site.serve(site)
    yield site
    server.shutdown()
    server.server_close()


def words(site: http_site.Site, root: Path, *more: str) -> list[str]:
    addresses = [f"download.files.{kind}.urls=[{site.url}/{kind}.zip]" for kind in ("images", "masks")]
    return ["prepare", "data=ecssd", f"runtime.data_root={root}", *addresses, "retries=0", *more]


def test_a_set_is_fetched_audited_and_not_fetched_again(command, site, tmp_path: Path) -> None:
    root = tmp_path / "data"
    first = command(*words(site, root, "audit=false"))
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines() == [str(root)]
    assert "no checksum is known" in first.stderr
    assert "3 files, 1000 expected" in first.stderr
    assert len(list((root / "ECSSD/images").glob("*.jpg"))) == 3
    record = json.loads((root / ".seglab/ecssd.json").read_text())
    assert f"download.files.images.sha256={record['images']['sha256']}" in first.stderr
    asked = len(site.asked)
    again = command(*words(site, root))
    assert again.returncode in (0, 1)  # the audit may well object to 3 of 1000 images
    assert "Traceback" not in again.stderr
    assert "ECSSD" in again.stdout + again.stderr or "ecssd" in again.stdout + again.stderr
    assert len(site.asked) == asked


def test_a_wrong_checksum_exits_with_1_and_says_what_to_do(command, site, tmp_path: Path) -> None:
    done = command(*words(site, tmp_path / "data", f"download.files.images.sha256={'0' * 64}"))
    assert done.returncode == 1
    assert f"expected {'0' * 64}; put aside as" in done.stderr
    assert "by hand:" in done.stderr
    assert "Traceback" not in done.stderr
    wrong = command(*words(site, tmp_path / "data", "download.files.images.sha256=123"))
    assert "download.files.images.sha256=123: expected hexadecimal digits, 64" in wrong.stderr


def test_what_has_no_address_is_told(command, tmp_path: Path) -> None:
    done = command("prepare", "data=hku_is", "runtime.data_root=none")
    assert done.returncode == 1
    for word in ("no direct address", "HKU-IS.rar", "homepage: https://", "expected: HKU-IS/imgs/*.png", "0 of 4447"):
        assert word in done.stderr
    assert not (tmp_path / "none").exists()


def test_names_and_the_table(command, tmp_path: Path) -> None:
    wrong = command("prepare", "data=dutz")
    assert wrong.returncode == 1
    assert "did you mean 'duts'" in wrong.stderr
    table = command("prepare", f"runtime.data_root={tmp_path}")
    assert table.returncode == 0
    for line in ("voc2012 .* absent .* 2000 MB", "hku_is .* by hand", "shapes .* drawn"):
        assert re.search(line.replace(" .* ", r"\s.*"), table.stdout), line
    drawn = command("prepare", "data=shapes")
    assert drawn.returncode == 0
    assert "drawn by seglab, there is nothing to prepare" in drawn.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sod"], "sod: did you mean data=sod?"),
        (["fetch=false", "dutz"], "dutz: did you mean data=duts?"),
        (["/disk/photos"], "/disk/photos: expected key=value, e.g. data=duts"),
        (["data=sod", "runtime.data_root=~/d"], "runtime.data_root=~/d (environment variable SEGLAB_DATA): '~' is not"),
        (["data=sod", "runtime.outputs='~/d'"], f"'~' is not read here; expected runtime.outputs={Path.home()}/d"),
    ],
)
def test_what_hydra_would_not_take_gets_one_message(arguments: list[str], message: str) -> None:
    from seglab.prepare import complete

    with pytest.raises(ValueError, match=re.escape(message)):
        complete(arguments)


def test_flags_are_not_taken_for_names() -> None:
    from seglab.prepare import complete

    for arguments in (["--cfg", "job"], ["-m"], ["~eval"], ["--config-dir", "sod", "data=sod"]):
        assert set(arguments) <= set(complete(arguments))


def test_a_name_alone_and_a_root_in_the_home_folder(command, tmp_path: Path) -> None:
    done = command("prepare", "sod")
    assert (done.returncode, done.stderr) == (1, "seglab: sod: did you mean data=sod?\n")
    done = command("prepare", env={"SEGLAB_DATA": "~/d"})
    assert done.returncode == 1
    assert "runtime.data_root=~/d (environment variable SEGLAB_DATA): '~' is not read here" in done.stderr
    assert not (tmp_path / "~").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(command, site, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir(mode=0o555)
    done = command(*words(site, root))
    assert done.returncode == 1
    assert f"runtime.data_root={root} cannot be written" in done.stderr


def test_a_root_that_is_a_file(command, site, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    done = command(*words(site, tmp_path / "data"))
    assert done.returncode == 1
    assert "cannot be written: Not a directory" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_killed_download_goes_on(command, site, number: int, tmp_path: Path) -> None:
    root, folder = tmp_path / "data", tmp_path / "data/.seglab/downloads/ecssd"
    site.files["/images.zip"] = ecssd("images", 40)
    site.cut, site.stall = [20_000], 60
    process = subprocess.Popen(
        [sys.executable, "-m", "seglab.prepare", *words(site, root)[1:], "audit=false"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        stderr=subprocess.PIPE,
        # Started in the background of a shell, these tests ignore Ctrl-C, and so would the command.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    part = folder / "images-images.zip.part"
    for _ in range(600):
        if part.is_file() or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGTERM: 75, signal.SIGINT: 130}.get(number, -number), errors
    kept = part.stat().st_size
    site.asked.clear()
    done = command(*words(site, root, "audit=false"))
    assert done.returncode == 0, done.stderr
    assert site.asked[0] == ("/images.zip", f"bytes={kept}-" if kept else "")
    assert len(list((root / "ECSSD/images").glob("*.jpg"))) == 40
    assert sorted(p.name for p in (root / ".seglab").iterdir()) == ["ecssd.json", "lock"]
