"""Where a run's curves go besides ``log.jsonl``: TensorBoard, MLflow, Weights & Biases.

A tracker that fails never stops a training: the local log is complete without it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


class Tracker:
    """Keeps nothing; the base of the others and the choice ``tracker=none``."""

    def start(self, folder: Path, config: dict[str, Any]) -> None:
        """Open the tracker for a run folder."""

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Record numbers of one epoch."""

    def image(self, name: str, path: Path, step: int) -> None:
        """Record a PNG file."""

    def close(self) -> None:
        """Flush and close."""


def _harmless(method: Callable) -> Callable:
    """Log the first failure of a tracker's method and go on."""

    @wraps(method)
    def guarded(self: Any, *args: Any) -> None:
        if self.broken:
            return
        try:
            method(self, *args)
        except Exception as error:
            self.broken = True
            log.warning("tracker stopped (%s: %s); log.jsonl goes on", type(error).__name__, error)

    return guarded


class TensorBoard(Tracker):
    """Event files in ``<run>/tensorboard``.

    Args:
        required: raise where the package is absent, instead of a warning.
    """

    def __init__(self, *, required: bool = False) -> None:
        self.writer: Any = None
        self.broken = False
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            if required:
                raise _missing("tensorboard") from error
            self.broken = True
            log.info("TensorBoard is not installed; log.jsonl holds the curves (pip install 'seglab[tensorboard]')")
            return
        self.factory = SummaryWriter

    @_harmless
    def start(self, folder: Path, config: dict[str, Any]) -> None:
        """Open the tracker for a run folder."""
        self.writer = self.factory(str(folder / "tensorboard"))

    @_harmless
    def scalars(self, values: dict[str, float], step: int) -> None:
        """Record numbers of one epoch."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    @_harmless
    def image(self, name: str, path: Path, step: int) -> None:
        """Record a PNG file."""
        import numpy as np
        from PIL import Image

        self.writer.add_image(name, np.asarray(Image.open(path).convert("RGB")), step, dataformats="HWC")

    @_harmless
    def close(self) -> None:
        """Flush and close."""
        if self.writer is not None:
            self.writer.close()


class MLflow(Tracker):
    """MLflow.

    Args:
        uri: tracking address; SQLite by default, because the plain file store is withdrawn.
        experiment: name of the experiment.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        try:
            import mlflow
        except ImportError as error:
            raise _missing("mlflow") from error
        self.mlflow, self.uri, self.experiment, self.broken = mlflow, uri, experiment, False

    @_harmless
    def start(self, folder: Path, config: dict[str, Any]) -> None:
        """Open the tracker for a run folder."""
        self.mlflow.set_tracking_uri(self.uri)
        if self.uri.startswith("sqlite") and self.mlflow.get_experiment_by_name(self.experiment) is None:
            # Beside the runs, not in whatever folder the command was started from.
            files = (folder.parent.parent / "mlflow").resolve().as_uri()
            self.mlflow.create_experiment(self.experiment, artifact_location=files)
        self.mlflow.set_experiment(self.experiment)
        self.mlflow.start_run(run_name=folder.name)
        self.mlflow.log_dict(config, "config.yaml")

    @_harmless
    def scalars(self, values: dict[str, float], step: int) -> None:
        """Record numbers of one epoch."""
        self.mlflow.log_metrics(values, step=step)

    @_harmless
    def image(self, name: str, path: Path, step: int) -> None:
        """Record a PNG file."""
        self.mlflow.log_artifact(str(path), name)

    @_harmless
    def close(self) -> None:
        """Flush and close."""
        self.mlflow.end_run()


class WandB(Tracker):
    """Weights & Biases.

    Args:
        project: project name.
        mode: ``offline`` or ``online``.
    """

    def __init__(self, project: str, mode: str) -> None:
        if mode not in ("offline", "online"):
            raise ValueError(f"tracker.mode={mode}: expected offline or online")
        try:
            import wandb
        except ImportError as error:
            raise _missing("wandb") from error
        self.wandb, self.project, self.mode, self.broken = wandb, project, mode, False
        self.run: Any = None

    @_harmless
    def start(self, folder: Path, config: dict[str, Any]) -> None:
        """Open the tracker for a run folder."""
        self.run = self.wandb.init(
            project=self.project, mode=self.mode, dir=str(folder), name=folder.name, config=config
        )

    @_harmless
    def scalars(self, values: dict[str, float], step: int) -> None:
        """Record numbers of one epoch."""
        self.run.log(values, step=step)

    @_harmless
    def image(self, name: str, path: Path, step: int) -> None:
        """Record a PNG file."""
        self.run.log({name: self.wandb.Image(str(path))}, step=step)

    @_harmless
    def close(self) -> None:
        """Flush and close."""
        if self.run is not None:
            self.run.finish()


def _missing(package: str) -> ValueError:
    remedy = f"pip install 'seglab[{package}]', or tracker=none"
    return ValueError(f"tracker={package}: the package is not installed; {remedy}")
