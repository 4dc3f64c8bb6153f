"""What a run was executed on: versions, device, command line, code."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab import __version__, distributed

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "torchvision", "numpy", "hydra-core", "segmentation-models-pytorch")


def environment(device: torch.device) -> dict[str, Any]:
    """Facts about machine, versions and code, as plain types."""
    import torch

    return {
        "seglab": __version__,
        "git": git_state(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "processes": distributed.world(),
        "arguments": [a for a in sys.argv[1:] if not a.startswith("+hydra.callbacks.seglab.")],  # ours, of a sweep
    }


def git_state() -> dict[str, Any] | None:
    """Commit and cleanliness of the checkout the code runs from; None outside a checkout."""
    folder = Path(__file__).resolve().parent
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    result = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=20
    )
    return result.stdout.strip()
