"""Which data sets are there: folders, lists and numbers of files; no image is opened.

One runnable line: ``python -c "from seglab.checkup.datasets import facts; print(*facts('data', {}))"``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seglab.checkup.fact import Fact

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".mat")


def facts(data_root: str, environment: Mapping[str, str]) -> Iterator[Fact]:
    """Facts about ``runtime.data_root`` and each data set of ``conf/data`` that is read from it."""
    root = Path(data_root).absolute()
    origin = "from SEGLAB_DATA" if environment.get("SEGLAB_DATA") == data_root else "SEGLAB_DATA is not set"
    if "SEGLAB_DATA" in environment and environment["SEGLAB_DATA"] != data_root:
        origin = "typed"
    shown = f"runtime.data_root={root} ({origin})"
    remedy = "export SEGLAB_DATA=/path/to/data, or runtime.data_root=...; data=shapes needs no files"
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        yield Fact("data root", f"{shown}: {what}", "note", remedy)
        yield from to_be_had(data_root)
        return
    try:
        count = len(os.listdir(root))
    except OSError as error:
        yield Fact("data root", f"{shown}: cannot be listed ({error.strerror})", "note", "see to its rights")
        yield from to_be_had(data_root)
        return
    yield Fact("data root", f"{shown}: {count} entries")
    present, absent = [], []
    for name, content in sets(data_root):
        try:
            text, missing = look(content)
        except OSError as error:
            yield Fact(name, f"cannot be looked at ({error})", "note", "see to the rights of its files")
            continue
        if not missing:
            present.append(f"{name} {text}")
        elif not text:
            absent.append(name)
        else:
            what = f"{text}, but missing: {', '.join(missing[:3])}"
            yield Fact(name, what, "note", f"python -m seglab.preview data={name} says what goes where")
    yield Fact("data present", "; ".join(present) or "none")
    yield Fact("data absent", ", ".join(absent) or "none")


def to_be_had(data_root: str) -> Iterator[Fact]:
    """What a data root could hold; the data set that seglab draws needs none."""
    names = ", ".join(name for name, _ in sets(data_root))
    yield Fact("data sets", f"none is there; to be had: {names} (python -m seglab.prepare says how)")


def sets(data_root: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and source of every data set that is read from the data root."""
    from omegaconf import OmegaConf

    from seglab.config import conf_dir

    for path in sorted((conf_dir() / "data").glob("[!_]*.yaml")):
        if "${runtime.data_root}" in path.read_text(encoding="utf-8"):
            content = OmegaConf.create({"runtime": {"data_root": data_root}, "data": OmegaConf.load(path)})
            content.data.pop("defaults", None)
            if "runs" in content.data.source or "outputs" in content.data.source:  # made by runs, or of other sets
                continue
            data = OmegaConf.to_container(content, resolve=True)["data"]
            if "sets" not in data["source"]:  # those are looked at by themselves
                yield path.stem, data


def look(content: dict[str, Any]) -> tuple[str, list[str]]:
    """What is there of a data set.

    Returns:
        Counts in words, empty where nothing is there; and what is missing.
    """
    source, expected = content["source"], (content.get("about") or {}).get("counts") or {}
    counts, missing = {}, []
    kinds = [what for what in ("images", "masks", "photos") if source.get(what)]
    for what in kinds:
        counts[what] = 0
        for folder in folders(source[what], source.get("folders")):
            if Path(folder).is_dir():
                counts[what] += files(folder)
            else:
                missing.append(folder)
    lists = [source[key] for key in ("train_list", "test_list") if source.get(key)]
    missing += [path for path in lists if not Path(path).is_file()]
    if not any(counts.values()):
        return "", missing or ["files"]
    missing += [f"files in the folder of {what}" for what, count in counts.items() if not count]
    wanted = sum(expected.values())
    text = " ".join(f"{count} {what}" for what, count in counts.items())
    # Lists choose from a folder, and some sets have photos without a mask: more files than expected are no fault.
    if wanted and counts.get("masks", wanted) < wanted:
        missing.append(f"{wanted - counts['masks']} of {wanted} masks")
    return text, missing


def folders(value: Any, names: list[str] | None) -> list[str]:
    """The folders that a setting stands for."""
    if isinstance(value, Mapping):
        return [path for inner in value.values() for path in folders(inner, names)]
    many = [value] if isinstance(value, str) else list(value)
    return [path.replace("{folder}", name) for path in many for name in names or [""]]


def files(folder: str) -> int:
    """Number of image files in a folder, by their names; of class folders, those in them."""
    with os.scandir(folder) as entries:
        found = list(entries)
    count = sum(entry.name.lower().endswith(IMAGES) for entry in found)
    return count or sum(name.lower().endswith(IMAGES) for e in found if e.is_dir() for name in os.listdir(e.path))
