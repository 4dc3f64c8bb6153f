"""From a batch of images to maps, regions or classes: the network of a run, or an exported file, behind one call.

One runnable line: see :mod:`seglab.predict`.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from omegaconf import DictConfig, OmegaConf

from seglab.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from seglab.evaluator import Evaluator
    from seglab.post.classes import Classes

log = logging.getLogger(__name__)

EXPORTED = (".onnx", ".pt2")
"""Suffixes of exported files."""

KINDS_OF = {
    "saliency": ("maps", "masks", "overlays"),
    "regions": ("labels", "overlays"),
    "semantic": ("labels", "overlays"),
}
"""Task -> what can be written, see :data:`seglab.predicting.output.KINDS`."""


class Maps(Protocol):
    """Images to maps.

    Attributes:
        name: of the run.
        size: side in pixels of the square images.
        weights: first digits of a hash over the file of weights.
        settings: what else a map depends on, plain types.
        threshold: the threshold an exported file was given, else None.
    """

    name: str
    size: int
    weights: str
    settings: dict[str, Any]
    threshold: float | str | None

    def __call__(self, image_B3SS: Tensor) -> Tensor:
        """uint8 [B,3,S,S] to float32 [B,S,S] in 0..1, on the CPU.

        For regions int64 [B,S,S], the region's number; for classes their scores, float32 [B,K,S,S].
        """


class RunMaps:
    """The network and the read-out of a finished run, as its evaluation uses them.

    Args:
        run: the run folder.
        cfg: finalised config of ``conf/predict.yaml``: ``runtime``, ``size`` and ``typed`` are read.

    Raises:
        ValueError: the run is not finished, or its task has no maps.
    """

    def __init__(self, run: Run, cfg: DictConfig) -> None:
        from seglab.evaluate import trained_evaluator
        from seglab.train import setup_torch

        whole = own_config(run, cfg)
        self.evaluator: Evaluator = trained_evaluator(run, whole, setup_torch(whole))
        self.evaluator.model.eval()
        self.name, self.config = run.path.resolve().name, whole
        self.size = int(cfg.size or whole.data.size)
        self.weights = digest(run.path / "model.safetensors")
        self.read_out: Classes | None = None
        """How scores of classes are enlarged to their photo."""
        self.settings = {"precision": whole.runtime.precision, "read_out": self.evaluator.post.state()}
        if whole.eval.task == "regions":
            self.settings["read_out"] = OmegaConf.to_container(whole.eval.post, resolve=True)
            if OmegaConf.is_list(whole.eval.clusters) and len(whole.eval.clusters) > 1:
                log.warning("run=%s: of eval.clusters=%s the first is predicted", cfg.run, whole.eval.clusters)
        if whole.eval.task == "semantic":
            self.settings["classes"] = list(whole.data.classes)
            self.read_out = self.evaluator.post
        self.threshold = None

    def __call__(self, image_B3SS: Tensor) -> Tensor:
        """See :class:`Maps`."""
        import torch

        from seglab.forward import enlarged, forward
        from seglab.post.region_maps import RegionMaps

        with torch.inference_mode():
            batch = {"image": image_B3SS}
            runtime, device = self.config.runtime, self.evaluator.device
            logits, moved = forward(self.evaluator.model, batch, runtime=runtime, device=device)
            if self.config.eval.task == "semantic":
                return self.evaluator.post.scores(logits).cpu()
            found = self.evaluator.post(enlarged(logits, moved["image"]), moved["image"])
        return found.labels_BTHW[:, 0].cpu() if isinstance(found, RegionMaps) else found.float().cpu()


def own_config(run: Run, cfg: DictConfig) -> DictConfig:
    """The run's config with the runtime of this command; the run's precision holds unless another was typed.

    Raises:
        ValueError: the run is not finished, or is of a task without photos.
    """
    from seglab.evaluate import raw
    from seglab.targets import check_targets

    trained = run.config()
    task = OmegaConf.select(trained, "eval.task")
    if task not in KINDS_OF:
        raise ValueError(
            f"run={cfg.run}: its task is {task}, whose images are no photos; seglab.predict writes saliency maps, "
            "regions and classes"
        )
    absent = [name for name in ("model.safetensors", "post.json") if not (run.path / name).is_file()]
    if absent:
        why = "it failed, see FAILED in its folder" if (run.path / "FAILED").is_file() else "it is not finished"
        raise ValueError(
            f"run={cfg.run}: {why}: {' and '.join(absent)} not in {run.path}; train it to the end with the same "
            "seglab.train command first"
        )
    if not run.done:
        log.warning("run=%s: trained, but its scoring did not finish", cfg.run)
    whole, now = raw(trained), raw(cfg)["runtime"]
    precision = whole["runtime"]["precision"]
    whole["runtime"] = now
    if "runtime.precision" not in cfg.typed:
        whole["runtime"]["precision"] = precision
    result = OmegaConf.create(whole)
    check_targets(result)  # a run folder may come from elsewhere
    return result


def load_maps(cfg: DictConfig) -> Maps:
    """What ``run`` names, ready to predict.

    Raises:
        ValueError: no such run or file, or it cannot be used.
    """
    path = Path(str(cfg.run)).expanduser()
    if path.suffix.lower() not in EXPORTED:
        return RunMaps(Run.find(str(cfg.run), cfg.runtime.outputs), cfg)
    if not path.is_file():
        raise ValueError(f"run={cfg.run}: no such file; expected a run, or a file that export=onnx|torch_export wrote")
    if str(cfg.runtime.device) not in ("auto", "cpu"):
        raise ValueError(f"runtime.device={cfg.runtime.device}: exported files run on the CPU; expected auto or cpu")
    if "runtime.precision" in cfg.typed and cfg.runtime.precision != "fp32":
        raise ValueError(f"runtime.precision={cfg.runtime.precision}: exported files compute in fp32")
    if path.suffix.lower() == ".onnx":
        from seglab.export.onnx_file import OnnxMaps

        maps: Maps = OnnxMaps(path, threads=cfg.runtime.threads)
    else:
        import torch

        from seglab.export.torch_file import TorchMaps

        if cfg.runtime.threads:
            torch.set_num_threads(cfg.runtime.threads)
        maps = TorchMaps(path)
    if cfg.size and cfg.size != maps.size:
        raise ValueError(f"size={cfg.size}: {path.name} takes {maps.size} only; export the run again with this size")
    return maps


def task_of(cfg: DictConfig) -> str:
    """Task of the run, ``saliency`` for an exported file; any word where the run's config does not say.

    Raises:
        ValueError: no such run.
    """
    if Path(str(cfg.run)).suffix.lower() in EXPORTED:
        return "saliency"
    return str(OmegaConf.select(Run.find(str(cfg.run), cfg.runtime.outputs).config(), "eval.task"))


def name_of(cfg: DictConfig) -> str:
    """Name of the run or of the exported file, without loading it.

    Raises:
        ValueError: no such run.
    """
    path = Path(str(cfg.run)).expanduser()
    if path.suffix.lower() in EXPORTED:
        return path.stem
    return Run.find(str(cfg.run), cfg.runtime.outputs).path.resolve().name


def digest(path: Path) -> str:
    """First 16 hexadecimal digits of a file's SHA-256."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
