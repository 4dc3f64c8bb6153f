"""A contact sheet of suspects: a row a finding, images with their masks outlined, pairs that are alike side by side.

One runnable line: ``python -c "from seglab.audit.sheet import draw_sheet; help(draw_sheet)"``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from seglab.atomic import replacing
from seglab.audit.finding import Example, Finding
from seglab.audit.subject import Entry
from seglab.data.files import FORMATS

if TYPE_CHECKING:
    from seglab.audit.report import AuditReport

CELL = (170, 150)
"""Width and height in pixels of the place of an image."""

COLUMNS = 6
ROWS = 24
TEXT = 13
MARGIN = 10
INK, GREY, PAPER, GROUND = (20, 20, 20), (110, 110, 110), (255, 255, 255), (232, 232, 232)
COLOURS = {"error": (190, 20, 30), "warning": (180, 100, 0), "note": (60, 60, 60)}
OUTLINE = (255, 0, 90)
QUIET = frozenset({"mask-styles", "grey", "palette", "skipped", "unlisted", "known-bad", "metadata"})
"""Notes that are not worth a picture."""


def draw_sheet(report: AuditReport, path: Path) -> bool:
    """Draw the sheet.

    Args:
        report: the audit; findings with images are drawn, at most 6 images of each.
        path: PNG file to write.

    Returns:
        False, with nothing written, where no finding has an image.
    """
    rows = [(f, [e for e in f.examples if e.entries][:COLUMNS]) for f in report.findings if f.check not in QUIET]
    rows = [(f, _fitting(examples)) for f, examples in rows if examples][:ROWS]
    if not rows:
        return False
    label, line = TEXT + 12, TEXT + 4
    height = CELL[1] + label + 2 * line + MARGIN
    sheet = Image.new("RGB", (COLUMNS * (CELL[0] + MARGIN) + MARGIN, height * len(rows) + 40), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
    pen.text((MARGIN, MARGIN), report.heading(), INK, ImageFont.load_default(TEXT + 3))
    for number, (row, examples) in enumerate(rows):
        top = 40 + number * height
        _draw_row(sheet, pen, font, row, examples, top)
    with replacing(path) as temporary:
        sheet.quantize(255, dither=Image.Dither.NONE).save(temporary, format="PNG", optimize=True)
    return True


def _fitting(examples: list[Example]) -> list[Example]:
    """As many examples as fit into a row."""
    fitting, used = [], 0
    for example in examples:
        used += len(example.entries)
        if used > COLUMNS:
            break
        fitting.append(example)
    return fitting


def _draw_row(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont,
    row: Finding,
    examples: list[Example],
    top: int,
) -> None:
    title = f"{row.level}: {row.what}{f' ({row.part})' if row.part else ''}, {row.count}"
    pen.text((MARGIN, top), title, COLOURS[row.level], font)
    left = MARGIN
    for example in examples:
        start = left
        for entry in example.entries:
            sheet.paste(_thumbnail(entry), (left, top + TEXT + 8))
            left += CELL[0] + MARGIN
        room = left - start - MARGIN
        under = top + TEXT + 8 + CELL[1] + 2
        if len(example.entries) > 1:
            pen.rectangle((start - 2, top + TEXT + 6, start + room + 1, under - 1), outline=COLOURS[row.level])
        pen.text((start, under), _cut(example.id, pen, font, room), INK, font)
        pen.text((start, under + TEXT + 3), _cut(example.detail, pen, font, room), GREY, font)


def _thumbnail(entry: Entry) -> Image.Image:
    """The image of an entry, upright, its mask outlined; what cannot be read is a grey box that says so."""
    cell = Image.new("RGB", CELL, GROUND)
    image = _small(entry.image, mask=False)
    mask = _small(entry.mask, mask=True)
    if image is None:
        text = "no image" if entry.image is None else "unreadable"
        if mask is not None:
            cell.paste(mask.convert("RGB"), _middle(mask))
        return _banner(cell, text if mask is None else f"{text}; its mask:")
    if mask is not None:
        inside = np.asarray(mask.resize(image.size, Image.Resampling.NEAREST)).astype(np.int16)
        edge = np.zeros(inside.shape, bool)
        edge[1:] |= inside[1:] != inside[:-1]
        edge[:, 1:] |= inside[:, 1:] != inside[:, :-1]
        pixels = np.array(image)
        pixels[edge] = OUTLINE
        image = Image.fromarray(pixels)
    cell.paste(image, _middle(image))
    unread = entry.mask is not None and mask is None and entry.mask.suffix != ".mat"
    return _banner(cell, "mask not readable") if unread else cell


def _banner(cell: Image.Image, text: str) -> Image.Image:
    """Words on a light strip across the top."""
    pen = ImageDraw.Draw(cell)
    pen.rectangle((0, 0, CELL[0], TEXT + 8), fill=PAPER)
    pen.text((6, 3), text, COLOURS["error"], ImageFont.load_default(TEXT))
    return cell


def _small(path: Path | None, *, mask: bool) -> Image.Image | None:
    """A file scaled to fit the cell; None where it cannot be read or is no picture."""
    if path is None:
        return None
    try:
        with Image.open(path, formats=FORMATS) as image:
            if not mask:
                image.draft("RGB", (2 * CELL[0], 2 * CELL[1]))
                picture = ImageOps.exif_transpose(image)
                deep = picture.mode.startswith(("I", "F"))
                picture = _eight_bits(picture) if deep else picture.convert("RGB")
            else:
                picture = Image.fromarray(np.asarray(image.convert("L") if image.mode != "P" else image, np.uint8))
                picture = picture.point(lambda v: 255 if v == 1 and max(picture.getextrema()) == 1 else v)
    except Exception:  # the finding beside it says why; here it is drawn as a box
        return None
    return ImageOps.contain(picture, CELL, Image.Resampling.NEAREST if mask else Image.Resampling.BILINEAR)


def _eight_bits(picture: Image.Image) -> Image.Image:
    values = np.asarray(picture).astype(np.float64)
    top = max(1.0, float(values.max())) if np.isfinite(values).all() else 1.0
    return Image.fromarray((np.nan_to_num(values) / top * 255).clip(0, 255).astype(np.uint8)).convert("RGB")


def _middle(picture: Image.Image) -> tuple[int, int]:
    return (CELL[0] - picture.width) // 2, (CELL[1] - picture.height) // 2


def _cut(text: str, pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, room: int) -> str:
    """As much of a text as fits."""
    text = text.replace("\n", " ")
    if pen.textlength(text, font) <= room:
        return text
    while text and pen.textlength(f"{text}...", font) > room:
        text = text[:-1]
    return f"{text}..."
