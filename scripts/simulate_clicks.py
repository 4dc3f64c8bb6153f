"""Draw clicks on objects from masks, to measure ``eval.post.channel=clicks`` or to see what its CSV looks like.

SEGLAB_DATA=<folder of the data> python scripts/simulate_clicks.py data=sod --count 5 --seed 0 --output clicks.csv

So many training images are drawn, and of each one pixel of its object, by the seed. A user needs no masks: the CSV
(header ``image,x,y``, pixels of the original image) can be typed by hand from any viewer that shows positions.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from seglab.atomic import write_atomic
from seglab.config import compose
from seglab.data.rng import integers, permutation
from seglab.post.shown import training_images


def simulate(cfg: DictConfig, *, count: int, seed: int) -> str:
    """The text of a CSV of clicks.

    Args:
        cfg: config of ``seglab.train``.
        count: images, one click each.
        seed: of the draw of images and pixels.

    Raises:
        ValueError: fewer images with an object than clicks.
    """
    images = training_images(cfg)
    lines = ["image,x,y"]
    for row in permutation(len(images), seed, "clicked images"):
        if len(lines) > count:
            break
        mask = images.original(int(row))[1]
        inside = np.flatnonzero(mask == 1)
        if not len(inside):
            continue
        name = images.ids[int(row)]
        place = int(inside[int(integers(1, seed, "click", name)[0] % np.uint64(len(inside)))])
        y, x = divmod(place, mask.shape[1])
        lines.append(f"{name},{x},{y}")
    if len(lines) <= count:
        raise ValueError(f"--count {count}: {len(lines) - 1} training images of data={cfg.data.name} have an object")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="of seglab.train, e.g. data=people")
    parser.add_argument("--count", type=int, default=5, help="clicks, one an image")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--output", type=Path, default=Path("clicks.csv"), help="file to write")
    given = parser.parse_intermixed_args()
    try:
        text = simulate(compose("train", given.overrides), count=given.count, seed=given.seed)
    except ValueError as error:
        parser.error(str(error))
    write_atomic(given.output, text)
    sys.stdout.write(f"{given.output}\n")


if __name__ == "__main__":
    main()
