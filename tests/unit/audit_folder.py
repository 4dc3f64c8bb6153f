"""Image and mask folders for tests of the audit, filled pair by pair."""

from __future__ import annotations

import numpy as np
from PIL import Image

from seglab.audit.audit import audit
from seglab.audit.subject import from_pairs
from seglab.data.pairs import Pairs

SIZE = (96, 72)


def photo(seed: int, size=SIZE) -> Image.Image:
    """A picture with structure at every scale, another one for every seed."""
    dice = np.random.default_rng(seed)
    layers = [Image.fromarray(dice.integers(0, 256, (n, n, 3), dtype=np.uint8)).resize(size, 3) for n in (3, 6, 12)]
    return Image.fromarray(np.mean([np.asarray(layer) for layer in layers], axis=0).astype(np.uint8))


def disc(size=SIZE) -> np.ndarray:
    y, x = np.mgrid[: size[1], : size[0]]
    return ((x - size[0] / 2) ** 2 + (y - size[1] / 2) ** 2 < 400).astype(np.uint8)


class Folder:
    """Image and mask folders that are filled pair by pair."""

    def __init__(self, root):
        self.root = root
        self.parts = {"train": [], "test": []}
        for name in ("img", "gt"):
            (root / name).mkdir()

    def add(self, stem, *, part="train", image=None, mask=None, suffix=".png", save=None):
        picture = photo(len(self.parts["train"]) + 100 * len(self.parts["test"]) + 7) if image is None else image
        picture.save(self.root / "img" / f"{stem}{suffix}", **(save or {}))
        label = Image.fromarray(disc(picture.size) * np.uint8(255)) if mask is None else mask
        label.save(self.root / "gt" / f"{stem}.png")
        self.parts[part].append(stem)

    def source(self, **options) -> Pairs:
        for part, stems in self.parts.items():
            (self.root / f"{part}.txt").write_text("".join(f"{stem}\n" for stem in stems))
        lists = {f"{part}_list": str(self.root / f"{part}.txt") for part in self.parts}
        return Pairs(str(self.root / "img"), masks=str(self.root / "gt"), name="faulty", **lists, **options)

    def report(self, **options):
        return audit(from_pairs(self.source(**options)), workers=2, progress=False)


def filled(root) -> Folder:
    """A folder of six sound pairs, four to train."""
    made = Folder(root)
    for i in range(6):
        made.add(f"clean{i}", part="train" if i < 4 else "test", suffix=".jpg")
    return made


def ids(report, check, part=None) -> set[str]:
    return {example.id for finding in report.of(check, part) for example in finding.examples}


def grey_mask(values) -> Image.Image:
    return Image.fromarray(np.asarray(values, np.uint8))
