"""Epochs from the decoded cache against decoding with Pillow, side by side on SOD.

    SEGLAB_DATA=... python scripts/bench_data.py --size 256 --rounds 3

Both yield batches of float32 images, each with mean 0 and variance 1, and int64 masks. Prints images a second of
alternating rounds, the ratio of the medians, and the largest difference of image values / 255.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from hydra.utils import instantiate
from PIL import Image

from seglab.config import compose
from seglab.data.arrays import ArrayDataset
from seglab.data.cache import load
from seglab.data.filepair import FilePair
from seglab.data.loader import EpochBatches, make_loader


def standardise(image: torch.Tensor) -> torch.Tensor:
    """Each image [B,3,H,W] to mean 0, variance 1, in place."""
    flat = image.flatten(1)
    flat -= flat.mean(1, keepdim=True)
    # the norm of the centred values is several times faster on a CPU than torch.std, which runs Welford's recurrence
    flat *= (flat.shape[1] ** 0.5) / torch.linalg.vector_norm(flat, dim=1, keepdim=True)
    return flat.view_as(image)


def pillow_epoch(items: list[FilePair], size: int, plan: list[list[int]]) -> Iterator[torch.Tensor]:
    """The usual loader: open, convert, resize, to tensor, stack, normalise."""
    for positions in plan:
        images, masks = [], []
        for i in positions:
            with Image.open(items[i].image) as photo, Image.open(items[i].mask) as label:
                photo = photo.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
                label = label.convert("L").resize((size, size), Image.Resampling.NEAREST)
                images.append(torch.from_numpy(np.array(photo)).permute(2, 0, 1).float() / 255)
                masks.append(torch.from_numpy(np.array(label)).gt(127).long())
        torch.stack(masks)
        yield standardise(torch.stack(images))


def cached_epoch(data: ArrayDataset, plan: list[list[int]]) -> Iterator[torch.Tensor]:
    """The same batches from the cache."""
    for batch in make_loader(data, plan):
        yield standardise(batch["image"].float())


def rate(epoch: Callable[[], Iterator[torch.Tensor]], n: int) -> float:
    """Images a second of one epoch."""
    start = time.perf_counter()
    for _ in epoch():
        pass
    return n / (time.perf_counter() - start)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    args = parser.parse_args()
    source = instantiate(compose("evaluate", ["run=none", "data=sod"]).data.source, _convert_="all")
    items = [*source.items("train"), *source.items("test")]
    plan = list(EpochBatches(len(items), batch_size=args.batch, seed=0, drop_last=False).batches(0))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        data = load(items, size=args.size, folder=folder)
        print(f"{len(items)} images at {args.size} px; cache built in {time.perf_counter() - start:.2f} s")
        start = time.perf_counter()
        data = load(items, size=args.size, folder=folder)
        print(f"cache opened and verified in {time.perf_counter() - start:.3f} s")
        worst = 0.0
        for item, row in zip(items, data.images, strict=True):
            photo = Image.open(item.image).convert("RGB").resize((args.size, args.size), Image.Resampling.BILINEAR)
            worst = max(worst, float(np.abs(np.asarray(photo).transpose(2, 0, 1) / 255 - row / 255.0).max()))
        pillow, cached = [], []
        for _ in range(args.rounds):
            pillow.append(rate(lambda: pillow_epoch(items, args.size, plan), len(items)))
            cached.append(rate(lambda: cached_epoch(data, plan), len(items)))
    print(f"Pillow  {statistics.median(pillow):8.0f} images/s  ({', '.join(f'{r:.0f}' for r in pillow)})")
    print(f"cache   {statistics.median(cached):8.0f} images/s  ({', '.join(f'{r:.0f}' for r in cached)})")
    print(f"ratio   {statistics.median(cached) / statistics.median(pillow):8.1f}x")
    print(f"largest difference of values / 255: {worst:.1e}")


if __name__ == "__main__":
    main()
