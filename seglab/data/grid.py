"""Pictures side by side in one PNG: images, masks, probability maps, predictions.

One runnable line: ``python -c "import numpy as np; from seglab.data.grid import save_grid;
save_grid({'mask': [np.eye(8, dtype=np.uint8)]}, 'grid.png')"``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from seglab.atomic import replacing
from seglab.data.palette import in_colours
from seglab.data.sample import IGNORE

_GAP, _BAND, _FRAME = 6, 18, 3
_PAPER, _INK, _MARK, _IGNORED = (255, 255, 255), (40, 40, 40), (214, 39, 40), (150, 110, 190)


def save_grid(
    columns: Mapping[str, Sequence[np.ndarray]],
    path: Path | str,
    *,
    titles: Sequence[str] | None = None,
    marked: Sequence[bool] | None = None,
    note: str = "marked",
    cell: int = 128,
    told: Mapping[str, Any] | None = None,
) -> Path:
    """Draw one row per picture and one labelled column per name.

    Args:
        columns: name -> arrays, as many in every column: uint8 [H,W,3] colour, integer or bool [H,W] labels (0 black
            and 1 white, or a colour for each of more; 255 and negative = ignore, violet), or float [H,W] in 0..1.
        path: PNG file; its folder is made.
        titles: one line of text under each row's first picture, e.g. the ids.
        marked: rows to frame in red, e.g. those whose mask was exchanged.
        note: word added to the title of marked rows.
        cell: longer side of a picture in the grid, pixels.
        told: what the file says of itself to other programs, e.g. the ids of its images; stored as JSON in the text
            chunk ``seglab`` of a PNG.

    Returns:
        The path.

    Raises:
        ValueError: no column, or columns of unequal length.
    """
    lengths = {name: len(arrays) for name, arrays in columns.items()}
    if not lengths or len(set(lengths.values())) != 1 or not next(iter(lengths.values())):
        raise ValueError(f"grid '{path}': expected columns of one length, 1 or more, not {lengths}")
    rows = next(iter(lengths.values()))
    marked = [False] * rows if marked is None else list(marked)
    height, width = cell + _BAND + _GAP, cell + _GAP
    page = Image.new("RGB", (width * len(columns) + _GAP, height * rows + _BAND + _GAP), _PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for i, (name, arrays) in enumerate(columns.items()):
        left = _GAP + i * width
        pen.text((left, 3), _fit(name, font, cell), fill=_INK, font=font)
        for j, array in enumerate(arrays):
            picture = _picture(array, cell)
            corner = (left + (cell - picture.width) // 2, _BAND + _GAP + j * height + (cell - picture.height) // 2)
            page.paste(picture, corner)
    for j, is_marked in enumerate(marked):
        top = _BAND + _GAP + j * height
        text = "" if titles is None else str(titles[j])
        if is_marked:
            pen.rectangle((_GAP - 3, top - 3, page.width - _GAP + 2, top + cell + 2), outline=_MARK, width=_FRAME)
            text = f"{text} ({note})" if text else note
        room = page.width - 2 * _GAP
        pen.text((_GAP, top + cell + 3), _fit(text, font, room), fill=_MARK if is_marked else _INK, font=font)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        kind = Image.registered_extensions()[path.suffix.lower()]
        page.save(temporary, format=kind, **({"pnginfo": _text(told)} if told is not None and kind == "PNG" else {}))
    return path


def _text(told: Mapping[str, Any]) -> PngInfo:
    chunks = PngInfo()
    chunks.add_text("seglab", json.dumps(told))
    return chunks


def _fit(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: int) -> str:
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "...") > room:
        text = text[:-1]
    return text + "..."


def _picture(array: np.ndarray, cell: int) -> Image.Image:
    """An array as a colour picture whose longer side is ``cell``."""
    array = np.asarray(array)
    if array.ndim == 3:
        colour, how = array.astype(np.uint8), Image.Resampling.BILINEAR
    elif np.issubdtype(array.dtype, np.floating):
        grey = (np.clip(np.nan_to_num(array), 0, 1) * 255 + 0.5).astype(np.uint8)
        colour, how = np.repeat(grey[..., None], 3, axis=2), Image.Resampling.BILINEAR
    else:
        labels = array.astype(np.int64)
        ignored = (labels == IGNORE) | (labels < 0)
        if int(labels[~ignored].max(initial=1)) > 1:
            colour = in_colours(np.where(ignored, 0, labels))
        else:
            colour = np.repeat((np.where(ignored, 0, labels) * 255)[..., None], 3, axis=2).astype(np.uint8)
        colour[ignored] = _IGNORED
        how = Image.Resampling.NEAREST
    scale = cell / max(colour.shape[:2])
    size = (max(1, round(colour.shape[1] * scale)), max(1, round(colour.shape[0] * scale)))
    return Image.fromarray(colour).resize(size, how)
