"""Files made to do harm, as a person would meet them: on the command line. Others are in tests/unit/test_hostile.py."""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from conftest import REPO

from seglab.config import compose
from seglab.train import train

sys.path.append(str(REPO / "tests" / "integration"))  # http_site


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file that hostile content would make; the test fails if it is there at the end."""
    path = tmp_path / "harm-was-done"
    yield path
    assert not path.exists()


def test_a_checkpoint_with_code(command, tiny, mark) -> None:
    settings = [*tiny, "schedule.epochs=1"]
    folder = train(compose("train", settings))
    (folder / "DONE").unlink()
    torch.save({"epoch": 1, "model": Touch(mark)}, folder / "last.pt")
    result = command("train", *settings)
    assert result.returncode == 1
    assert "last.pt: refused, it names" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_table_with_code(command, tiny, tmp_path, mark) -> None:
    path = tmp_path / "mine.yaml"
    row = {"name": "A", "kind": "extra", "run": ["loss._target_=os.system", f"+loss.command=touch {mark}"]}
    column = {"name": "F", "set": "shapes", "metric": "mae", "better": "lower"}
    content = {"id": "mine", "paper": "p", "title": "t", "source": "s", "protocol": "x"}
    path.write_text(json.dumps({**content, "columns": [column], "rows": [row]}))
    result = command("table", f"table={path}", *[a for a in tiny if a.startswith("runtime")])
    assert result.returncode == 1
    assert "os.system" in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


def test_an_archive_that_climbs_out(command, tmp_path) -> None:
    http_site = pytest.importorskip("http_site")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as pack:
        pack.writestr("images/0001.jpg", b"x")
        pack.writestr("../../../harm.txt", b"x")
    site = http_site.Site({"/images.zip": file.getvalue(), "/masks.zip": file.getvalue()})
    server = http_site.serve(site)
    root = tmp_path / "deep" / "data"
    addresses = [f"download.files.{kind}.urls=[{site.url}/{kind}.zip]" for kind in ("images", "masks")]
    try:
        result = command("prepare", "data=ecssd", f"runtime.data_root={root}", *addresses, "retries=0", "audit=false")
    finally:
        server.shutdown()
        server.server_close()
    assert result.returncode == 1
    assert "way out of the folder" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.rglob("harm.txt"))
    assert not list(root.rglob("*.jpg"))
