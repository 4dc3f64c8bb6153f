"""What lies around a run: environment variables, published weights on disk, launchers and Slurm.

One runnable line: ``python -c "from seglab.checkup.surroundings import facts; print(*facts({}))"``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from seglab.checkup.fact import Fact, presentable, size

PREFIXES = (
    "SEGLAB_",
    "CUDA_",
    "NCCL_",
    "OMP_",
    "MKL_",
    "NUMBA_",
    "HYDRA_",
    "TORCH_",
    "PYTORCH_",
    "HF_",
    "WANDB_",
    "MLFLOW_",
)
NAMES = (
    *("LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHASHSEED", "TMPDIR", "WORLD_SIZE", "RANK", "LOCAL_RANK"),
    *("SLURM_JOB_ID", "SLURM_JOB_PARTITION", "SLURM_NTASKS", "SLURM_CPUS_PER_TASK", "SLURM_MEM_PER_NODE"),
)
"""Variables that change what a run does; no other is printed."""
SECRET = re.compile(
    r"TOKEN|SECRET|PASS|PWD|KEY|CREDENTIAL|AUTH|COOKIE|PRIVATE|SIGNATURE|JWT|USER|EMAIL", flags=re.IGNORECASE
)
"""Names whose values are never printed: secrets, and who the user is."""
NAMED = re.compile(r"((?:token|secret|passw\w*|key|auth\w*|user\w*|email)=)[^&;\s]+", flags=re.IGNORECASE)
"""Secrets outside an address, by their names."""
LONGEST = 120
"""Signs of a value that are shown."""
MOST = 25
"""Variables that are shown with their values."""


def facts(environment: Mapping[str, str]) -> Iterator[Fact]:
    """Facts about the surroundings."""
    names = [name for name in sorted(environment) if name.startswith(PREFIXES) or name in NAMES]
    for name in names[:MOST]:
        yield Fact(name, value_of(name, environment[name]))
    if names[MOST:]:
        yield Fact("more variables", ", ".join(names[MOST:]))
    yield weights(environment)
    programs = [name for name in ("sbatch", "squeue", "srun", "sacct") if shutil.which(name)]
    missing = [name for name in ("sbatch", "squeue", "srun") if name not in programs]
    text = f"{', '.join(programs)} present" if programs else "none, launch=slurm cannot be used"
    level = "note" if programs and missing else "ok"
    yield Fact("slurm", text, level, f"launch=slurm also needs {', '.join(missing)}" if level == "note" else "")
    plugins = {"submitit": "hydra_plugins.hydra_submitit_launcher", "joblib": "hydra_plugins.hydra_joblib_launcher"}
    there = [name for name, module in plugins.items() if has(module)]
    yield Fact("hydra launchers", ", ".join(["basic", *there]))


def value_of(name: str, value: str) -> str:
    """A variable's value as it may be pasted: no secrets, no name of the user, not too long."""
    if SECRET.search(name):
        return "set, hidden"
    # A password may hold a slash, a question mark or another @: only the last @ ends it.
    value = re.sub(r"(?<=://).*@|^(?![\w+.-]+://)[^/\s]*:.*@", "hidden@", " ".join(value.split()))
    address, mark, query = re.match(r"([^?#]*)([?#]?)(.*)", value).groups() if "://" in value else (value, "", "")
    parts = [f"{part.partition('=')[0]}=hidden" if "=" in part else "hidden" for part in re.split(r"[&;#?]", query)]
    value = presentable(NAMED.sub(r"\1hidden", address) + (mark + "&".join(parts) if query else mark))
    return value if len(value) <= LONGEST else f"{value[:LONGEST]} ... ({len(value)} signs)"


def has(module: str) -> bool:
    """Whether a module can be found, without importing it."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of its parent
        return False


def weights(environment: Mapping[str, str]) -> Fact:
    """Published weights that torch's folder holds; init=imagenet and init=coco take them from there."""
    cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(environment.get("TORCH_HOME") or cache / "torch").expanduser() / "hub" / "checkpoints"
    found = sorted(folder.glob("*")) if folder.is_dir() else []
    names = [f"{path.name} {size(path.stat().st_size)}" for path in found if path.is_file()]
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    able = "can be written" if os.access(nearest(folder), os.W_OK) else "cannot be written"
    return Fact("weights", f"{shown or 'none'} in {folder} ({able})")


def nearest(folder: Path) -> Path:
    """The folder itself, or the first above it that exists."""
    return next(place for place in (folder, *folder.parents) if place.is_dir())
