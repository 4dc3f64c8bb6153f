"""Score any method's maps: ``python -m seglab.score pred=[maps/DSS,maps/mine] gt=masks protocol=sal_eval_toolbox``.

Label maps and boundary maps against the annotations of BSDS:
``python -m seglab.score pred=maps gt=BSDS500/data/groundTruth/val protocol=bsds_regions``, or ``bsds_boundaries``.

Writes ``<outputs>/scores/<set>-<protocol>/`` with a CSV per method (one line an image), the table as Markdown, CSV and
LaTeX, ``summary.json`` and the curves. The table is printed; the last line on stdout is the folder. Every protocol is
written down by formula in ``docs/metrics.md``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from seglab.atomic import replacing
from seglab.cli import run_command
from seglab.words import nearest, quoted, some

if TYPE_CHECKING:
    from seglab.scoring.folders import Work
    from seglab.scoring.gather import Result
    from seglab.scoring.measured import Measure

log = logging.getLogger(__name__)

CHOICES = {
    "missing": ("error", "skip"),
    "resize": ("error", "to_mask"),
    "reading": ("strict", "grey"),
    "weighted": (True, False),
    "curves": (True, False),
}
LOOKS = ("curves",)
"""Settings that change no number: another call may change them in the same folder."""
SOME_MAPS = ("threshold_ods", "scale_ods")
"""Metrics that only soft maps, or only label maps of several scales have."""
TYPED = ("pred=", "gt=", "names=", "set=")


def score(cfg: DictConfig) -> Path:
    """Score maps against masks.

    Args:
        cfg: finalised config of ``conf/score.yaml``.

    Returns:
        The folder of tables, rows and curves.

    Raises:
        ValueError: a value that is not offered, results of other settings in the same folder, or all faults of all
            files in one message; nothing is written then but ``<folder>.unmatched.csv``, files without a partner.
    """
    from seglab.scoring.faults import Faults
    from seglab.scoring.folders import file_name, gather, set_name
    from seglab.scoring.measure import measure_for
    from seglab.scoring.place import beside
    from seglab.scoring.results import read_as, write_results

    check(cfg)
    protocol = protocol_of(cfg)
    measure = measure_for(protocol, weighted=cfg.weighted, resize=cfg.resize, reading=cfg.reading)
    faults = Faults()
    work = gather(
        [_home(p) for p in several(cfg.pred)],
        _home(str(cfg.gt)),
        missing=cfg.missing,
        names=None if cfg.names is None else several(cfg.names),
        faults=faults,
        reads=measure.reads,
    )
    for line in work.left_out:
        log.info("%s", line)
    name = str(cfg.set or set_name(work.gt))
    folder = Path(cfg.runtime.outputs) / "scores" / f"{file_name(name)}-{file_name(protocol.name)}"
    about: dict[str, Any] = {
        "set": name,
        "gt": str(work.gt.resolve()),
        "protocol": protocol.to_dict(),
        "settings": {key: cfg[key] for key in CHOICES if key not in LOOKS},
        "command": f"python -m seglab.score {shlex.join(sys.argv[1:])}",
    }
    with beside(folder, about) as draft:
        list_unmatched(work, folder, faults, missing=cfg.missing)
        results, empty = score_all(
            work, measure, draft, faults, workers=cfg.runtime.workers, progress=cfg.runtime.progress
        )
        for line in read_as(results, work):
            log.info("%s", line)
        check_objects(empty, work, protocol)
        about |= {"percent": measure.percent, "masks_without_object": len(empty)}
        text = write_results(results, work, draft, about=about, columns=table_columns(cfg, results), curves=cfg.curves)
    sys.stdout.write(f"{text}\n")
    return folder


def several(value: Any) -> list[str]:
    """One value or a list of them as a list of text."""
    return [str(v) for v in value] if isinstance(value, ListConfig) else [str(value)]


def list_unmatched(work: Work, folder: Path, faults: Any, *, missing: str) -> None:
    """Write the whole list of files without a partner where they are an error; take away that of an earlier call."""
    from seglab.scoring.results import write_unmatched

    path = folder.with_name(f"{folder.name}.unmatched.csv")
    if work.unmatched and missing == "error":
        with replacing(path) as temporary:
            write_unmatched(work, temporary)
        faults.note = f"All {len(work.unmatched)} files without a partner are listed in {path}, the only file written"
    else:
        path.unlink(missing_ok=True)


def check_objects(empty: list[str], work: Work, protocol: Any) -> None:
    """Warn of masks without an object.

    Raises:
        ValueError: all masks are empty.
    """
    if not empty:
        return
    trimap = getattr(protocol, "trimap", False)
    what = "no pixel of value 1" if trimap else f"no pixel above protocol.mask_above={protocol.mask_above}"
    if len(empty) == len(work.stems):
        raise ValueError(
            f"gt={work.gt}: all {len(empty)} masks that have a map are without an object ({what}); nothing "
            "was written. Look at them"
        )
    log.warning("masks without an object (%s): %s", what, some(empty))


def score_all(
    work: Work, measure: Measure, folder: Path, faults: Any, *, workers: int, progress: bool
) -> tuple[list[Result], list[str]]:
    """Score every pair and write the methods' CSV files; also the names of masks without an object.

    Raises:
        ValueError: there were faults, all told at once.
    """
    from tqdm import tqdm

    from seglab.scoring.gather import Method
    from seglab.scoring.work import score_parts

    empty: list[str] = []
    with contextlib.ExitStack() as stack:
        methods = {name: stack.enter_context(Method(name, measure, folder)) for name in work.methods}
        bar = stack.enter_context(
            tqdm(total=len(work.stems), desc="score", unit="image", leave=False, disable=None if progress else True)
        )
        for part in score_parts(work, measure, workers=workers):
            faults.extend(part.faults)
            empty += part.empty
            for name, rows in part.rows.items():
                methods[name].take(rows, part.sums[name], part.kinds[name])
            bar.update(part.images)
    for method in methods.values():
        faults.extend(method.faults())
    faults.check()
    return [method.result() for method in methods.values()], empty


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


def table_columns(cfg: DictConfig, results: list[Result]) -> list[str]:
    """The metrics of the table: those of the config that were measured, and the classes of label maps.

    Raises:
        ValueError: a name that no protocol measures.
    """
    there = list(dict.fromkeys(metric for result in results for metric in result.metrics))
    known = {*there, *SOME_MAPS, "fbeta_weighted", "fbeta", "jaccard", "precision", "recall"}
    for column in cfg.columns:
        if column not in known:
            raise ValueError(f"columns={column}: no such metric{nearest(column, there)}")
    chosen = [column for column in cfg.columns if column in there]
    return chosen + [name for name in there if re.fullmatch(r"iou_\d+", name) and name not in chosen]


def complete(arguments: list[str]) -> list[str]:
    """Take paths and names as they are typed: ``pred=my maps (v2), new`` is two methods, not a sweep."""
    if any(a in ("-m", "--multirun") for a in arguments):
        return arguments  # commas mean what they mean to Hydra
    return [_typed(*a.partition("=")[::2]) if a.startswith(TYPED) else a for a in arguments]


def _typed(key: str, value: str) -> str:
    if value[:1] in ("[", "'", '"') or "${" in value or value == "null":
        return f"{key}={value}"
    whole = key in ("gt", "set") or (key == "pred" and Path(value).expanduser().is_dir())
    parts = [value] if whole else [part.strip() for part in value.split(",") if part.strip()]
    quotes = [quoted(f"{key}={_home(part) if key in ('pred', 'gt') else part}").partition("=")[2] for part in parts]
    return f"{key}=[{','.join(quotes)}]" if len(parts) > 1 else f"{key}={''.join(quotes)}"


def _home(path: str) -> str:
    """A path with ``~`` written out, which the shell leaves alone after an equals sign."""
    return os.path.expanduser(path)


if __name__ == "__main__":
    sys.exit(run_command("score", score, prepare=complete, resumable=False))
