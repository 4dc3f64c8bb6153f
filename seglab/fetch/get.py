"""Bring a data set below ``runtime.data_root``: fetch what is missing, unpack it, note what it was.

One runnable line: ``python -c "from pathlib import Path; from seglab.fetch.recipe import load_recipe;
from seglab.fetch.get import get; get(load_recipe('ecssd'), Path('data'))"``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from itertools import takewhile
from pathlib import Path, PurePosixPath

from seglab.fetch.archive import check_folder, extract
from seglab.fetch.download import Fetched, download
from seglab.fetch.recipe import Recipe, RemoteFile
from seglab.fetch.state import State
from seglab.fetch.task import Patience

log = logging.getLogger(__name__)


def get(
    recipe: Recipe,
    root: Path,
    *,
    force: bool = False,
    keep: bool = False,
    patience: Patience | None = None,
    progress: bool = False,
) -> bool:
    """Make a data set whole.

    Args:
        recipe: what to fetch.
        root: ``runtime.data_root``.
        force: fetch and unpack again what is there, and replace files that differ.
        keep: keep the archives in ``<root>/.seglab/downloads``.
        patience: time-outs and repetitions.
        progress: show bars.

    Returns:
        False where everything was there and nothing was done.

    Raises:
        ValueError: it cannot be fetched (the message says what to do by hand), or an archive is not as it should be.
    """
    state = State(root, recipe)
    if state.whole and not force:
        return False
    if not recipe.files:
        raise ValueError(by_hand(state, "no direct address is known"))
    if standin := state.standin():
        raise ValueError(
            f"download={recipe.name}: '{standin}' holds generated images; choose another runtime.data_root"
        )
    log.info("%s: %s. Licence: %s. Cite: %s", recipe.name, recipe.title, recipe.licence, recipe.citation)
    wanted = [file for file in recipe.files if force or not state.has(file)]
    for file in wanted:  # before hours of fetching, not after
        _check_places(state, file)
    with state.lock():
        for file in recipe.files:
            if file not in wanted:
                log.info("%s: %s is there already", recipe.name, file.key)
                continue
            _file(state, file, force=force, keep=keep, patience=patience or Patience(), progress=progress)
        if not keep:
            shutil.rmtree(state.downloads, ignore_errors=True)
            with contextlib.suppress(OSError):  # other sets may have theirs there
                state.downloads.parent.rmdir()
    return True


def by_hand(state: State, reason: str) -> str:
    """What a person has to do, in one message."""
    recipe = state.recipe
    lines = [f"data={recipe.name}: {reason}", f"  {recipe.title} is {state.words()} in runtime.data_root={state.root}"]
    lines += [f"  by hand:  {recipe.by_hand}"] if recipe.by_hand else []
    lines += [f"  homepage: {recipe.homepage}", f"  expected: {recipe.layout}", f"  licence:  {recipe.licence}"]
    lines += [
        f"  missing:  {pattern}: {found} of {dict(recipe.expect)[pattern]} files"
        for pattern, found in state.lacking(recipe.expect).items()
    ]
    return "\n".join(lines)


def _check_places(state: State, file: RemoteFile) -> None:
    """Refuse folders that an archive must not be unpacked into, as far as the recipe names them."""
    if not file.unpack:
        return
    below = [PurePosixPath(file.into, folder) for folder in ("", *dict(file.by_type).values())]
    try:
        for folder in (*below, *(_plain(pattern) for pattern, _ in file.expect)):
            check_folder(state.root.resolve(), folder)
    except ValueError as error:
        raise ValueError(f"download.files.{file.key} of {state.recipe.name}: {error}; nothing was fetched") from error


def _plain(pattern: str) -> PurePosixPath:
    """The folders of a pattern before the first sign that stands for others."""
    folders = PurePosixPath(pattern).parent.parts
    return PurePosixPath(*takewhile(lambda part: not set(part) & set("*?["), folders))


def _file(state: State, file: RemoteFile, *, force: bool, keep: bool, patience: Patience, progress: bool) -> None:
    name = state.recipe.name
    path = state.downloads / f"{file.key}-{file.name}"
    try:
        fetched = download(
            file.urls, path, sha256=file.sha256, md5=file.md5, size=file.bytes, patience=patience, progress=progress
        )
    except ValueError as error:
        raise ValueError(by_hand(state, str(error))) from error
    _tell(name, file, fetched)
    if file.unpack:
        try:
            files = extract(path, state.root, select=file.target, replace=force, progress=progress)
        except ValueError as error:
            raise ValueError(f"download.files.{file.key} of {name}: {error}; the archive is '{path}'") from error
    else:
        files = [_take(state.root, file, path, keep)]
    state.write(file, fetched, len(files))
    for pattern, wanted in file.expect:
        if (found := state.count(pattern)) != wanted:
            log.warning("%s: %s: %d files, %d expected", name, pattern, found, wanted)
    if not keep:
        path.unlink(missing_ok=True)
    log.info("%s: %s: %d files in %s", name, file.key, len(files), state.root / file.into)


def _take(root: Path, file: RemoteFile, path: Path, keep: bool) -> Path:
    """Put a download that is no archive where it belongs."""
    target = root / file.into / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    if keep:
        half = target.with_name(f"{target.name}.tmp")
        shutil.copyfile(path, half)
        path = half
    os.replace(path, target)
    return target


def _tell(name: str, file: RemoteFile, fetched: Fetched) -> None:
    if file.sha256 or file.md5:
        log.info("%s: %s: %d bytes, checksum as expected", name, file.key, fetched.bytes)
        return
    log.warning(
        "%s: %s: no checksum is known, so nothing could be compared; to pin what was got (%d bytes%s): "
        "download.files.%s.sha256=%s",
        name,
        file.key,
        fetched.bytes,
        ", fetched without encryption" if fetched.url.startswith("http:") else "",
        file.key,
        fetched.sha256,
    )
