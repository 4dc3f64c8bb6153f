"""Downloads from a local server that breaks, lies and changes its mind."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_site import Site, serve

from seglab.fetch.download import download
from seglab.fetch.task import Patience

BODY = os.urandom(1 << 21)
SHA = hashlib.sha256(BODY).hexdigest()
QUICK = Patience(timeout=0.5, retries=2, pause=0.0, sleep=lambda _: None)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site({"/a.bin": BODY})
    server = serve(site)
    yield site
    server.shutdown()
    server.server_close()


def fetch(site: Site, path: Path, *urls: str, **options):
    return download([site.url + url for url in urls or ["/a.bin"]], path, patience=QUICK, **options)


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_whole_file_is_fetched_once(site: Site, tmp_path: Path) -> None:
    got = fetch(site, tmp_path / "a", sha256=SHA, size=len(BODY))
    assert (got.bytes, got.sha256, got.url) == (len(BODY), SHA, f"{site.url}/a.bin")
    assert left(tmp_path) == ["a"]
    assert fetch(site, tmp_path / "a", sha256=SHA).url == ""
    assert len(site.asked) == 1


def test_a_cut_connection_is_resumed_where_it_broke(site: Site, tmp_path: Path) -> None:
    site.cut = [700_001, 500_000]
    assert fetch(site, tmp_path / "a").sha256 == SHA  # no checksum is known: the parts have to fit by themselves
    assert [asked for _, asked in site.asked] == ["", "bytes=700001-", "bytes=1200001-"]


def test_another_process_goes_on_with_the_part(site: Site, tmp_path: Path) -> None:
    site.cut = [700_001] + [0] * 10
    with pytest.raises(ValueError, match="700001 bytes are kept, the same command goes on"):
        fetch(site, tmp_path / "a")
    assert left(tmp_path) == ["a.part", "a.part.json"]
    site.cut, site.asked = [], []
    assert fetch(site, tmp_path / "a").sha256 == SHA
    assert site.asked == [("/a.bin", "bytes=700001-")]


def test_a_server_without_ranges_starts_again(site: Site, tmp_path: Path) -> None:
    site.ranges, site.cut = False, [700_001]
    assert fetch(site, tmp_path / "a", sha256=SHA).bytes == len(BODY)


@pytest.mark.parametrize("tagged", [True, False])
def test_a_file_that_changed_in_between_is_fetched_from_the_start(site: Site, tagged: bool, tmp_path: Path) -> None:
    if not tagged:
        site.tags["/a.bin"] = None
    site.cut = [700_001] + [0] * 10
    with pytest.raises(ValueError, match="could not be fetched"):
        fetch(site, tmp_path / "a")
    new = os.urandom(len(BODY) + 5)
    site.files["/a.bin"], site.cut = new, []
    assert fetch(site, tmp_path / "a").sha256 == hashlib.sha256(new).hexdigest()


def test_a_part_of_unknown_origin_is_not_trusted(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(b"of something else")
    assert fetch(site, tmp_path / "a").sha256 == SHA
    (tmp_path / "b.part").write_bytes(b"of something else")
    (tmp_path / "b.part.json").write_text('{"url": "half a no')
    assert fetch(site, tmp_path / "b").sha256 == SHA


def test_a_wrong_part_that_was_resumed_is_fetched_again(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(b"x" * 1000)
    note = {"url": f"{site.url}/a.bin", "etag": f'"{hash(BODY)}"', "modified": "", "total": len(BODY)}
    (tmp_path / "a.part.json").write_text(json.dumps(note))
    assert fetch(site, tmp_path / "a", sha256=SHA).sha256 == SHA
    assert left(tmp_path) == ["a"]


def test_a_part_that_is_whole_is_only_checked(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(BODY)
    note = {"url": f"{site.url}/a.bin", "etag": f'"{hash(BODY)}"', "modified": "", "total": len(BODY)}
    for total in (len(BODY), None):
        (tmp_path / "a.part.json").write_text(json.dumps({**note, "total": total}))
        assert fetch(site, tmp_path / "a").sha256 == SHA
        os.replace(tmp_path / "a", tmp_path / "a.part")
    assert site.asked == [("/a.bin", f"bytes={len(BODY)}-")]


def test_a_wrong_checksum_puts_the_file_aside(site: Site, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"sha256 {SHA}, expected {'0' * 64}; put aside as '.*a.wrong'"):
        fetch(site, tmp_path / "a", sha256="0" * 64)
    with pytest.raises(ValueError, match=r"md5 .* expected"):
        fetch(site, tmp_path / "a", md5="0" * 32)
    assert left(tmp_path) == ["a.wrong"]


def test_mirrors_are_tried_in_order(site: Site, tmp_path: Path) -> None:
    site.status["/gone"] = 404
    site.files["/other"] = b"changed"
    urls = ["http://127.0.0.1:9/refused", f"{site.url}/gone", f"{site.url}/other", f"{site.url}/a.bin"]
    got = download(urls, tmp_path / "a", sha256=SHA, patience=QUICK)
    assert got.url == urls[-1]
    with pytest.raises(ValueError, match=r"(?s)refused.*given up.*gone: HTTP 404.*other: sha256"):
        download(urls[:3], tmp_path / "b", sha256=SHA, patience=QUICK)


def test_a_mirror_goes_on_only_where_a_checksum_tells(site: Site, tmp_path: Path) -> None:
    site.files["/b.bin"] = BODY
    site.cut = [700_001, 0, 0, 0]
    assert fetch(site, tmp_path / "a", "/a.bin", "/b.bin", sha256=SHA).sha256 == SHA
    assert site.asked[-1] == ("/b.bin", "bytes=700001-")
    site.cut = [700_001, 0, 0, 0]
    assert fetch(site, tmp_path / "b", "/a.bin", "/b.bin").sha256 == SHA
    assert site.asked[-1] == ("/b.bin", "")


def test_an_error_of_the_moment_is_tried_again(site: Site, tmp_path: Path) -> None:
    site.status["/a.bin"] = 503
    pauses = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            site.status.clear()

    patience = Patience(timeout=0.5, retries=4, pause=1.0, sleep=sleep)
    assert download([f"{site.url}/a.bin"], tmp_path / "a", patience=patience).sha256 == SHA
    assert pauses == [1, 2, 4]


def test_a_page_in_place_of_the_file_is_refused(site: Site, tmp_path: Path) -> None:
    site.files |= {"/page": b"\n <!DOCTYPE html><html>log in</html>", "/typed": b"please log in"}
    site.kind["/typed"] = "text/html; charset=utf-8"
    for page in ("/page", "/typed"):
        with pytest.raises(ValueError, match="a web page instead of the file"):
            fetch(site, tmp_path / "a", page)
    assert left(tmp_path) == []


def test_a_wrong_length_is_found(site: Site, tmp_path: Path) -> None:
    site.length["/a.bin"] = len(BODY) + 10
    with pytest.raises(
        ValueError, match=rf"cut off at {len(BODY)} of {len(BODY) + 10} bytes \(given up\)|from the start \(given up\)"
    ):
        fetch(site, tmp_path / "a")
    site.length["/a.bin"] = len(BODY) - 10
    with pytest.raises(ValueError, match="another file"):
        fetch(site, tmp_path / "b", size=len(BODY))


def test_a_server_that_falls_silent_is_left(site: Site, tmp_path: Path) -> None:
    site.cut, site.stall = [700_001], 3.0
    patience = Patience(timeout=0.2, retries=2, pause=0.0, sleep=lambda _: None)
    assert download([f"{site.url}/a.bin"], tmp_path / "a", patience=patience).sha256 == SHA
    assert site.asked[1] == ("/a.bin", "bytes=700001-")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://localhost/x", "data:text/plain,x"])
def test_other_schemes_are_refused(site: Site, target: str, tmp_path: Path) -> None:
    site.redirect["/jump"] = target
    for url in (f"{site.url}/jump", target):
        with pytest.raises(ValueError, match=r"expected an address that starts with http|is not allowed"):
            download([url], tmp_path / "a", patience=QUICK)
    assert left(tmp_path) == []


def test_a_redirect_to_http_is_followed(site: Site, tmp_path: Path) -> None:
    site.redirect["/jump"] = "/a.bin"
    assert fetch(site, tmp_path / "a", "/jump").sha256 == SHA
    site.redirect["/round"] = "/round"
    with pytest.raises(ValueError, match="could not be fetched"):
        fetch(site, tmp_path / "b", "/round")


def test_https_is_not_left_without_a_checksum() -> None:
    import urllib.request
    from email.message import Message

    from seglab.fetch.http import Refused, _Redirects

    request = urllib.request.Request("https://example.org/a.zip")
    arguments = (request, io.BytesIO(), 302, "Found", Message(), "http://example.org/a.zip")
    with pytest.raises(Refused, match=r"from https to 'http://example.org/a.zip' and no checksum"):
        _Redirects(checked=False).redirect_request(*arguments)
    assert _Redirects(checked=True).redirect_request(*arguments).full_url == "http://example.org/a.zip"


def test_a_full_disk_is_told_before_anything_is_fetched(site: Site, tmp_path: Path, monkeypatch) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1 << 20}))
    with pytest.raises(OSError, match="not enough space"):
        fetch(site, tmp_path / "a")
