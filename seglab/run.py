"""A run folder: its name is its config, its files are its state.

``outputs/runs/<data>-<model>-<loss>[-<noise><rate>][-f<fold>of<folds>]-s<seed>-<ten signs of the identity>/`` holds
``config.yaml``, ``env.json``, ``log.jsonl``, ``train.log``, ``noise.json``, ``images.json``, ``post.json``,
``last.pt``, ``model.safetensors``, ``eval/``, ``samples/``, ``snapshots/`` where the schedule keeps some, and, written
last, ``DONE`` or ``FAILED``.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seglab.atomic import write_atomic
from seglab.data.names import file_name
from seglab.identity import has_fold, identity
from seglab.lock import hold

SHORT = 10


class Run:
    """One run folder.

    Args:
        path: the folder; made by :meth:`for_config`, found by :meth:`find`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def for_config(cls, cfg: DictConfig) -> Run:
        """The folder that belongs to a config; equal settings give the same one, however they were spelled."""
        rate, short = float(cfg.noise.rate), identity(cfg)[:SHORT]
        noise = str(cfg.noise._target_).rsplit(".", 1)[-1].lower()
        short_noise = "q" if noise == "flip" else noise
        fold = [f"f{cfg.fold.number}of{cfg.fold.of}"] if has_fold(cfg) else []
        parts = [cfg.name, *([f"{short_noise}{rate:g}"] if rate else []), *fold, f"s{cfg.seed}", short]
        root = Path(cfg.runtime.outputs) / "runs"
        # The same settings may have been reached by other names, e.g. loss=cas_released and loss=cas loss.alpha=0.5.
        return cls(next(iter(sorted(root.glob(f"*-{short}"))), root / "-".join(parts)))

    @classmethod
    def find(cls, wanted: str, outputs: str) -> Run:
        """Find a run by folder, by name, or by the last signs of its name.

        Args:
            wanted: what the user typed.
            outputs: ``runtime.outputs``.

        Raises:
            ValueError: none, or more than one, with the nearest names.
        """
        if (Path(wanted) / "config.yaml").is_file():
            return cls(Path(wanted))
        root = Path(outputs) / "runs"
        names = sorted(p.parent.name for p in root.glob("*/config.yaml"))
        found = [n for n in names if n == wanted or n.endswith(f"-{wanted}")]
        if len(found) == 1:
            return cls(root / found[0])
        if found:
            raise ValueError(f"run={wanted}: more than one run ends so: {', '.join(found)}")
        near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.4)
        hint = f"; nearest: {', '.join(near)}" if near else f"; there are {len(names)} runs in {root}"
        raise ValueError(f"run={wanted}: no such run folder, name or id{hint}")

    @property
    def done(self) -> bool:
        """True once the run is trained and scored."""
        return (self.path / "DONE").is_file()

    def config(self) -> DictConfig:
        """The config the run was made with."""
        return OmegaConf.load(self.path / "config.yaml")

    def start(self, cfg: DictConfig) -> None:
        """Make the folder, write its config, and clear marks and numbers of an attempt that did not finish."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path / "config.yaml", OmegaConf.to_yaml(cfg))
        for mark in ("DONE", "FAILED"):
            (self.path / mark).unlink(missing_ok=True)
        shutil.rmtree(self.path / "eval", ignore_errors=True)
        for leftover in self.path.glob("*.tmp"):
            leftover.unlink()

    def clear(self) -> None:
        """Forget what was trained, so that the run starts over."""
        for name in ("last.pt", "last.pt.damaged", "previous.pt", "log.jsonl", "model.safetensors", "post.json"):
            (self.path / name).unlink(missing_ok=True)
        for name in ("samples", "snapshots", "rerank"):
            shutil.rmtree(self.path / name, ignore_errors=True)

    def mark(self, name: str, text: str) -> None:
        """Write ``DONE`` or ``FAILED``."""
        write_atomic(self.path / name, f"{text}\n")

    def write_json(self, name: str, value: Any) -> Path:
        """Write a JSON file below the folder, whole or not at all."""
        return write_atomic(self.path / name, json.dumps(value, indent=2, allow_nan=True) + "\n")

    def read_json(self, name: str) -> Any:
        """Read a JSON file of the folder; None where it is absent."""
        path = self.path / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder; the lock goes with the process, however it ends.

        Raises:
            ValueError: another process writes into this folder.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with hold(self.path / ".lock"):
            yield


def result_stem(cfg: DictConfig, name: str) -> str:
    """Path below the run folder, without suffix, of the numbers of one test set."""
    resolution = "" if cfg.eval.resolution == "network" else f"-{cfg.eval.resolution}"
    return f"eval/{file_name(name)}-{cfg.eval.protocol.name}{resolution}"
