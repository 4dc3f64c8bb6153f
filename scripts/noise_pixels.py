"""Share of pixels that each type of noise makes wrong, as a Markdown table, and a picture of every kind.

SEGLAB_DATA=<folder of the data> python scripts/noise_pixels.py --picture docs/images/noise.png > pixels.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seglab.config import compose
from seglab.data.arrays import ArrayDataset
from seglab.data.build import label_kind, load_part
from seglab.data.grid import save_grid
from seglab.data.noise import Ambiguous, Boundary, Drop, Flip, Noise, Region
from seglab.preview import differences

RATES = (0.1, 0.3, 0.5)
KINDS = {
    "flip": lambda rate: Flip(rate=rate),
    "boundary, dilate": lambda rate: Boundary(rate=rate, kind="dilate"),
    "boundary, erode": lambda rate: Boundary(rate=rate, kind="erode"),
    "boundary, polygonise": lambda rate: Boundary(rate=rate, kind="polygonise"),
    "boundary, mixed": lambda rate: Boundary(rate=rate),
    "region, merge": lambda rate: Region(rate=rate, kind="merge"),
    "region, split": lambda rate: Region(rate=rate, kind="split"),
    "region, mixed": lambda rate: Region(rate=rate),
    "drop": lambda rate: Drop(rate=rate),
    "drop, keep_one": lambda rate: Drop(rate=rate, keep_one=True),
    "ambiguous": lambda rate: Ambiguous(rate=rate),
}
PICTURED = ("dilate", "erode", "polygonise", "merge", "split", "drop", "ambiguous")


def training_images(name: str, size: int, outputs: str) -> tuple[ArrayDataset, int, int | None]:
    """Training images of a data set with the kind of their labels."""
    cfg = compose("train", [f"data={name}", f"data.size={size}", f"runtime.outputs={outputs}"])
    return load_part(cfg.data, cfg.runtime, "train"), *label_kind(cfg.data)


def report(data: ArrayDataset, noise: Noise) -> dict[str, object]:
    """What a noise did to two-class masks, as in ``noise.json``."""
    chosen = noise.choose(len(data))
    return noise.report(data.ids, chosen, data.with_noise(chosen, noise))


def table(names: Sequence[str], size: int, outputs: str) -> str:
    """The share of wrong pixels over all masks, in percent, for each kind, data set and rate."""
    sets = {name: training_images(name, size, outputs)[0] for name in names}
    heads = [f"{name} {rate:g}" for name in names for rate in RATES]
    lines = [f"| noise | {' | '.join(heads)} |", "|---" + "|--:" * len(heads) + "|"]
    for kind, build in KINDS.items():
        found = [report(data, build(rate)) for data in sets.values() for rate in RATES]
        lines.append(f"| {kind} | {' | '.join(format(100 * one['pixels'], '.1f') for one in found)} |")
    return "\n".join(lines) + "\n"


def picture(path: Path, names: Sequence[str], size: int, outputs: str, *, rows: int = 3) -> Path:
    """A photo a row, a kind of noise a column, the pixels that it makes wrong in red."""
    columns: dict[str, list[np.ndarray]] = {"image": [], "true mask": [], **{name: [] for name in PICTURED}}
    for name in names:
        data, classes, background = training_images(name, size, outputs)
        for i in range(0, 4 * rows, 4):
            clean = data.mask(i)
            columns["image"].append(np.moveaxis(data[i]["image"].numpy(), 0, -1))
            columns["true mask"].append(clean)
            for kind in PICTURED:
                if kind == "drop":
                    noise: Noise = Drop(rate=1.0)
                elif kind == "ambiguous":
                    noise = Ambiguous(rate=0.1)
                else:
                    noise = (Boundary if kind in ("dilate", "erode", "polygonise") else Region)(rate=1.0, kind=kind)
                new = noise.change(clean, id=data.ids[i], classes=classes, background=background)
                columns[kind].append(_overlay(clean, new))
    return save_grid(columns, path, cell=112)


def _overlay(clean_HW: np.ndarray, new_HW: np.ndarray) -> np.ndarray:
    """The changed mask in black and white where it has two labels, else its differences; wrong pixels in red."""
    shown = differences(clean_HW, new_HW)
    wrong = clean_HW != new_HW
    two = np.repeat((new_HW == 1)[..., None] * np.uint8(255), 3, axis=2)
    if clean_HW.max() > 1:
        return shown
    return np.where(wrong[..., None], (0.55 * two + 0.45 * np.array([214, 39, 40])).astype(np.uint8), two)


def main() -> None:
    """Read the command line, write the table to stdout and the picture to its file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=["sod", "people"])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--outputs", default="outputs")
    parser.add_argument("--picture", type=Path)
    typed = parser.parse_args()
    if typed.picture:
        picture(typed.picture, typed.data, typed.size, typed.outputs)
    sys.stdout.write(table(typed.data, typed.size, typed.outputs))


if __name__ == "__main__":
    main()
