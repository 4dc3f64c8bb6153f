"""Qualitative results of runs, cut from the ``samples/epoch-*.png`` in their folders: image, mask, map, prediction.

One runnable line: ``python -c "from pathlib import Path; from seglab.run import Run; from seglab.report.page.grids
import grids_of; print(grids_of([Run(p) for p in Path('outputs/runs').iterdir()], limit_bytes=10**6))"``.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import DictConfig, OmegaConf

from seglab.report.page.pictures import encoded
from seglab.run import Run
from seglab.words import some

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)

GAP, BAND, CELL = 6, 18, 128
"""Of the grids that :func:`seglab.data.grid.save_grid` draws, pixels; a test holds them to it."""
MOST = 6
"""Images of a run at the most."""
BYTES = 9000
"""About what one row of a grid takes on the page."""
QUALITY = 80


def grids_of(runs: Sequence[Run], *, limit_bytes: int) -> list[dict]:
    """A strip of pictures for each held-out image of each run.

    Args:
        runs: finished ones, each once.
        limit_bytes: of all pictures; over it runs show fewer images, then the last runs none. The log says so.

    Returns:
        For every run that has pictures a dict of ``run`` (name of its folder), ``set`` (what the images are of),
        ``epoch``, ``ids`` (of the images, where the grid says them, else their places), ``named`` (whether it does),
        ``columns`` (what a strip shows from left to right), ``images`` (one data URI of WebP for each id), ``alts``
        (one text for each image), ``size`` (width and height of each image, pixels), and ``scores``
        (``{"duts: mae": 0.05}``).
    """
    files = {run: file for run in runs if (file := _newest(run)) is not None}
    if not files or limit_bytes <= 0:
        return []
    most = max(1, min(MOST, limit_bytes // (BYTES * len(files))))
    if most < MOST:
        log.info("pictures of %d runs: %d images of each, so that the page stays small", len(files), most)
    found = []
    for run, file in files.items():
        try:
            found.append(grid_of(run, file, most=most))
        except Exception as error:  # a damaged file costs its own pictures
            log.warning("%s: its pictures are left out: %s: %s", run.path.name, type(error).__name__, error)
    return _within(found, limit_bytes)


def grid_of(run: Run, file: Path, *, most: int = MOST) -> dict[str, Any]:
    """The strips of one run; see :func:`grids_of`.

    Args:
        run: its config and numbers are read.
        file: a grid of its ``samples``.
        most: images at the most.

    Raises:
        ValueError: the picture has another shape than such grids have.
    """
    from PIL import Image

    cfg = settings_of(run)
    with Image.open(file) as opened:
        told = _told(opened)
        page = opened.convert("RGB")
    strips, across = cut(page)
    columns = told.get("columns")
    if not isinstance(columns, list) or len(columns) != across:
        columns = columns_of(cfg, across)
    columns = [str(name) for name in columns]
    names = [str(name) for name in told.get("ids") or ()] if isinstance(told.get("ids"), list) else []
    ids = [names[i] if i < len(names) else f"held-out image {i + 1}" for i in range(len(strips))][:most]
    strips = strips[:most]
    data, epoch = str(OmegaConf.select(cfg, "data.name")), int(file.stem.rpartition("-")[2])
    return {
        "run": run.path.name,
        "set": f"{data}, images held out of the training part",
        "epoch": epoch,
        "ids": ids,
        "named": len(names) >= len(ids),
        "columns": columns,
        "images": [encoded(strip, quality=QUALITY) for strip in strips],
        "alts": [f"{one} of {data}: {', '.join(columns)}; run {run.path.name}, epoch {epoch}" for one in ids],
        "size": list(strips[0].size),
        "scores": scores_of(run, cfg),
    }


def cut(page: Image.Image) -> tuple[list[Image.Image], int]:
    """Cut a grid into its rows, without the band of titles above them.

    Args:
        page: as :func:`seglab.data.grid.save_grid` draws it.

    Returns:
        The rows, of one height, with the line of text below the pictures where a row has one; and how many pictures are
        in a row.

    Raises:
        ValueError: another shape.
    """
    across, odd = divmod(page.width - GAP, CELL + GAP)
    rows, over = divmod(page.height - BAND - GAP, CELL + BAND + GAP)
    if odd or over or across < 1 or rows < 1:
        raise ValueError(f"a picture of {page.width} x {page.height} pixels: expected a grid of cells of {CELL} pixels")
    tops = [BAND + GAP + j * (CELL + BAND + GAP) for j in range(rows)]
    bands = [page.crop((GAP, top + CELL + 1, page.width - GAP, top + CELL + BAND)) for top in tops]
    tall = CELL + (BAND if any(low < 255 for band in bands for low, _ in band.getextrema()) else 0)
    return [page.crop((GAP, top, page.width - GAP, top + tall)) for top in tops], across


def columns_of(cfg: DictConfig, across: int) -> list[str]:
    """What the pictures of a row show, as :func:`seglab.samples.save_samples` draws them for a run.

    Args:
        cfg: of the run.
        across: pictures in a row.
    """
    fixed = OmegaConf.select(cfg, "eval.protocol.fixed")
    adaptive = OmegaConf.select(cfg, "eval.protocol.adaptive")
    if across == 3:
        return ["image", "mask", "classes" if OmegaConf.select(cfg, "eval.task") == "semantic" else "regions"]
    if across == 4:
        cut_at = f"map > {fixed:g}" if adaptive is None and fixed is not None else "map > 2 mean"
        return ["image", "mask", "map", cut_at]
    return [f"picture {i + 1}" for i in range(across)]


def settings_of(run: Run) -> DictConfig:
    """The config of a run, read by the fast parser: a page may show hundreds of runs."""
    text = (run.path / "config.yaml").read_text(encoding="utf-8")
    return OmegaConf.create(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def scores_of(run: Run, cfg: DictConfig) -> dict[str, float]:
    """The metrics that a run watches, on its test sets and on the images held out: ``{"duts: mae": 0.05}``."""
    watched = list(OmegaConf.select(cfg, "eval.watch") or ())
    found: dict[str, float] = {}
    journal = run.path / "log.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines() if journal.is_file() else []
    measured = [line for line in lines if '"val_' in line]
    if measured:
        last = json.loads(measured[-1])
        found |= {f"held out: {name}": last[f"val_{name}"] for name in watched if f"val_{name}" in last}
    for file in sorted((run.path / "eval").glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        metrics = content.get("metrics") or {}
        found |= {f"{content.get('set', file.stem)}: {name}": metrics[name] for name in watched if name in metrics}
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}


def _newest(run: Run) -> Path | None:
    return max((run.path / "samples").glob("epoch-*.png"), default=None, key=lambda file: file.name)


def _told(picture: Image.Image) -> dict[str, Any]:
    """What a grid says of itself in a text chunk ``seglab``: its columns and the ids of its images; often nothing."""
    text = getattr(picture, "text", {}).get("seglab")
    try:
        content = json.loads(text) if text else {}
    except ValueError:  # a chunk of another program
        return {}
    return content if isinstance(content, dict) else {}


def _within(found: list[dict], limit_bytes: int) -> list[dict]:
    """Fewer images of the runs that have most, then fewer runs, until all fit."""
    gone: list[str] = []

    def size() -> int:
        return sum(len(image) for one in found for image in one["images"])

    while found and size() > limit_bytes:
        most = max(len(one["images"]) for one in found)
        if most > 1:
            for one in found:
                if len(one["images"]) == most:
                    for key in ("images", "ids", "alts"):
                        one[key].pop()
            log.info("pictures of runs: %d images of each at the most, so that the page stays small", most - 1)
        else:
            gone.append(found.pop()["run"])
    if gone:
        words = some(gone).replace("name", "run", 1)
        log.warning("pictures of %s are left out: the page would be too large", words)
    return found
