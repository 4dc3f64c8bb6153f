"""torch and its devices, tried with a small network: runs in a process of its own, see ``gather_apart``.

One runnable line: ``python -c "from seglab.checkup.device import facts; print(*facts())"``.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

from seglab.checkup.fact import Fact, brief, size

TOLERANCE = 1e-3
"""Largest difference between a GPU's convolution and the CPU's, in float32 with values around one."""


def facts() -> Iterator[Fact]:
    """Facts about torch, torchvision and every device."""
    try:
        import torch
    except Exception as error:  # an absent package, or a library of another system: OSError, AttributeError ...
        reason = brief(error)
        yield Fact("torch", f"cannot be imported ({reason})", "broken", "reinstall torch: https://pytorch.org")
        return
    build = torch.version.cuda or (torch.version.hip and f"ROCm {torch.version.hip}")
    yield Fact(
        "torch",
        f"{torch.__version__}, built {f'for CUDA {build}' if torch.version.cuda else build or 'without CUDA'}, "
        f"{torch.get_num_threads()} threads, CPU capability {torch.backends.cpu.get_cpu_capability()}",
    )
    yield torchvision()
    yield trial("cpu")
    yield from cuda()


def torchvision() -> Fact:
    """Whether torchvision's compiled part belongs to this torch: the common broken installation."""
    import torch

    try:
        import torchvision
        from torchvision.ops import nms

        kept = nms(torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2]]), torch.tensor([0.9, 0.8]), 0.5)
        assert kept.tolist() == [0], "two equal boxes were both kept"
    except Exception as error:  # RuntimeError "operator torchvision::nms does not exist", ImportError, OSError ...
        reason = brief(error)
        return Fact("torchvision", f"does not fit this torch ({reason})", "broken", "install both at one time")
    return Fact("torchvision", f"{torchvision.__version__}, its compiled part works with this torch")


def trial(name: str) -> Fact:
    """A convolution forward and backward in float32, checked by the CPU's in float64, and once in bfloat16."""
    import torch
    from torch import nn

    label = f"trial {name}"
    try:
        torch.manual_seed(0)
        layer, image = nn.Conv2d(3, 4, 3, padding=1), torch.randn(2, 3, 16, 16)
        exact = nn.functional.conv2d(image.double(), layer.weight.double(), layer.bias.double(), padding=1)
        layer, image = layer.to(name), image.to(name)
        found = layer(image)
        found.square().mean().backward()
        apart = (found.detach().cpu().double() - exact).abs().max().item()
        if not apart < TOLERANCE or not all(p.grad.isfinite().all() for p in layer.parameters()):
            return Fact(label, f"a convolution is wrong by {apart:g}", "broken", "a faulty device or library")
    except Exception as error:  # out of memory, no kernel for this device, a library that does not load
        reason = brief(error)
        remedy = "runtime.device=cpu works round it" if name != "cpu" else "reinstall torch"
        return Fact(label, f"a convolution fails ({reason})", "note" if name != "cpu" else "broken", remedy)
    try:
        with torch.autocast(name.split(":")[0], dtype=torch.bfloat16):
            half = layer(image)
        half.float().mean().backward()
        word = "and bfloat16 work" if half.dtype is torch.bfloat16 else f"works; bfloat16 gave {half.dtype}"
    except Exception as error:  # only runtime.precision=bf16 needs it
        return Fact(label, f"float32 works, bfloat16 fails ({brief(error)})", "note", "runtime.precision=fp32")
    return Fact(label, f"convolution, gradient {word} (float32 within {apart:.1e} of float64)")


def cuda() -> Iterator[Fact]:
    """Every GPU, and the libraries it is driven by."""
    import torch

    seen = nvidia_smi()
    if not torch.cuda.is_available():
        wrong = bool(seen)
        text = f"none that torch can use; nvidia-smi sees {seen}" if wrong else "none"
        remedy = "install a torch built for this driver, or update the driver" if wrong else ""
        yield Fact("GPU", text, "note" if wrong else "ok", remedy)
        return
    nccl = ".".join(map(str, torch.cuda.nccl.version())) if torch.distributed.is_nccl_available() else "absent"
    yield Fact("GPU libraries", f"driver {seen or 'unknown'}; cuDNN {torch.backends.cudnn.version()}, NCCL {nccl}")
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        free, total = torch.cuda.mem_get_info(number)
        quick = "bfloat16" if about.major >= 8 else "bfloat16 emulated"
        text = f"{about.name}, {size(total)}, {size(free)} free, capability {about.major}.{about.minor}, {quick}"
        low = free < total / 4
        yield Fact(f"GPU {number}", text, "note" if low else "ok", "another program uses it" if low else "")
        yield trial(f"cuda:{number}")


def nvidia_smi() -> str:
    """Driver version and GPU names as the driver tells them; empty where there is no driver."""
    if shutil.which("nvidia-smi") is None:
        return ""
    command = ["nvidia-smi", "--query-gpu=driver_version,name", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return f"no answer from nvidia-smi ({type(error).__name__})"
    return "; ".join(dict.fromkeys(line.strip() for line in found.splitlines()))
