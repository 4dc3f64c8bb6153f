"""Maps, masks, regions, classes and overlays of photos: ``python -m seglab.predict run=<folder or id> input=photos``.

``run`` may also be a file that ``export=onnx`` or ``export=torch_export`` wrote; then no run folder is needed. Photos
go in as in the evaluation: upright by their EXIF tag, as 8-bit RGB, resized with Pillow's bilinear filter; results have
the upright photo's size and its name. What is there already, by the same settings and of the same file, is passed over,
so an interrupted command goes on when it is started again. A photo that cannot be read is listed at the end, after all
others are written, and the exit code is 1. The last line on stdout is the folder of results, or the exported file where
there is no input. What is written, and how to use an exported file elsewhere: docs/predict.md.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig

from seglab.atomic import replacing
from seglab.cli import run_command
from seglab.predicting.inputs import Photo, find_photos
from seglab.predicting.output import KINDS, RULES, Output
from seglab.words import quoted

if TYPE_CHECKING:
    from torch import Tensor

    from seglab.predicting.maps import Maps, RunMaps

log = logging.getLogger(__name__)

EXPORTS = {"onnx": ".onnx", "torch_export": ".pt2"}
"""What ``export`` offers -> suffix of its file."""

PARITY_PHOTOS = 20
"""Photos at most on which an exported file is compared with its run."""


def predict(cfg: DictConfig) -> Path:
    """Predict photos, export a network, or both.

    Args:
        cfg: finalised config of ``conf/predict.yaml``.

    Returns:
        The folder of results; the exported file where no input is given.

    Raises:
        ValueError: no such run or photos, a value outside its range, results that cannot be written, or photos that
            could not be read, once all others are written.
    """
    check(cfg)
    from seglab.predicting.maps import KINDS_OF, load_maps, name_of, task_of

    wanted = _entries(cfg.input)
    photos = find_photos(wanted, recursive=cfg.recursive) if wanted else []
    name = name_of(cfg)
    folder = Path(cfg.output).expanduser() if cfg.output else Path(cfg.runtime.outputs) / "predictions" / name
    offered = KINDS_OF.get(task := task_of(cfg), tuple(KINDS))
    if task in ("regions", "semantic"):
        check_labels(cfg, task)
    kinds = [kind for kind in offered if cfg.what[kind]]
    if not kinds and not cfg.export:
        raise ValueError(f"what: {', '.join(offered[:-1])} and {offered[-1]} are all false; expected one of them true")
    output = Output(folder, kinds)
    output.check_apart(photos, wanted, recursive=cfg.recursive)
    maps = load_maps(cfg)
    threshold = cfg.threshold if cfg.threshold is not None else 0.5 if maps.threshold is None else maps.threshold
    if cfg.export:
        exported = export(cfg, maps, photos, folder / f"{name}{EXPORTS[cfg.export]}", threshold)
        if not photos or not output.kinds:
            return exported
    settings = {
        "run": maps.name,
        "weights": maps.weights,
        "size": maps.size,
        "flip": bool(cfg.flip),
        "threshold": threshold,
        **maps.settings,
    }
    left = output.left(photos, settings, cfg.existing)
    if len(left) < len(photos):
        log.info("%d of %d photos have their results already", len(photos) - len(left), len(photos))
    output.start(settings)
    _run(cfg, left, maps, output, threshold)
    return folder


def _run(cfg: DictConfig, photos: list[Photo], maps: Maps, output: Output, threshold: float | str) -> None:
    from seglab.predicting.pipeline import predict_photos

    failures = predict_photos(
        photos,
        maps,
        output,
        threshold=threshold,
        batch_size=cfg.batch_size,
        flip=cfg.flip,
        workers=cfg.runtime.workers,
        progress=cfg.runtime.progress,
    )
    log.info("%d photos written to %s", len(photos) - len(failures), output.folder)
    if failures:
        listed = output.fail(failures)
        raise ValueError(
            f"{len(failures)} of {len(photos)} photos could not be predicted, all others are written to "
            f"{output.folder}; the list is in {listed}:\n  " + "\n  ".join(failures)
        )


def check(cfg: DictConfig) -> None:
    """Check the values that belong to this command.

    Raises:
        ValueError: naming the key, its value and what is expected.
    """
    for key in ("flip", "recursive"):
        _expect(cfg[key] in (True, False), key, cfg[key], "true or false")
    for kind in KINDS:
        _expect(cfg.what[kind] in (True, False), f"what.{kind}", cfg.what[kind], "true or false")
    size, value = cfg.size, cfg.threshold
    whole = isinstance(size, int) and not isinstance(size, bool) and size >= 1
    _expect(size is None or whole, "size", size, "a whole number of pixels, 1 or more, or null")
    number = isinstance(value, float | int) and not isinstance(value, bool) and 0 <= value < 1
    _expect(value in (None, "adaptive") or number, "threshold", value, "0 <= threshold < 1, adaptive, or null")
    _expect(cfg.existing in RULES, "existing", cfg.existing, f"one of {', '.join(RULES)}")
    _expect(cfg.export in (None, *EXPORTS), "export", cfg.export, f"null or one of {', '.join(EXPORTS)}")
    if cfg.export and str(cfg.run).lower().endswith(tuple(EXPORTS.values())):
        raise ValueError(f"export={cfg.export}: run={cfg.run} is an exported file already; expected a run")
    if not _entries(cfg.input) and not cfg.export:
        raise ValueError("input is missing: python -m seglab.predict run=... input=<image, folder or pattern>")


def check_labels(cfg: DictConfig, task: str) -> None:
    """Refuse what makes no sense for regions or classes.

    Raises:
        ValueError: naming the key, its value and what is expected.
    """
    if task == "regions":
        why = "the run gives regions, which have no"
        _expect(not cfg.flip, "flip", cfg.flip, f"false: {why} mean")
        _expect(cfg.export is None, "export", cfg.export, f"null: {why} read-out that could be exported, it clusters")
    else:
        why = "the run gives classes, which have no"
        _expect(cfg.export is None, "export", cfg.export, "null: maps can be exported, classes cannot")
    _expect(cfg.threshold is None, "threshold", cfg.threshold, f"null: {why} threshold")


def _expect(fits: bool, key: str, value: Any, expected: str) -> None:
    if not fits:
        raise ValueError(f"{key}={value}: expected {expected}")


def _entries(wanted: Any) -> list[str]:
    if wanted is None or wanted == "":
        return []
    return [str(entry) for entry in wanted] if isinstance(wanted, list | ListConfig) else [str(wanted)]


def export(cfg: DictConfig, maps: RunMaps, photos: list[Photo], path: Path, threshold: float | str) -> Path:
    """Write the run as one file and compare the file with the run; a file that differs is not kept.

    The run computes in fp32 on the CPU for this, as the file does, whatever its precision and device are; with
    ``runtime.precision=bf16`` or ``fp16`` the run's own 8-bit maps may lie a step or two from the file's.

    Args:
        cfg: ``export``, ``existing`` and ``runtime`` are read.
        maps: the run.
        photos: compared on the first of these; without any, on the run's own test images or on random ones.
        path: file to write.
        threshold: what the file says is its threshold.

    Raises:
        ValueError: a package is missing, the file is there and ``existing`` is ``error``, or the file differs.
    """
    from seglab.export.graph import describe, map_graph
    from seglab.export.parity import TOLERANCE, largest_difference

    if path.exists() and cfg.existing == "error":
        raise ValueError(f"{path}: is there already; use existing=overwrite or another output")
    if cfg.export == "onnx":
        from seglab.export.onnx_file import OnnxMaps as Exported
        from seglab.export.onnx_file import write_onnx as write
    else:
        from seglab.export.torch_file import TorchMaps as Exported
        from seglab.export.torch_file import write_torch as write
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            write(map_graph(maps), maps.size, temporary, describe(maps, threshold))
            images, what = parity_images(maps, photos)
            worst = largest_difference(map_graph(maps, exact=False), Exported(temporary), images)
            if not worst <= TOLERANCE:
                raise ValueError(
                    f"export={cfg.export}: the file's maps differ from the run's by {worst:.1e} on {what}, allowed is "
                    f"{TOLERANCE:.0e}; it was removed"
                )
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror or error})") from error
    log.info("%s: largest difference from the run %.1e on %s, allowed %.0e", path, worst, what, TOLERANCE)
    return path


def parity_images(maps: RunMaps, photos: list[Photo]) -> tuple[Tensor, str]:
    """Images to compare on, uint8 [N,3,S,S], and what they are."""
    import numpy as np
    import torch

    from seglab.export.parity import random_images
    from seglab.predicting.pipeline import read_small

    found = []
    for photo in photos[:PARITY_PHOTOS]:
        with contextlib.suppress(ValueError):  # unreadable photos are told when they are predicted
            found.append(read_small(photo, maps.size)[0])
    what = f"{len(found)} photos"
    if not found:
        found = _test_images(maps)
        what = f"{len(found)} test images of the run"
    if not found:
        return random_images(8, maps.size), "8 random images (the run's data are not at hand; give input=...)"
    return torch.from_numpy(np.stack(found)), what


def _test_images(maps: RunMaps) -> list[Any]:
    from seglab.data import cache
    from seglab.targets import instantiate

    data = maps.config.data
    try:
        items = instantiate(data.source).items("test")
        return [cache.resize(*items[i].read(), maps.size)[0] for i in range(min(PARITY_PHOTOS, len(items)))]
    except (ValueError, OSError) as error:
        log.info("the run's test images are not at hand (%s)", str(error).splitlines()[0])
        return []


def complete(arguments: list[str]) -> list[str]:
    """Take paths as they are typed: one with blanks, commas or brackets in it would have to be quoted twice.

    Args:
        arguments: command line, e.g. ``["run=3974abf1ab", "input=my photo (1).jpg"]``.

    Raises:
        ValueError: no run is named.
    """
    if not any(a.startswith("run=") for a in arguments):
        raise ValueError(
            "run is missing: python -m seglab.predict run=<run folder, name, id or exported file> input=..."
        )
    if any(a in ("-m", "--multirun") for a in arguments):
        return arguments  # commas mean what they mean to Hydra
    return [quoted(a) if a.startswith(("run=", "input=", "output=")) else a for a in arguments]


if __name__ == "__main__":
    sys.exit(run_command("predict", predict, prepare=complete))
