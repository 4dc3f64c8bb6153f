"""Time and memory of the CAS loss, forward and backward, beside straightforward autograd versions, in one process.

    python scripts/bench_losses.py [--reps 15] [--threads 2] [--no-compile]

Rounds are interleaved: every round runs each way once, and a round during which another process took processor time is
repeated (up to three times as many rounds). "ms" is the median, "best" the fastest round: on a machine that is never
quiet only the second means something. Ratios are of medians, then of best rounds.

The process restarts itself with a memory allocator that keeps freed pages, because page faults would otherwise make up
most of the slower ways' time, and with OpenMP threads that sleep when idle, because they would otherwise spin on the
cores that the compiled kernel's threads need; --spin leaves that at its default. Memory is the peak of torch's
allocations beyond the inputs, as its profiler reports them; the kernel's own tables, which NumPy allocates, are added.
"""

import argparse
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_TOP_PAD_": "500000000"}


def restart(spin: bool) -> None:
    """Start again with the settings that only take effect at the start of a process."""
    wanted = MALLOC if spin else MALLOC | {"OMP_WAIT_POLICY": "PASSIVE"}
    if any(os.environ.get(key) != value for key, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})


def two_region_reference(logits, labels, alpha=0.1):
    """Masked autograd for masks of 0 and 1: softmax, products with both masks, means, squared differences."""
    s = logits.softmax(1)
    foreground = labels[:, None].to(s.dtype)
    background = 1 - foreground
    loss = 0.0
    means = []
    for mask in (foreground, background):
        size = mask.sum((2, 3))
        mean = (s * mask).sum((2, 3)) / size
        means.append(mean)
        loss = loss + alpha * (((s - mean[..., None, None]) ** 2 * mask).sum((2, 3)) / size).sum(1)
    return (loss - (1 - alpha) * ((means[0] - means[1]) ** 2).sum(1)).mean()


def many_region_reference(logits, labels, alpha=0.1):
    """Autograd over a loop of region masks."""
    import torch

    s = logits.softmax(1)
    total = 0.0
    for image, mask in zip(s, labels, strict=True):
        means = []
        for region in mask.unique():
            inside = (mask == region).to(s.dtype)
            size = inside.sum()
            mean = (image * inside).sum((1, 2)) / size
            means.append(mean)
            total = total + alpha * ((image - mean[:, None, None]) ** 2 * inside).sum() / size
        table = torch.stack(means)
        pairs = (table[:, None] - table[None]).square().sum() / 2
        total = total - (1 - alpha) * pairs
    return total / len(s)


def cells(B: int, N: int, size: int, seed: int):
    """Label maps of N Voronoi cells around random points: [B, size, size], smooth as masks are."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    axis = torch.arange(size, dtype=torch.float32)
    maps = []
    for _ in range(B):
        points = torch.rand(N, 2, generator=generator) * size
        square = (axis[:, None, None] - points[:, 0]) ** 2 + (axis[None, :, None] - points[:, 1]) ** 2
        maps.append(square.argmin(2))
    return torch.stack(maps)


def busy_ticks() -> int:
    """Processor ticks that the whole machine has spent working; 0 where that cannot be read."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.read_text().split()[1:9])
    return user + nice + system + irq + softirq + steal


def step(loss: Callable, logits, labels) -> Callable[[], None]:
    """A call that runs forward and backward and drops the gradient."""

    def run() -> None:
        logits.grad = None
        loss(logits, labels).backward()

    return run


def interleaved(ways: dict[str, Callable[[], None]], reps: int) -> tuple[dict[str, list[float]], int]:
    """Milliseconds of each way in the rounds kept, and how many rounds were dropped because something else ran."""
    times = {name: [] for name in ways}
    for run in ways.values():
        run()
        run()
    dropped = kept = 0
    hertz = os.sysconf("SC_CLK_TCK")
    while kept < reps:
        own, busy = time.process_time(), busy_ticks()
        round_times = {}
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            round_times[name] = 1e3 * (time.perf_counter() - start)
        wall = sum(round_times.values()) / 1e3
        elsewhere = (busy_ticks() - busy) / hertz - (time.process_time() - own)
        if busy and elsewhere > 0.03 + 0.1 * wall and dropped < 2 * reps:
            dropped += 1
            continue
        kept += 1
        for name, value in round_times.items():
            times[name].append(value)
    return times, dropped


def peak_megabytes(run: Callable[[], None], logits) -> float:
    """Peak of what torch holds beyond the start of the call, gradient included, in MB of 2^20 bytes."""
    import torch

    run()
    logits.grad = None
    gc.collect()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    held = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak / 2**20


def bench(B: int, M: int, N: int, args: argparse.Namespace) -> dict:
    """Run one setting and return its figures."""
    import torch

    from seglab.losses import region_kernel, regions
    from seglab.losses.cas import cas_loss

    logits = torch.randn(B, M, args.size, args.size, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = cells(B, N, args.size, seed=1)
    reference = two_region_reference if N == 2 else many_region_reference
    target = torch.empty_like(logits)

    def copies() -> None:
        with torch.no_grad():
            for _ in range(3):
                target.copy_(logits)

    def plain(x, y):
        applies, regions._kernel_applies = regions._kernel_applies, lambda _: False
        try:
            value = cas_loss(x, y, binary=N == 2)
            value.backward()
        finally:
            regions._kernel_applies = applies
        return value.detach().requires_grad_()

    ways = {"reference": step(reference, logits, labels), "seglab": step(cas_loss, logits, labels)}
    ways["seglab, plain torch"] = step(plain, logits, labels)
    if N == 2 and not args.no_compile:
        ways["reference, compiled"] = step(torch.compile(reference), logits, labels)
        ways["seglab, compiled"] = step(torch.compile(cas_loss), logits, labels)
        ways["seglab binary, compiled"] = step(torch.compile(lambda x, y: cas_loss(x, y, binary=True)), logits, labels)
    exact = logits.detach().double().requires_grad_()
    reference(exact, labels).backward()
    error = {}
    for name, run in ways.items():
        logits.grad = None
        run()
        error[name] = ((logits.grad - exact.grad).abs().max() / exact.grad.abs().max()).item()
    gradient = 4 * logits.numel() / 2**20
    units = B * -(-(args.size**2) // region_kernel.CHUNK)
    tables = units * region_kernel.ROWS * 16 / 2**20 + units * N * M * 8 / 2**20
    memory = {name: peak_megabytes(run, logits) for name, run in ways.items()}
    memory["seglab"] += tables
    rounds = args.reps if N == 2 else max(3, args.reps // 3)
    times, dropped = interleaved({**ways, "copy 3x": copies}, rounds)
    return {
        "B": B,
        "M": M,
        "N": N,
        "ms": {name: statistics.median(values) for name, values in times.items()},
        "best_ms": {name: min(values) for name, values in times.items()},
        "gradient_MB": gradient,
        "peak_MB": memory,
        "relative_error": error,
        "dropped_rounds": dropped,
        "warning": "; MACHINE BUSY THROUGHOUT" if dropped >= 2 * rounds else "",
    }


def report(result: dict) -> None:
    """Print one setting as a table."""
    ms, best = result["ms"], result["best_ms"]
    print(f"\nB={result['B']} M={result['M']} N={result['N']}  ({result['dropped_rounds']} dropped{result['warning']})")
    print(f"{'way':26}{'ms':>9}{'best':>9}{'x reference':>16}{'x copies':>15}{'peak/grad':>11}{'grad error':>12}")
    for name, value in ms.items():
        faster = f"{ms['reference'] / value:.1f} / {best['reference'] / best[name]:.1f}"
        copies = f"{value / ms['copy 3x']:.1f} / {best[name] / best['copy 3x']:.1f}"
        row = f"{name:26}{value:9.2f}{best[name]:9.2f}{faster:>16}{copies:>15}"
        if name in result["peak_MB"]:
            row += f"{result['peak_MB'][name] / result['gradient_MB']:11.2f}{result['relative_error'][name]:12.1e}"
        print(row)


def main() -> None:
    """Run every setting and print tables and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=15, help="rounds per setting (a third for many regions)")
    parser.add_argument("--size", type=int, default=256, help="height and width in pixels")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--spin", action="store_true", help="leave OpenMP's idle threads spinning, its default")
    args = parser.parse_args()
    restart(args.spin)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import numba
    import torch

    torch.set_num_threads(args.threads)
    cpu = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in cpu.splitlines() if line.startswith("model name")]
    model = names[0] if names else platform.processor()
    about = {
        "machine": f"{model}, {os.cpu_count()} cores, {platform.machine()}",
        "threads": args.threads,
        "idle_threads": "spin" if args.spin else "sleep",
        "torch": torch.__version__,
        "numba": numba.__version__,
        "python": platform.python_version(),
    }
    print(about)
    results = []
    for B, M, N in ((16, 2, 2), (8, 16, 20), (8, 64, 20)):
        results.append(bench(B, M, N, args))
        report(results[-1])
    print(json.dumps({"about": about, "results": results}))


if __name__ == "__main__":
    main()
