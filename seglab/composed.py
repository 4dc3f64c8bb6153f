"""Configs as Hydra composed them, kept in a file between calls: composing takes 0.1 seconds, reading a tenth of that.

What Hydra makes of overrides follows from the YAML files and from its version, so a config is taken from the file only
where both are the same; names, values and targets are checked anew every time (:func:`seglab.config.finalise`). A table
composes some hundred configs, which is most of the work of a call that has nothing to train.

One runnable line: ``python -m seglab.table table=cas_t3 scale=smoke status=true``, twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import omegaconf
from omegaconf import DictConfig, OmegaConf

from seglab.atomic import write_atomic

log = logging.getLogger(__name__)

MOST = 4000
"""Configs in a file; the oldest go first."""


class Composed(NamedTuple):
    """What Hydra makes of overrides.

    Attributes:
        cfg: the config, without Hydra's own part.
        choices: option of every group.
        given: overrides as Hydra read them.
    """

    cfg: DictConfig
    choices: dict[str, str | None]
    given: list[str]


class Store:
    """Composed configs in one JSON file.

    Args:
        path: the file, there or not; one that is broken, or made of other YAML files, counts as empty.
        conf: the folder of YAML files.
    """

    def __init__(self, path: Path, conf: Path) -> None:
        self.path, self.made_of, self._changed = path, _digest(conf), False
        self._entries: dict[str, Any] = {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["made_of"] == self.made_of:
                self._entries = dict(content["configs"])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.info("%s cannot be read (%s), configs are composed anew", path, error)

    def get(self, command: str, overrides: Sequence[str]) -> Composed | None:
        """A config, new at every call; None where it was not composed yet."""
        entry = self._entries.get(_key(command, overrides))
        if not isinstance(entry, Mapping) or {*entry} != {"cfg", "choices", "given"}:
            return None
        cfg = OmegaConf.create(entry["cfg"])
        OmegaConf.set_struct(cfg, True)  # as Hydra leaves it
        return Composed(cfg, dict(entry["choices"]), list(entry["given"]))

    def put(self, command: str, overrides: Sequence[str], made: Composed) -> None:
        """Keep a config, unless plain text does not hold it as it is."""
        content = OmegaConf.to_container(made.cfg, resolve=False)
        entry = {"cfg": content, "choices": made.choices, "given": made.given}
        try:
            same = json.loads(json.dumps(entry)) == entry
        except (TypeError, ValueError):
            same = False
        if same:
            self._entries[_key(command, overrides)] = entry
            self._changed = True

    def save(self) -> None:
        """Write the file where something is new, unless the folder above its own is not there: nothing was run yet."""
        if not self._changed or not self.path.parent.parent.is_dir():
            return
        kept = dict(list(self._entries.items())[-MOST:])
        self.path.parent.mkdir(exist_ok=True)
        write_atomic(self.path, json.dumps({"made_of": self.made_of, "configs": kept}))
        self._changed = False


_STORE: ContextVar[Store | None] = ContextVar("composed", default=None)


def store() -> Store | None:
    """The file in use; None outside :func:`remembered`."""
    return _STORE.get()


@contextlib.contextmanager
def remembered(path: Path, conf: Path) -> Iterator[Store]:
    """Within this block :func:`seglab.config.compose` looks into a file first; what is new is written at its end.

    Args:
        path: the file.
        conf: the folder of YAML files.
    """
    found = Store(path, conf)
    token = _STORE.set(found)
    try:
        yield found
    finally:
        _STORE.reset(token)
        try:
            found.save()
        except OSError as error:  # nothing is lost but time
            log.info("%s cannot be written: %s", path, error)


def _key(command: str, overrides: Sequence[str]) -> str:
    return json.dumps([command, *overrides])


def _digest(conf: Path) -> str:
    """Hash of all YAML files and of the programs that read them."""
    import hydra  # here, so that a help page need not wait for it

    found = hashlib.sha256(f"{hydra.__version__} {omegaconf.__version__}".encode())
    for path in sorted(conf.rglob("*.yaml")):
        found.update(f"\n{path.relative_to(conf)}\n".encode() + path.read_bytes())
    return found.hexdigest()
