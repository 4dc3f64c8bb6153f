"""Screenshots for the docs, by a headless Chromium: the report wide, light and dark, and narrow; the docs' first page.

python -m seglab.report && python scripts/screenshots.py outputs        writes docs/images/report-*.webp
python scripts/screenshots.py outputs --site site --to /tmp/pictures    the built docs as well, elsewhere

Needs playwright and a Chromium: ``chromium`` on the path, or ``--browser <program>``.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SHOTS = (
    ("report-light", 1280, 900, "light"),
    ("report-dark", 1280, 900, "dark"),
    ("report-narrow", 375, 812, "light"),
)
"""Name, width and height in pixels, theme."""
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outputs", type=Path, help="folder of outputs, with report/index.html, or an HTML file")
    site = ROOT / "outputs" / "site"
    parser.add_argument("--site", type=Path, default=site, help="folder of the built docs; left out if absent")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "images", help="where the pictures are written")
    parser.add_argument("--browser", default=shutil.which("chromium") or shutil.which("google-chrome"))
    options = parser.parse_args()
    page = options.outputs if options.outputs.is_file() else options.outputs / "report" / "index.html"
    if not page.is_file():
        raise SystemExit(
            f"{page}: no such file; write it with: python -m seglab.report runtime.outputs={options.outputs}"
        )
    if options.browser is None:
        raise SystemExit("no chromium on the path; name one: --browser <program>")
    shots = [(page, *shot) for shot in SHOTS]
    home = options.site / "index.html"
    if home.is_file():
        shots.append((home, "site-home", 1280, 900, "light"))
    for path in take(shots, options.to, options.browser):
        sys.stdout.write(f"{path}\n")


def take(shots: list[tuple[Path, str, int, int, str]], folder: Path, browser: str) -> list[Path]:
    """Open every page and write what the window shows.

    Args:
        shots: file, name of the picture, width, height and theme of the window.
        folder: where to write ``<name>.webp``.
        browser: the program.

    Returns:
        The pictures.
    """
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=list(FLAGS))
        for page_file, name, width, height, theme in shots:
            window = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
            window.goto(page_file.resolve().as_uri())
            window.wait_for_timeout(500)  # pictures inside the page are decoded
            picture = Image.open(io.BytesIO(window.screenshot()))
            window.close()
            files.append(folder / f"{name}.webp")
            picture.convert("RGB").save(files[-1], quality=82, method=6)
        chromium.close()
    return files


if __name__ == "__main__":
    main()
