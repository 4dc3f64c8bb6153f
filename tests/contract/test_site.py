"""The documentation as a site: no warning when built, nothing fetched from elsewhere, search from files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from conftest import REPO

pytest.importorskip("mkdocs", reason="the site needs pip install -e '.[docs]'")
pytest.importorskip("material", reason="the site needs pip install -e '.[docs]'")
pytest.importorskip("mkdocstrings", reason="the site needs pip install -e '.[docs]'")
pytest.importorskip("latex2mathml", reason="the site needs pip install -e '.[docs]'")

FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}
"""Tag -> attribute whose address a browser fetches by itself."""

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Page(HTMLParser):
    """Addresses and anchors of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.formulas = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if (address := given.get(FETCHED.get(tag, ""))) and given.get("rel") not in ("canonical", "prev", "next"):
            self.fetched.append(address)
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        self.anchors |= {str(given[key]) for key in ("id", "name") if given.get(key)}
        self.formulas += tag == "math"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built strictly: a warning fails."""
    folder = tmp_path_factory.mktemp("site") / "site"
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "CUDA_VISIBLE_DEVICES": ""}
    arguments = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(
        arguments, cwd=REPO, env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "WARNING" not in done.stderr, done.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}


def test_every_document_is_a_page(site: Path) -> None:
    for path in (REPO / "docs").rglob("*.md"):
        assert (site / path.relative_to(REPO / "docs")).with_suffix(".html").is_file(), path


def test_every_room_has_a_page_that_documents_each_of_its_modules(site: Path) -> None:
    rooms = {path.parent for path in (REPO / "seglab").rglob("__init__.py")} - {REPO / "seglab"}
    for room in rooms:
        modules = [path.stem for path in room.glob("*.py") if not path.stem.startswith("__")]
        if not modules:
            continue
        name = ".".join(room.relative_to(REPO / "seglab").parts)
        text = (site / "api" / f"{name}.html").read_text(encoding="utf-8")
        missing = [module for module in modules if f'id="seglab.{name}.{module}"' not in text]
        assert not missing, f"{name}: {missing}"
    core = (site / "api" / "core.html").read_text(encoding="utf-8")
    assert 'id="seglab.trainer.Trainer"' in core
    assert 'id="seglab.train.train"' in (site / "api" / "commands.html").read_text(encoding="utf-8")


def test_nothing_is_fetched_from_elsewhere(pages: dict[Path, Page], site: Path) -> None:
    assert sum(len(page.fetched) for page in pages.values()) > 100
    for path, page in pages.items():
        for address in page.fetched:
            parts = urlsplit(address)
            assert not parts.netloc, f"{path.name}: {address}"
            if parts.scheme != "data":
                assert (path.parent / unquote(parts.path)).exists() or path.name == "404.html", (
                    f"{path.name}: {address}"
                )
    for style in site.rglob("*.css"):
        found = re.findall(r"(?:@import\s*|url\()\s*[\"']?((?:https?:)?//[^\"')]+)", style.read_text(encoding="utf-8"))
        assert not found, f"{style.name}: {found}"


def test_every_link_and_anchor_leads_somewhere(pages: dict[Path, Page]) -> None:
    by_place = {path.resolve(): page for path, page in pages.items()}
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            assert target.exists(), f"{path.name}: {link}"
            if parts.fragment and target in by_place and not parts.fragment.startswith("__"):
                assert unquote(parts.fragment) in by_place[target].anchors, f"{path.name}: {link}"


def test_formulas_are_there_without_a_script(pages: dict[Path, Page], site: Path) -> None:
    assert pages[site / "metrics.html"].formulas > 100
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert "arithmatex" not in text, path.name
        assert not re.search(r"\\\((?:[^<>]*?)\\\)", text.partition("<article")[2]), path.name


def test_notes_of_the_tables_are_on_the_pages_of_the_papers(site: Path) -> None:
    assert "almost certainly 0.052" in (site / "papers" / "cas.html").read_text(encoding="utf-8")
    assert "table=reg_t3" in (site / "papers" / "regularized.html").read_text(encoding="utf-8")
    assert "table=segnet_t2" in (site / "papers" / "segnet.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """Headless Chromium."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with api.sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


def test_opened_from_the_disk_it_is_quiet_and_its_search_finds(browser, site: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    asked, told = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    for name in ("index.html", "metrics.html", "api/losses.html", "papers/cas.html"):
        page.goto((site / name).as_uri())
    page.fill("input.md-search__input", "uniformer")
    page.wait_for_selector(".md-search-result__item a", timeout=30_000)
    assert "uniformer" in page.inner_text(".md-search-result__list").lower()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))] == []
    assert told == []


@pytest.mark.parametrize("width", [375, 1280])
def test_no_page_is_wider_than_the_screen(browser, site: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    for path in [*sorted(site.glob("*.html")), *sorted(site.glob("*/*.html"))]:
        page.goto(path.as_uri(), wait_until="domcontentloaded")
        found = page.evaluate("document.documentElement.scrollWidth")
        assert found <= width, f"{path.relative_to(site)}: {found} on a screen of {width}"
    page.close()
