"""Files made to do harm: refused with a message that names them, and what they would have done is not done."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from seglab import checkpoint
from seglab.config import compose
from seglab.models.init import read_state
from seglab.tables.spec import load_table
from seglab.targets import check_targets, instantiate

TARGETS = ("os.system", "torch.load", "seglab.cli.os.system", "torch.hub.load", "builtins.eval", "pickle.loads")


class Touch:
    """Makes a file when it is unpickled, by a command or by Python's own ``open``."""

    def __init__(self, path: Path, *, by_command: bool = True) -> None:
        self.path, self.by_command = str(path), by_command

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",)) if self.by_command else (open, (self.path, "w"))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file that hostile content would make; the test fails if it is there at the end."""
    path = tmp_path / "harm-was-done"
    yield path
    assert not path.exists()


@pytest.mark.parametrize("by_command", [True, False])
def test_the_payload_of_these_tests_works(tmp_path, by_command: bool) -> None:
    pickle.loads(pickle.dumps(Touch(tmp_path / "made", by_command=by_command)))
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize("by_command", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_a_checkpoint_with_code_is_refused(tmp_path, mark, whole: bool, by_command: bool) -> None:
    if whole:
        torch.save({"epoch": 1, "model": Touch(mark, by_command=by_command)}, tmp_path / "last.pt")
    else:
        (tmp_path / "last.pt").write_bytes(pickle.dumps(Touch(mark, by_command=by_command)))
    with pytest.raises(ValueError, match=r"last\.pt: refused|no readable checkpoint"):
        checkpoint.load(tmp_path)


def test_weights_with_code_are_refused(tmp_path, mark) -> None:
    for name, save in (
        ("a.pth", lambda path: torch.save({"w": Touch(mark)}, path)),
        ("b.pth", lambda path: path.write_bytes(pickle.dumps(Touch(mark)))),
        ("c.safetensors", lambda path: torch.save({"w": Touch(mark)}, path)),
    ):
        save(tmp_path / name)
        with pytest.raises(ValueError, match=rf"init\.file=.*{name}: not readable"):
            read_state(tmp_path / name)
    with pytest.raises(ValueError, match="not a readable safetensors"):
        checkpoint.load_weights(tmp_path / "c.safetensors")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("key", ["loss", "model", "data.source", "tracker"])
def test_a_config_that_names_something_else_is_refused(target: str, key: str, mark) -> None:
    with pytest.raises(ValueError, match=r"not allowed|no such object"):
        compose("train", [f"{key}._target_={target}"])
    cfg = OmegaConf.create({key: {"_target_": target, "command": f"touch {mark}", "_args_": [f"touch {mark}"]}})
    with pytest.raises(ValueError, match=r"not allowed|no such object"):
        check_targets(cfg)
    with pytest.raises(ValueError, match=r"not allowed|no such object"):
        instantiate(cfg[key])


@pytest.mark.parametrize(
    "value",
    [
        "${oc.create:{_target_: os.getcwd}}",
        "${oc.create:{x: {_target_: os.getcwd}}}",
        "${oc.create:[{_target_: os.getcwd}]}",
        "${oc.decode:'{_target_: os.getcwd}'}",
        "${other}",
        "${oc.dict.values:outer}",
    ],
)
def test_a_node_behind_an_interpolation_is_seen(value: str) -> None:
    """Such nodes used to pass the check; only Hydra's own list of forbidden names stood between them and a call."""
    hidden = {"_target_": "os.getcwd"}
    node = {"_target_": "seglab.schedule.Constant", "epochs": value}
    cfg = OmegaConf.create({"schedule": node, "other": hidden, "outer": {"x": hidden}})
    with pytest.raises(ValueError, match=r"not allowed|a node, which a config may not hold"):
        check_targets(cfg)
    with pytest.raises(ValueError, match=r"not allowed|a node, which a config may not hold"):
        instantiate(cfg.schedule)


def test_composing_imports_no_package_that_an_override_names(tmp_path, monkeypatch, mark) -> None:
    (tmp_path / "hostile_package").mkdir()
    (tmp_path / "hostile_package" / "__init__.py").write_text(f"open({str(mark)!r}, 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="belong on the command line"):
        compose("train", ["hydra.searchpath=[pkg://hostile_package]"])


def test_a_table_with_foreign_figures_or_objects_is_refused(tmp_path, mark) -> None:
    from seglab.report.figures.draw import check_figure

    path = tmp_path / "mine.yaml"
    path.write_text(
        "id: mine\npaper: p\ntitle: t\nsource: s\nprotocol: x\n"
        f"figures: [{{_target_: os.system, name: f, command: touch {mark}}}]\n"
    )
    spec = load_table(str(path))
    with pytest.raises(ValueError, match=r"os\.system"):
        check_figure(spec.id, spec.figures[0])
    path.write_text(f"id: !!python/object/apply:os.system ['touch {mark}']\n")
    with pytest.raises(ValueError, match=r"mine\.yaml.*python/object"):
        load_table(str(path))


def test_the_config_of_a_run_folder_from_elsewhere_is_refused(tmp_path, mark) -> None:
    from seglab.evaluate import evaluate, merged

    folder = tmp_path / "outputs" / "runs" / "shapes-unet_small-cas-s0-0123456789"
    folder.mkdir(parents=True)
    cfg = compose("train", ["data=shapes", f"runtime.outputs={tmp_path / 'outputs'}"])
    cfg.loss = {"_target_": "os.system", "command": f"touch {mark}"}
    OmegaConf.save(cfg, folder / "config.yaml")
    now = compose("evaluate", [f"run={folder}", "data=shapes", f"runtime.outputs={tmp_path / 'outputs'}"])
    for refuses in (lambda: merged(OmegaConf.load(folder / "config.yaml"), now), lambda: evaluate(now)):
        with pytest.raises(ValueError, match=r"loss\._target_=os\.system: not allowed"):
            refuses()


def test_an_archive_that_climbs_out_is_refused(tmp_path) -> None:
    archive = pytest.importorskip("seglab.fetch.archive")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as pack:
        pack.writestr("images/1.jpg", b"x")
        pack.writestr("../../harm.txt", b"x")
    into = tmp_path / "deep" / "data"
    with pytest.raises(ValueError, match=r"set\.zip.*way out"):
        archive.extract(tmp_path / "set.zip", into)
    assert not list(tmp_path.rglob("*.txt"))
    assert list(into.iterdir()) == []
