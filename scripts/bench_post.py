"""Read-outs of regions: time and agreement of k-means and of the dense CRF with their peers, on photos.

    python scripts/bench_post.py /data/BSDS500/data/images/val --images 3 --size 256

k-means is set against scikit-learn's (one start), on colours at three blurs (9 channels). The CRF's label maps are
set against mean field with all pairs of pixels: ``landmarks`` in several sizes and, where it is installed, the C++
library (pip install pydensecrf2). Two problems: a figure with 35 % of 8 x 8 blocks turned over (every pixel is asked),
and connected parts of 20 clusters under 2 % of the pixels to be absorbed (``asked`` = their share; agreement on them).

Times are of the processor (``cpu``, all threads together) and of the clock, in seconds, medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from seglab.post.absorb import connected_parts, unary_from_labels
from seglab.post.dense_crf import DenseCRF
from seglab.post.lloyd import kmeans


def timed(call: Callable[[], object], repeats: int) -> tuple[object, float, float]:
    wall, cpu, result = [], [], None
    for _ in range(repeats):
        start, used = time.perf_counter(), time.process_time()
        result = call()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    return result, statistics.median(wall), statistics.median(cpu)


def bench_kmeans(photos: list[np.ndarray], clusters: int, repeats: int) -> list[str]:
    from scipy.ndimage import gaussian_filter
    from sklearn.cluster import KMeans

    lines = [
        f"| image | scikit-learn cpu | clock | seglab cpu | clock | inertia, {clusters} clusters |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for number, rgb in enumerate(photos):
        x_PM = np.concatenate([gaussian_filter(rgb / np.float32(255), (s, s, 0)) for s in (0, 1, 3)], 2).reshape(-1, 9)
        x_1MP = torch.from_numpy(np.ascontiguousarray(x_PM.T))[None]
        kmeans(x_1MP, clusters, iterations=1)  # the random numbers are drawn once and kept
        peer, wall, cpu = timed(lambda x=x_PM: KMeans(clusters, n_init=1, random_state=0).fit(x), repeats)
        ours, our_wall, our_cpu = timed(lambda x=x_1MP: kmeans(x, clusters), repeats)
        ratio = float(ours.inertia_B) / peer.inertia_
        lines.append(f"| {number} | {cpu:.3f} | {wall:.3f} | {our_cpu:.3f} | {our_wall:.3f} | {ratio:.4f} x |")
    return lines


def problems(rgb: np.ndarray) -> dict[str, tuple[Tensor, Tensor | None]]:
    image = torch.from_numpy(rgb).permute(2, 0, 1)
    grey, size = image.float().mean(0), image.shape[1:]
    blocks = torch.rand(-(-size[0] // 8), -(-size[1] // 8), generator=torch.Generator().manual_seed(0)) < 0.35
    turned = blocks.repeat_interleave(8, 0).repeat_interleave(8, 1)[: size[0], : size[1]]
    figure = unary_from_labels((grey > grey.mean()).long() ^ turned.long(), 2, gt_prob=0.6)
    parts = connected_parts(kmeans(image.float().flatten(1)[None], 20).labels_BP[0].view(size))
    _, index, count = torch.unique(parts, return_inverse=True, return_counts=True)
    large = count >= 0.02 * parts.numel()
    large[count.argmax()] = True
    known = torch.where(large, large.cumsum(0) - 1, -1)[index]
    return {"figure": (figure, None), "absorb": (torch.zeros(max(2, int(large.sum())), *size), known)}


def bench_crf(photos: list[np.ndarray], repeats: int) -> list[str]:
    ways: dict[str, dict[str, object]] = {
        f"landmarks {m}": {"method": "landmarks", "landmarks": m} for m in (128, 256, 512)
    }
    try:
        DenseCRF(backend="pydensecrf")
        ways["pydensecrf"] = {"backend": "pydensecrf"}
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
    lines = [
        "| image | problem | labels | asked | way | cpu | clock | agreement with exact |",
        "|---|---|--:|--:|---|--:|--:|--:|",
    ]
    for number, rgb in enumerate(photos):
        image = torch.from_numpy(rgb).permute(2, 0, 1)
        for name, (unary, known) in problems(rgb).items():
            asked = torch.ones(unary.shape[1:], dtype=torch.bool) if known is None else known < 0
            head = f"| {number} | {name} | {len(unary)} | {float(asked.float().mean()):.2f} "
            exact, wall, cpu = timed(lambda u=unary, k=known, i=image: DenseCRF(method="exact")(u, i, observed_HW=k), 1)
            lines.append(f"{head}| exact | {cpu:.2f} | {wall:.2f} | 1 |")
            for way, options in ways.items():
                crf = DenseCRF(**options)
                found, wall, cpu = timed(lambda c=crf, u=unary, k=known, i=image: c(u, i, observed_HW=k), repeats)
                same = float((found.argmax(0) == exact.argmax(0))[asked].float().mean())
                lines.append(f"{head}| {way} | {cpu:.2f} | {wall:.2f} | {same:.4f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of JPEG files")
    parser.add_argument("--images", type=int, default=3, help="how many of them")
    parser.add_argument("--size", type=int, default=256, help="pixels of each side for k-means")
    parser.add_argument(
        "--crf-size", type=int, default=128, help="longer side for the CRF; exact takes its fourth power"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    files = sorted(options.photos.glob("*.jpg"))[: options.images]
    if not files:
        parser.error(f"{options.photos}: no .jpg")
    images = [Image.open(file).convert("RGB") for file in files]
    square = [np.array(image.resize((options.size, options.size))) for image in images]
    scaled = []
    for image in images:
        image.thumbnail((options.crf_size, options.crf_size))
        scaled.append(np.array(image))
    lines = [*bench_kmeans(square, 20, options.repeats), "", *bench_crf(scaled, options.repeats)]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
