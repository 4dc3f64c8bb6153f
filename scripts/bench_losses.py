"""Time and memory of the region losses, forward and backward, beside `naive_losses.py`, in one process.

    python scripts/bench_losses.py [--reps 15] [--threads 2] [--no-compile] [--only cas|embedding|memory]

Three parts: CAS (also compiled, and without its kernel); discriminative, magnet and triplet loss, drawing new pixels at
every call; and the memory of all four at equal image size as the number of regions grows.

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


def random_logits(B: int, M: int, size: int):
    """Logits of one setting, a leaf."""
    import torch

    return torch.randn(B, M, size, size, generator=torch.Generator().manual_seed(0)).requires_grad_()


def kernel_tables(B: int, M: int, N: int, size: int) -> float:
    """MB that the compiled CAS kernel holds beside torch: its tables per unit of work, as far as they are touched."""
    from seglab.losses import region_kernel

    units = B * -(-(size**2) // region_kernel.CHUNK)
    return (units * region_kernel.ROWS * 16 + units * N * M * 8) / 2**20


def bench_cas(B: int, M: int, N: int, args: argparse.Namespace) -> dict:
    """CAS at one setting."""
    import naive_losses
    import torch

    from seglab.losses import regions
    from seglab.losses.cas import cas_loss

    logits, labels = random_logits(B, M, args.size), cells(B, N, args.size, seed=1)
    reference = naive_losses.two_region_cas if N == 2 else naive_losses.cas

    def plain(x, y):
        applies, regions._kernel_applies = regions._kernel_applies, lambda _: False
        try:
            value = cas_loss(x, y, binary=N == 2)
            value.backward()
        finally:
            regions._kernel_applies = applies
        return value.detach().requires_grad_()

    losses = {"naive": reference, "seglab": cas_loss, "seglab, plain torch": plain}
    if N == 2 and not args.no_compile:
        losses["naive, compiled"] = torch.compile(reference)
        losses["seglab, compiled"] = torch.compile(cas_loss)
        losses["seglab binary, compiled"] = torch.compile(lambda x, y: cas_loss(x, y, binary=True))
    result = measure(losses, logits, labels, reference, args.reps if N == 2 else max(3, args.reps // 3))
    result["peak_MB"]["seglab"] += kernel_tables(B, M, N, args.size)
    return {"loss": "cas", "B": B, "M": M, "N": N, **result}


def seglab_losses() -> dict[str, Callable]:
    """The losses on embeddings at their defaults."""
    from seglab.losses.discriminative import discriminative_loss
    from seglab.losses.magnet import magnet_loss
    from seglab.losses.triplet import triplet_loss

    def discriminative(x, y):
        return sum(discriminative_loss(x, y).values())

    return {"discriminative": discriminative, "magnet": magnet_loss, "triplet": triplet_loss}


def bench_embedding(name: str, B: int, M: int, N: int, args: argparse.Namespace) -> dict:
    """One of the losses on embeddings; errors are given where no pixels are drawn."""
    import naive_losses

    logits, labels = random_logits(B, M, args.size), cells(B, N, args.size, seed=1)
    reference = getattr(naive_losses, name)
    losses = {"naive": reference, "seglab": seglab_losses()[name]}
    exact = reference if name == "discriminative" else None
    return {"loss": name, "B": B, "M": M, "N": N, **measure(losses, logits, labels, exact, max(3, args.reps // 3))}


def measure(losses: dict[str, Callable], logits, labels, exact: Callable | None, rounds: int) -> dict:
    """Times, memory and, where an exact loss is given, errors of the gradient of several ways."""
    import torch

    target = torch.empty_like(logits)

    def copies() -> None:
        with torch.no_grad():
            for _ in range(3):
                target.copy_(logits)

    ways = {name: step(loss, logits, labels) for name, loss in losses.items()}
    error = {}
    if exact is not None:
        leaf = logits.detach().double().requires_grad_()
        exact(leaf, labels).backward()
        for name, run in ways.items():
            run()
            error[name] = ((logits.grad - leaf.grad).abs().max() / leaf.grad.abs().max()).item()
    memory = {name: peak_megabytes(run, logits) for name, run in ways.items()}
    times, dropped = interleaved({**ways, "copy 3x": copies}, rounds)
    return {
        "ms": {name: statistics.median(values) for name, values in times.items()},
        "best_ms": {name: min(values) for name, values in times.items()},
        "gradient_MB": 4 * logits.numel() / 2**20,
        "peak_MB": memory,
        "relative_error": error,
        "dropped_rounds": dropped,
        "warning": "; MACHINE BUSY THROUGHOUT" if dropped >= 2 * rounds else "",
    }


def report(result: dict) -> None:
    """Print one setting as a table."""
    ms, best = result["ms"], result["best_ms"]
    title = f"{result['loss']}  B={result['B']} M={result['M']} N={result['N']}"
    print(f"\n{title}  ({result['dropped_rounds']} dropped{result['warning']})")
    print(f"{'way':26}{'ms':>9}{'best':>9}{'x naive':>16}{'x copies':>15}{'peak/grad':>11}{'grad error':>12}")
    for name, value in ms.items():
        faster = f"{ms['naive'] / value:.1f} / {best['naive'] / best[name]:.1f}"
        copies = f"{value / ms['copy 3x']:.1f} / {best[name] / best['copy 3x']:.1f}"
        row = f"{name:26}{value:9.2f}{best[name]:9.2f}{faster:>16}{copies:>15}"
        if name in result["peak_MB"]:
            row += f"{result['peak_MB'][name] / result['gradient_MB']:11.2f}"
        if name in result["relative_error"]:
            row += f"{result['relative_error'][name]:12.1e}"
        print(row, flush=True)


def memory_by_regions(args: argparse.Namespace) -> dict:
    """Peak over gradient for 2 to 200 regions of the same images; prints and returns the table."""
    from seglab.losses.cas import cas_loss

    B, counts = 4, (2, 20, 100, 200)
    print(f"\npeak memory / gradient, B={B}, {args.size} px, by number of regions\n{'loss':20}", end="")
    print("".join(f"{N:>9}" for N in counts))
    table = {}
    losses = {"cas": (cas_loss, 20)} | {name: (loss, 8) for name, loss in seglab_losses().items()}
    for name, (loss, M) in losses.items():
        logits = random_logits(B, M, args.size)
        gradient = 4 * logits.numel() / 2**20
        peaks = []
        for N in counts:
            tables = kernel_tables(B, M, N, args.size) if name == "cas" else 0.0
            peak = peak_megabytes(step(loss, logits, cells(B, N, args.size, seed=1)), logits)
            peaks.append((peak + tables) / gradient)
        table[name] = dict(zip(counts, peaks, strict=True))
        print(f"{name + f', M={M}':20}" + "".join(f"{peak:9.2f}" for peak in peaks), flush=True)
    return table


def main() -> None:
    """Run every setting and print tables and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=15, help="rounds per setting (a third for many regions)")
    parser.add_argument("--size", type=int, default=256, help="height and width in pixels")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--spin", action="store_true", help="leave OpenMP's idle threads spinning, its default")
    parser.add_argument("--only", choices=("cas", "embedding", "memory"), help="one of the three parts")
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
    for B, M, N in ((16, 2, 2), (8, 16, 20), (8, 20, 20), (8, 64, 20)) if args.only in (None, "cas") else ():
        results.append(bench_cas(B, M, N, args))
        report(results[-1])
    for name in ("discriminative", "magnet", "triplet") if args.only in (None, "embedding") else ():
        results.append(bench_embedding(name, 8, 8, 20, args))
        report(results[-1])
    memory = memory_by_regions(args) if args.only in (None, "memory") else {}
    print(json.dumps({"about": about, "results": results, "memory_by_regions": memory}))


if __name__ == "__main__":
    main()
