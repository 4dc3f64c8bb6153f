"""Times whole training steps: float32 in plain layout against bfloat16 autocast in channels-last layout.

A step is forward, loss in float32, backward and Adam. The variants take turns, one step each, and the table shows
medians, so that a busy machine disturbs all of them alike. Run on an otherwise idle machine for figures to quote.
The share of peak compares with a large bfloat16 matrix product (float32 without autocast) timed in the same run; a
multiply-add counts as two operations.

    python scripts/bench_step.py --models fcn_resnet101 unet_mobilenetv2 --steps 5 --threads 2
    python scripts/bench_step.py --models fcn_resnet101 deeplabv3_resnet101 --batch 64 --steps 20      # on a GPU
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

SETTINGS = {  # images per step, side in pixels, builder's arguments
    "fcn_resnet101": (4, 256, {}),
    "deeplabv3_resnet101": (4, 256, {}),
    "unet_mobilenetv2": (16, 128, {"freeze_encoder": True}),
    "unet_resnext": (16, 128, {"freeze_encoder": True}),
    "unet_small": (16, 128, {}),
}
VARIANTS = {  # bfloat16 autocast, channels-last
    "fp32": (False, False),
    "fp32 channels_last": (False, True),
    "bf16": (True, False),
    "bf16 channels_last": (True, True),
}
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def machine(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    flags = [flag for flag in FLAGS if flag in facts.get("flags", "").split()]
    name = facts.get("model name", platform.processor() or platform.machine())
    return (
        f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {' '.join(flags) or 'no flags known'}, "
        f"load {os.getloadavg()[0]:.1f}, torch {torch.__version__}"
    )


def build(model: str) -> torch.nn.Module:
    return getattr(importlib.import_module(f"seglab.models.{model}"), model)(**SETTINGS[model][2]).train()


def operations(model: str) -> float:
    """Floating-point operations of one image, forward and backward, counted without computing them."""
    _, size, _ = SETTINGS[model]
    with torch.device("meta"):
        network, image = build(model), torch.zeros((2, 3, size, size), dtype=torch.uint8)
    with FlopCounterMode(display=False) as counter:
        network(image).sum().backward()
    return counter.get_total_flops() / 2


def peak(bf16: bool, device: torch.device) -> float:
    """Operations a second of a matrix product that fills the device; the best of five."""
    side = 8192 if device.type == "cuda" else 2048
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    best = float("inf")
    for _ in range(6):
        wait(device)
        start = time.perf_counter()
        a @ a
        wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def make_step(model: str, batch: int, bf16: bool, channels_last: bool, device: torch.device) -> Callable[[], float]:
    """A function that takes one training step and returns its seconds."""
    _, size, _ = SETTINGS[model]
    torch.manual_seed(0)
    network = build(model).to(device)
    image = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, device=device)
    mask = torch.randint(0, 2, (batch, size, size), device=device)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        image = image.contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=1e-3)

    def step() -> float:
        wait(device)
        start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = network(image)
        loss = F.cross_entropy(logits.float(), mask)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        wait(device)
        return time.perf_counter() - start

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["fcn_resnet101", "unet_mobilenetv2"], choices=SETTINGS)
    parser.add_argument("--variants", nargs="+", default=["fp32", "bf16 channels_last"], choices=VARIANTS)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each variant, after the warm-up")
    parser.add_argument("--warmup", type=int, default=3, help="steps before the clock counts")
    parser.add_argument("--batch", type=int, default=0, help="images per step (0: what suits a CPU)")
    parser.add_argument("--threads", type=int, default=0, help="threads (0: torch's choice)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    write = sys.stdout.write
    write(f"{machine(device)}\n")
    peaks = {bf16: peak(bf16, device) for bf16 in {VARIANTS[name][0] for name in options.variants}}
    for model in options.models:
        batch, size = options.batch or SETTINGS[model][0], SETTINGS[model][1]
        work = operations(model)
        steps = {name: make_step(model, batch, *VARIANTS[name], device) for name in options.variants}
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        for index in range(options.warmup + options.steps):
            for name, step in steps.items():
                taken = step()
                if index >= options.warmup:
                    seconds[name].append(taken)
        first = statistics.median(seconds[options.variants[0]])
        for name, taken in seconds.items():
            median = statistics.median(taken)
            share = work * batch / median / peaks[VARIANTS[name][0]]
            write(
                f"{model:20} B{batch} {size} px  {name:20} {batch / median:8.2f} images/s  x{first / median:.2f}  "
                f"{share:4.0%} of peak  (step {median:.3f} s, {min(taken):.3f} to {max(taken):.3f})\n"
            )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
