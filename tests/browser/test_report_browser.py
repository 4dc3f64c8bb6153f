"""The report in a browser: it opens, sorts, switches runs, loads nothing, and runs nothing but its own script."""

from __future__ import annotations

import base64
import io
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from report_folder import EVIL_RUN, write_outputs

from seglab.report.page import claims, errata, figures, grids
from seglab.report.page.collect import collect_page
from seglab.report.page.figure import Figure
from seglab.report.page.write import write_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OWN = ("file:", "data:")
OPTIONS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync"


def picture(shade: int) -> str:
    file = io.BytesIO()
    Image.new("RGB", (40, 20), (shade, 0, 0)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium: install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install -e '.[dev]'")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS.split())
        yield started
        started.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> str:
    with pytest.MonkeyPatch.context() as patch:
        for module in (claims, errata):
            patch.setattr(module, "table_ids", lambda: ["cas_t3"])
        svg = '<svg viewBox="0 0 900 300" width="900"><rect width="900" height="300" fill="var(--line-1)"/></svg>'
        drawn = Figure("mine-noise", "Noise", "All of it", svg, "noise", "mine-small")
        patch.setattr(figures, "figures_of", lambda *a, **k: [drawn])
        shown = [
            {
                "run": f"run {i}",
                "set": "shapes",
                "ids": ["1"],
                "columns": ["image"],
                "images": [picture(60 * i)],
                "scores": {},
            }
            for i in range(3)
        ]
        patch.setattr(grids, "grids_of", lambda *a, **k: shown)
        root = write_outputs(tmp_path_factory.mktemp("report"))
        file = write_page(collect_page(root), root / "report/index.html", title="Report", runs="all", limit=20)
    return file.as_uri()


@contextmanager
def watched(browser, url: str, *, width: int = 1200, **options):
    """An open page, and what it says and asks the network for; both have to be nothing at its end."""
    context = browser.new_context(viewport={"width": width, "height": 800}, **options)
    opened = context.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: said.append(request.url) if request.url[:5] not in OWN else None)
    try:
        opened.goto(url)
        yield opened, said
        assert said == []
        if options.get("java_script_enabled", True):
            assert opened.evaluate("window.stolen") is None
    finally:
        context.close()


@pytest.fixture
def page(browser, url):
    """The page at 1200 px."""
    with watched(browser, url, color_scheme="light") as (opened, _):
        yield opened


@pytest.mark.parametrize(
    "does",
    [
        "new Image().src = 'https://example.org/a.png'",
        "fetch('http://127.0.0.1:9/a').catch(() => 0)",
        "setTimeout(() => { throw new Error('mine') }, 0)",
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)>')",
    ],
)
def test_a_page_that_asked_for_something_or_failed_would_be_found(browser, url, does: str) -> None:
    with watched(browser, url) as (opened, said):
        opened.evaluate(does)
        opened.wait_for_timeout(50)
        for _ in range(100):
            if said:
                break
            opened.wait_for_timeout(50)
        assert said
        said.clear()


def rows(page) -> list[str]:
    return page.eval_on_selector_all("#mine-small tbody th", "all => all.map(th => th.firstChild.textContent.trim())")


def test_a_click_sorts_numbers_as_numbers_and_missing_ones_last(page) -> None:
    button = page.locator("#mine-small thead tr:nth-child(2) th:nth-child(1) button")
    assert rows(page) == ["A", "B", "C", "D"]
    button.click()
    assert rows(page) == ["A", "D", "B", "C"]
    assert page.locator("#mine-small th[aria-sort]").get_attribute("aria-sort") == "descending"
    button.click()
    assert rows(page) == ["B", "D", "A", "C"]
    assert page.locator("#said").text_content() == "sorted by shapes F, ours, ascending"
    button.click()
    assert rows(page) == ["A", "B", "C", "D"]
    assert page.locator("#mine-small th[aria-sort]").count() == 0


def test_the_keyboard_sorts_and_lower_is_better_begins_with_the_lowest(page) -> None:
    page.locator("#mine-small thead tr:nth-child(2) th:nth-child(4) button").focus()
    page.keyboard.press("Enter")
    assert rows(page) == ["B", "D", "A", "C"]
    page.keyboard.press("Space")
    assert rows(page) == ["A", "D", "B", "C"]


def test_other_runs_show_other_pictures(page) -> None:
    def shown(side: str) -> str:
        return page.locator(f"#panel-{side} img").get_attribute("src")

    assert [shown("left"), shown("right")] == [picture(0), picture(60)]
    page.locator("#pick-left").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert [shown("left"), shown("right")] == [picture(120), picture(60)]
    page.locator("#pick-right").select_option("0")
    assert [shown("left"), shown("right")] == [picture(120), picture(0)]


def test_the_theme_is_toggled_and_kept(page) -> None:
    def paper() -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = paper()
    page.locator("#theme").click()
    dark = paper()
    assert dark != light
    page.reload()
    assert paper() == dark
    page.locator("#theme").click()
    assert paper() == light


def test_a_run_opens_by_its_link_and_back_comes_back(page) -> None:
    page.locator("#mine-small details.about summary").click()
    link = page.locator("#mine-small ul.runs a").first
    link.scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    link.click()
    run = page.locator("section.run.current")
    assert run.count() == 1
    assert run.locator("h2").text_content() == "shapes-unet-A-s0-0123456789"
    assert run.locator("svg").count() >= 1
    assert not page.locator("#tables").is_visible()
    page.go_back()
    page.wait_for_function("document.documentElement.dataset.view === 'all'")
    assert page.locator("#tables").is_visible()
    assert abs(page.evaluate("scrollY") - before) < 5
    page.go_forward()
    page.locator("section.run.current a", has_text="mine-small").click()
    page.wait_for_function("document.documentElement.dataset.view === 'all'")
    assert page.locator("#mine-small").is_visible()


def test_markup_in_a_name_is_text(page) -> None:
    link = page.locator("#runs .list a", has_text=EVIL_RUN)
    assert link.count() == 1
    link.click()
    assert page.locator("section.run.current h2").text_content() == EVIL_RUN
    assert page.locator("img[src='x'], script:not(head script)").count() == 0


def test_filters_leave_what_fits(page) -> None:
    page.locator("#run-search").fill("damaged")
    assert page.locator(".list tbody tr:visible").count() == 3
    page.locator("#claim-filter select[data-key=published]").select_option("does not hold")
    assert "of" in page.locator("#claim-count").text_content()
    page.locator("#show-published").uncheck()
    assert page.locator("#mine-small [data-kind=published]:visible").count() == 0
    assert page.locator("#mine-small th.group").first.get_attribute("colspan") == "2"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_tables_not_the_page(browser, url, scheme: str) -> None:
    with watched(browser, url, width=375, color_scheme=scheme) as (opened, _):
        for place in ("", "#run/shapes-unet-A-s0-0123456789"):
            opened.goto(url + place)
            assert opened.evaluate("document.documentElement.scrollWidth") <= 375
        opened.goto(url)
        opened.evaluate("document.querySelector('#mine-small .scroll').scrollLeft = 200")
        head = opened.locator("#mine-small tbody th").first.bounding_box()
        assert 0 <= head["x"] < 40


def test_without_javascript_tables_figures_and_pictures_are_there(browser, url) -> None:
    with watched(browser, url, java_script_enabled=False) as (opened, _):
        assert opened.locator("#mine-small table").is_visible()
        assert opened.locator("#mine-noise svg").is_visible()
        assert opened.locator(".grid img").count() == 3
        assert opened.locator(".grid img").first.is_visible()
        assert not opened.locator("#theme").is_visible()


def test_a_command_is_copied_or_selected(page) -> None:
    command = "python -m seglab.table table=mine scale=small"
    page.locator("details.commands summary").click()
    button = page.locator("button.copy")
    button.click()
    page.wait_for_function("['copied', 'selected, copy it with the keyboard'].includes(said.textContent)")
    if page.locator("#said").text_content() != "copied":
        assert page.evaluate("getSelection().toString()") == command
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })")
    button.click()
    page.wait_for_function("said.textContent.startsWith('selected')")
    assert page.evaluate("getSelection().toString()") == command


def test_on_paper_tables_are_whole_and_controls_are_gone(page) -> None:
    page.emulate_media(media="print")
    for gone in (".top", "nav", "#claim-filter", "button.copy"):
        assert not page.locator(gone).first.is_visible()
    assert page.locator("#mine-small table").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(width="210mm", height="297mm")[:4] == b"%PDF"
