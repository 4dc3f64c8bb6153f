"""What a checkpoint was made with, and whether it still fits what is to go on.

A run's folder follows from its settings, so a difference means that files were copied, edited, or that images on the
disk have changed: going on would mix two experiments.

One runnable line: ``python -c "from seglab.drift import differences; print(differences({'a': 1}, {'a': 2}))"``.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from seglab import __version__, distributed
from seglab.identity import ARITHMETIC, resolved

if TYPE_CHECKING:
    import torch

    from seglab.data.arrays import ArrayDataset

log = logging.getLogger(__name__)

SHOWN = 20


def context(
    cfg: DictConfig, dataset: ArrayDataset, device: torch.device, *, negatives: ArrayDataset | None = None
) -> dict[str, Any]:
    """What the weights of a run depend on, as plain types.

    Returns:
        ``settings``: dotted key -> value of everything that counts for the run's identity, and a fingerprint of the
        training images; ``machine``: versions, device and number of processes, which change rounding only.
    """
    import torch

    settings = _flat(resolved(cfg)) | {f"runtime.{key}": cfg.runtime[key] for key in ARITHMETIC}
    if settings.get("init.run"):
        settings["init.run"] = Path(settings["init.run"]).name  # as in the identity
    images = {"training images and masks": dataset.fingerprint()}
    if negatives is not None:
        images["negative images"] = negatives.fingerprint()
    return {
        "settings": settings | images,
        "machine": {
            "seglab": __version__,
            "torch": str(torch.__version__),
            "device": device.type,
            "processes": distributed.world(),
        },
    }


def check(before: dict[str, Any] | None, now: dict[str, Any], *, path: Path, allow: bool) -> None:
    """Compare what a checkpoint was made with to what goes on now; other versions or devices are only told.

    Args:
        before: :func:`context` as the checkpoint holds it; None in files of earlier versions.
        now: that of this process.
        path: folder of the checkpoint, for messages.
        allow: go on in spite of other settings (``runtime.allow_drift``).

    Raises:
        ValueError: settings or images differ and ``allow`` is not set; the message is their difference.
    """
    if before is None:
        log.warning("%s: its checkpoint does not say what it was made with; going on from it", path)
        return
    if lines := differences(before["machine"], now["machine"]):
        log.warning(
            "%s: its checkpoint was made elsewhere; results may differ by rounding:\n%s", path, "\n".join(lines)
        )
    lines = differences(before["settings"], now["settings"])
    if not lines:
        return
    more = [f"  and {len(lines) - SHOWN} more lines"] if len(lines) > SHOWN else []
    shown = "\n".join([*lines[:SHOWN], *more])
    if not allow:
        raise ValueError(
            f"{path}: its checkpoint was made with other settings (- its own, + these):\n{shown}\n"
            "Start over with runtime.rerun=true, or go on in spite of it with runtime.allow_drift=true"
        )
    log.warning(
        "%s: its checkpoint was made with other settings, going on in spite of it (runtime.allow_drift):\n%s",
        path,
        shown,
    )


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Lines ``- key: value`` and ``+ key: value`` for what differs."""
    lines = []
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            lines += [f"  - {key}: {before[key]}"] if key in before else []
            lines += [f"  + {key}: {now[key]}"] if key in now else []
    return lines


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(node, dict):
        return {k: v for key, child in node.items() for k, v in _flat(child, f"{prefix}{key}.").items()}
    return {prefix.rstrip("."): node}
