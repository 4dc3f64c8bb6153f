"""The machine: system, processor, memory and the limits that a container or a shell sets.

One runnable line: ``python -c "from seglab.checkup.machine import facts; print(*facts())"``.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from seglab.checkup.fact import Fact, size

SHM_BYTES = 512 * 10**6
"""Less shared memory than this is often too little for processes that prefetch batches."""
OPEN_FILES = 1024
"""Fewer open files than this are often too few for several workers."""
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")
"""What a processor can do that makes arithmetic quick."""


def facts() -> Iterator[Fact]:
    """Facts about the machine."""
    libc = " ".join(platform.libc_ver()).strip() or "unknown C library"
    yield Fact("system", f"{os_name()}, {platform.system()} {platform.release()}, {platform.machine()}, {libc}")
    yield processor()
    yield from memory()
    yield shared_memory()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = 0 <= soft < OPEN_FILES
    remedy = f"ulimit -n {hard if hard > 0 else 4096}, where many workers are used" if low else ""
    yield Fact("open files", f"{shown(soft)} allowed (at most {shown(hard)})", "note" if low else "ok", remedy)


def os_name() -> str:
    """Name of the distribution."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unnamed system")
    except OSError:
        return "unnamed system"


def shown(limit: int) -> str:
    """A limit in words."""
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)


def processor() -> Fact:
    """Model, cores, and how many of them this process may use."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace") if on_linux() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, flags=re.MULTILINE)
    able = [flag for flag in FLAGS if flags and flag in flags[1].split()]
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = cpu_quota()
    limit = f", container limit {quota:g}" if quota else ""
    name = model[1].strip() if model else platform.processor() or "unknown"
    text = f"{name}, {os.cpu_count()} cores, {usable} usable{limit}; {', '.join(able) or 'no known extensions'}"
    few = quota is not None and quota + 0.5 < (usable or 1)
    remedy = f"set runtime.threads={max(1, round(quota))}: more threads than cores wait for each other" if few else ""
    return Fact("processor", text, "note" if few else "ok", remedy)


def on_linux() -> bool:
    """Whether there is a /proc to ask."""
    return Path("/proc/cpuinfo").is_file()


def cpu_quota() -> float | None:
    """Cores that a container may use; None where there is no limit."""
    if (words := first_line("/sys/fs/cgroup/cpu.max").split()) and words[0] != "max":
        return int(words[0]) / int(words[1])
    quota, period = (
        first_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
        first_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
    )
    return int(quota) / int(period) if quota and period and int(quota) > 0 else None


def memory() -> Iterator[Fact]:
    """Memory of the machine and of the container."""
    content = Path("/proc/meminfo").read_text(encoding="utf-8") if on_linux() else ""
    found = {key: int(value) * 1024 for key, value in re.findall(r"^(\w+):\s+(\d+) kB$", content, flags=re.MULTILINE)}
    if found:
        total, free = found["MemTotal"], found.get("MemAvailable", found.get("MemFree", 0))
        low = free < 2 * 10**9
        text = f"{size(total)}, {size(free)} available, swap {size(found.get('SwapTotal', 0))}"
        yield Fact("memory", text, "note" if low else "ok", "close other programs" if low else "")
    else:
        yield Fact("memory", "unknown on this system")
    limit, used = container_limit()
    if limit is not None and limit < found.get("MemTotal", limit + 1):
        low = limit - used < 2 * 10**9
        remedy = "raise the container's memory; a run that passes it is killed without a message" if low else ""
        yield Fact("container", f"at most {size(limit)}, {size(used)} used", "note" if low else "ok", remedy)


def container_limit() -> tuple[int | None, int]:
    """Memory limit of the container and what is used of it, bytes, from control groups of either version."""
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        if (text := first_line(limit)).isdigit():
            return int(text), int(first_line(used) or 0)
    return None, 0


def first_line(path: str) -> str:
    """First line of a file of the kernel; empty where it is absent or closed to us."""
    try:
        return Path(path).read_text(encoding="utf-8").partition("\n")[0].strip()
    except OSError:
        return ""


def shared_memory() -> Fact:
    """Room through which processes that prefetch batches hand them over."""
    if not Path("/dev/shm").is_dir():
        return Fact("shared memory", "no /dev/shm", "note", "keep runtime.workers=0")
    usage = shutil.disk_usage("/dev/shm")
    low = usage.free < SHM_BYTES
    remedy = "docker run --shm-size=2g, or keep runtime.workers=0" if low else ""
    return Fact("shared memory", f"{size(usage.total)}, {size(usage.free)} free", "note" if low else "ok", remedy)
