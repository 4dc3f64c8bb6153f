"""Time and error of the CRF losses, value and gradient, beside plain torch, on real photos, in one process.

    SEGLAB_DATA=... python scripts/bench_crf.py [--reps 15] [--threads 2] [--clock cpu] [--compile] [--only dense]

Sparse CRF, 16 photos: the reference is the loss as one writes it down, slices of the standardised image, weights
computed at every call, autograd; `--compile` adds the same by torch.compile. Dense CRF, one photo: the reference takes
all pairs in tiles of 1024 rows in torch, with the gradient in closed form; denormal numbers are flushed for every way.
Object probabilities are smooth blobs, seed 0. Errors are those of the gradient relative to float64, largest over
largest; for the dense CRF also that of the value, and of the gradient as a whole (norm over norm).

Rounds are interleaved: every round runs each way once. "ms" is the median, "best" the fastest round, ratios are of
medians, then of best rounds. On a machine that others use, wall times say little: `--clock cpu --threads 1` counts this
process's processor time. As in `bench_losses.py` the process restarts itself with an allocator that keeps freed pages
and with OpenMP threads that sleep when idle.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench_losses import restart

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def photos(count: int, size: int):
    """Photos of BSDS500 val, uint8 [B,3,size,size]."""
    import numpy as np
    import torch
    from PIL import Image

    folder = Path(os.environ["SEGLAB_DATA"]) / "BSDS500" / "data" / "images" / "val"
    files = sorted(folder.glob("*.jpg"))[:count]
    if len(files) < count:
        raise SystemExit(f"{folder}: {len(files)} photos, expected {count}; set SEGLAB_DATA")
    resized = [np.array(Image.open(f).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)) for f in files]
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).contiguous()


def blobs(count: int, size: int):
    """Object probabilities [B,size,size] between 0 and 1, a leaf."""
    import torch

    coarse = 3 * torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return smooth[:, 0].sigmoid().requires_grad_()


def sliced(x, image, sigma: float = 0.15):
    """Sparse CRF in slices of the standardised image, weights computed anew."""
    import torch

    mean, deviation = (torch.tensor(v, dtype=x.dtype).view(1, 3, 1, 1) for v in IMAGENET)
    colour = (image.to(x.dtype) / 255 - mean) / deviation
    across = torch.exp(-(colour[..., 1:] - colour[..., :-1]).square().sum(1) / (2 * sigma**2))
    down = torch.exp(-(colour[:, :, 1:] - colour[:, :, :-1]).square().sum(1) / (2 * sigma**2))
    right = (across * (x[..., 1:] - x[..., :-1]).abs()).mean()
    return (right + (down * (x[:, 1:] - x[:, :-1]).abs()).mean()) / 2


def tiles(x, image, rows: int = 1024):
    """Dense CRF of one image in tiles of all pairs; value and gradient, both over the number of pixels."""
    import torch

    from seglab.post.dense_crf import bilateral_features

    f = bilateral_features(image[0], sxy=100, srgb=15).to(x.dtype)
    v = torch.stack([x[0].flatten(), 1 - x[0].flatten()], 1)
    half = f.square().sum(1) / 2
    near = torch.cat(
        [torch.exp(a @ f.T - h[:, None] - half) @ v for a, h in zip(f.split(rows), half.split(rows), strict=True)]
    )
    near = near - v
    return (v[:, 0] * near[:, 1]).sum() / len(v), (near[:, 1] - near[:, 0]).view_as(x) / len(v)


def interleaved(ways: dict[str, Callable], reps: int, clock: str) -> dict[str, list[float]]:
    """Milliseconds of each way in every round."""
    now = time.process_time if clock == "cpu" else time.perf_counter
    times = {name: [] for name in ways}
    for run in ways.values():
        run()
        run()
    for _ in range(reps):
        for name, run in ways.items():
            start = now()
            run()
            times[name].append(1e3 * (now() - start))
    return times


def report(title: str, ways: dict[str, Callable], errors: dict[str, float], reps: int, clock: str) -> dict:
    """Measure, print and return one table; the first way is the reference."""
    times = interleaved(ways, reps, clock)
    ms = {name: statistics.median(values) for name, values in times.items()}
    best = {name: min(values) for name, values in times.items()}
    first = next(iter(ways))
    print(f"\n{title}\n{'way':34}{'ms':>9}{'best':>9}{'x reference':>16}{'error':>11}")
    for name in ways:
        ratio = f"{ms[first] / ms[name]:.1f} / {best[first] / best[name]:.1f}"
        error = f"{errors[name]:11.1e}" if name in errors else ""
        print(f"{name:34}{ms[name]:9.2f}{best[name]:9.2f}{ratio:>16}{error}", flush=True)
    return {"title": title, "ms": ms, "best_ms": best, "errors": errors}


def gradient(loss: Callable, x):
    """Gradient of a loss of x, and x's own left as it was."""
    leaf = x.detach().clone().requires_grad_()
    loss(leaf).backward()
    return leaf.grad


def relative(found, exact) -> float:
    return ((found - exact).abs().max() / exact.abs().max()).item()


def bench_sparse(size: int, args: argparse.Namespace) -> dict:
    """Sixteen photos of one size."""
    import torch

    from seglab.losses.sparse_crf import edge_weights, sparse_crf_loss

    image, x = photos(16, size), blobs(16, size)
    grey, weights, target = image.float(), edge_weights(image), torch.empty_like(x)
    losses = {
        "reference: slices, autograd": lambda y: sliced(y, image),
        "seglab": lambda y: sparse_crf_loss(y, image),
        "seglab, weights given": lambda y: sparse_crf_loss(y, None, weights=weights),
        "seglab, 8 neighbours": lambda y: sparse_crf_loss(y, image, neighbours=8),
        "seglab, plain torch": lambda y: sparse_crf_loss(y, grey),
    }
    if args.compile:
        compiled = torch.compile(sliced)
        losses["reference, torch.compile"] = lambda y: compiled(y, image)
    exact = gradient(lambda y: sliced(y, image), x.double())
    errors = {name: relative(gradient(f, x), exact) for name, f in losses.items() if "8 neigh" not in name}

    def run(loss: Callable) -> Callable:
        def step() -> None:
            x.grad = None
            loss(x).backward()

        return step

    ways = {name: run(loss) for name, loss in losses.items()}
    ways["copy of x"] = lambda: target.copy_(x.detach())
    return report(f"sparse CRF, B=16, {size} px", ways, errors, args.reps, args.clock)


def bench_dense(size: int, args: argparse.Namespace) -> dict:
    """One photo of one size."""
    from seglab.losses.dense_crf import dense_crf_loss

    image, x = photos(1, size), blobs(1, size)
    losses = {
        "seglab": lambda y: dense_crf_loss(y, image, factor=1),
        **{
            f"seglab, {m} landmarks": lambda y, m=m: dense_crf_loss(y, image, factor=1, method="landmarks", landmarks=m)
            for m in (128, 256)
        },
    }
    value, exact = tiles(x.detach().double(), image)
    errors = {"reference: tiles": relative(tiles(x.detach(), image)[1], exact)}
    for name, loss in losses.items():
        found = gradient(loss, x)
        errors[name] = relative(found, exact)
        off, norm = abs(loss(x.detach()).item() / value.item() - 1), ((found - exact).norm() / exact.norm()).item()
        print(f"dense CRF, {size} px, {name}: value off by {off:.1e}, gradient by {norm:.1e} (norm)")
    steps = {name: lambda loss=loss: gradient(loss, x) for name, loss in losses.items()}
    ways = {"reference: tiles": lambda: tiles(x.detach(), image), **steps}
    reps = max(3, args.reps // 3)
    return report(f"dense CRF, one image, {size} px", ways, errors, reps, args.clock)


def main() -> None:
    """Run every setting and print tables and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=15, help="rounds per setting (a third for the dense CRF)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: processor time, for busy machines"
    )
    parser.add_argument("--compile", action="store_true", help="the sparse reference by torch.compile as well")
    parser.add_argument("--only", choices=("sparse", "dense"), help="one of the two losses")
    args = parser.parse_args()
    restart(spin=False)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import numba
    import torch

    from seglab.losses import crf_kernel  # noqa: F401  compiled before denormals are flushed

    torch.set_num_threads(args.threads)
    about = {
        "cores": os.cpu_count(),
        "load": [round(v, 1) for v in os.getloadavg()],
        "threads": args.threads,
        "clock": args.clock,
        "torch": torch.__version__,
        "numba": numba.__version__,
        "python": platform.python_version(),
    }
    print(about)
    results = [bench_sparse(size, args) for size in (128, 256)] if args.only != "dense" else []
    torch.set_flush_denormal(True)
    results += [bench_dense(size, args) for size in (64, 128)] if args.only != "sparse" else []
    print(json.dumps({"about": about, "results": results}))


if __name__ == "__main__":
    main()
