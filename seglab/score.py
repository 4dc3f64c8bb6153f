"""Score any method's maps: ``python -m seglab.score pred=[maps/DSS,maps/mine] gt=masks protocol=sal_eval_toolbox``.

Writes ``<outputs>/scores/<set>-<protocol>/`` with a CSV per method (one line an image), the table as Markdown, CSV and
LaTeX, ``summary.json`` and the curves. The table is printed; the last line on stdout is the folder. Every protocol is
written down by formula in ``docs/metrics.md``.
"""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from seglab.cli import run_command
from seglab.words import nearest

if TYPE_CHECKING:
    from seglab.scoring.folders import Work
    from seglab.scoring.gather import Result
    from seglab.scoring.measure import Measure

log = logging.getLogger(__name__)

CHOICES = {
    "missing": ("error", "skip"),
    "resize": ("error", "to_mask"),
    "weighted": (True, False),
    "curves": (True, False),
}


def score(cfg: DictConfig) -> Path:
    """Score maps against masks.

    Args:
        cfg: finalised config of ``conf/score.yaml``.

    Returns:
        The folder of tables, rows and curves.

    Raises:
        ValueError: a value that is not offered, or all faults of all files in one message; nothing is written then.
    """
    from seglab.scoring.faults import Faults
    from seglab.scoring.folders import file_name, gather, set_name
    from seglab.scoring.measure import measure_for
    from seglab.scoring.results import write_results

    check(cfg)
    protocol = protocol_of(cfg)
    measure = measure_for(protocol, weighted=cfg.weighted, resize=cfg.resize)
    pred = [str(p) for p in cfg.pred] if isinstance(cfg.pred, ListConfig) else [str(cfg.pred)]
    faults = Faults()
    work = gather(pred, str(cfg.gt), missing=cfg.missing, names=cfg.names, faults=faults)
    for line in work.left_out:
        log.info("%s", line)
    name = file_name(cfg.set or set_name(work.gt))
    folder = Path(cfg.runtime.outputs) / "scores" / f"{name}-{file_name(protocol.name)}"
    with beside(folder) as draft:
        results = score_all(work, measure, draft, faults, workers=cfg.runtime.workers, progress=cfg.runtime.progress)
        about = {
            "set": str(cfg.set or set_name(work.gt)),
            "protocol": protocol.to_dict(),
            "percent": not results[0].curves,
            "settings": {key: cfg[key] for key in CHOICES},
            "command": f"python -m seglab.score {shlex.join(sys.argv[1:])}",
        }
        text = write_results(results, work, draft, about=about, columns=table_columns(cfg, results), curves=cfg.curves)
    sys.stdout.write(f"{text}\n")
    return folder


def score_all(work: Work, measure: Measure, folder: Path, faults: Any, *, workers: int, progress: bool) -> list[Result]:
    """Score every pair and write the methods' CSV files.

    Raises:
        ValueError: there were faults, all told at once.
    """
    from tqdm import tqdm

    from seglab.scoring.gather import Method
    from seglab.scoring.work import score_parts

    with contextlib.ExitStack() as stack:
        methods = {name: stack.enter_context(Method(name, measure, folder)) for name in work.methods}
        bar = stack.enter_context(
            tqdm(total=len(work.stems), desc="score", unit="image", leave=False, disable=None if progress else True)
        )
        for part in score_parts(work, measure, workers=workers):
            faults.extend(part.faults)
            for name, rows in part.rows.items():
                methods[name].take(rows, part.sums[name])
            bar.update(part.images)
    faults.check()
    return [method.result() for method in methods.values()]


def protocol_of(cfg: DictConfig) -> Any:
    """The protocol's object.

    Raises:
        ValueError: a value outside its range; the message names ``protocol.<key>``.
    """
    from seglab.targets import instantiate

    try:
        return instantiate(cfg.protocol)
    except ValueError as error:
        raise ValueError(re.sub(r"\beval\.protocol\.", "protocol.", str(error))) from error


def check(cfg: DictConfig) -> None:
    """Check what belongs to no constructor.

    Raises:
        ValueError: naming the key, its value and what is expected.
    """
    for key in ("pred", "gt"):
        if OmegaConf.is_missing(cfg, key) or cfg[key] is None:
            raise ValueError(f"{key} is missing: python -m seglab.score pred=<folder of maps> gt=<folder of masks>")
    for key, offered in CHOICES.items():
        if cfg[key] not in offered:
            raise ValueError(f"{key}={cfg[key]}: expected one of {', '.join(map(str, offered))}")
    if cfg.names is not None and not isinstance(cfg.names, ListConfig):
        raise ValueError(f"names={cfg.names}: expected a list, one name for each folder of pred: names=[a,b]")


def table_columns(cfg: DictConfig, results: list[Result]) -> list[str]:
    """The metrics of the table: those of the config that were measured, and the classes of label maps.

    Raises:
        ValueError: a name that no protocol measures.
    """
    there = list(results[0].metrics)
    known = {*there, "fbeta_weighted", "fbeta", "jaccard", "precision", "recall"}
    for column in cfg.columns:
        if column not in known:
            raise ValueError(f"columns={column}: no such metric{nearest(column, there)}")
    chosen = [column for column in cfg.columns if column in there]
    return chosen + [name for name in there if re.fullmatch(r"iou_\d+", name) and name not in chosen]


@contextlib.contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """A new folder whose files take their places in ``folder`` at the end, or vanish if anything went wrong."""
    host = platform.node()
    draft = folder.with_name(f".{folder.name}.{host}.{os.getpid()}.tmp")
    for old in folder.parent.glob(f".{glob.escape(folder.name)}.{glob.escape(host)}.*.tmp"):
        if not alive(int(old.name.split(".")[-2])):  # of a command that was killed here
            shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        folder.mkdir(exist_ok=True)
        for path in sorted(draft.iterdir()):
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def alive(pid: int) -> bool:
    """Whether a process of this machine still runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def complete(arguments: list[str]) -> list[str]:
    """``pred=a,b`` is several methods, not a sweep."""
    return [
        f"pred=[{a[5:]}]" if a.startswith("pred=") and "," in a and not a.startswith("pred=[") else a for a in arguments
    ]


if __name__ == "__main__":
    sys.exit(run_command("score", score, prepare=complete))
