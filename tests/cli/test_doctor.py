"""The doctor's page: what it says of a sound and of a broken machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import REPO
from PIL import Image

from seglab import doctor
from seglab.checkup import datasets, fact, software, storage, surroundings
from seglab.checkup.page import WIDTH, as_json, page


def by_name(facts) -> dict[str, fact.Fact]:
    return {f.name: f for f in facts}


def test_a_sound_installation_gives_one_page(tmp_path) -> None:
    secret = "hunter2-do-not-print"
    kept = ("PATH", "HOME", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "NUMBA_CACHE_DIR")
    environment = {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "PYTHONPATH": str(REPO),
        "SEGLAB_DATA": str(tmp_path / "nowhere"),
        "HF_TOKEN": secret,
        "WANDB_API_KEY": secret,
        "MLFLOW_TRACKING_URI": f"https://me:{secret}@example.org/?token={secret}&x=1",
        "AWS_SESSION": secret,
        "OMP_NUM_THREADS": "1",
    }
    line = [sys.executable, "-m", "seglab.doctor"]
    result = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("# seglab doctor: a run can work")
    assert len(lines) <= 75
    assert max(map(len, lines)) <= WIDTH + 40  # a long path is not broken
    assert secret not in result.stdout + result.stderr
    assert "- HF_TOKEN: set, hidden" in lines
    assert "- MLFLOW_TRACKING_URI: https://hidden@example.org/?token=hidden&x=hidden" in lines
    assert re.search(r"torch \d", result.stdout)
    for text in (
        "numba: compiles",
        "trial cpu: convolution",
        "numpy ",
        "write, fsync, rename",
        "does not exist",
    ):
        assert text in result.stdout, text
    assert "HYDRA_FULL_ERROR" not in result.stdout
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_cannot_be_written_fail(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr(doctor, "gather_apart", lambda name, module: [])
    monkeypatch.setattr(doctor.software, "facts", lambda: [])
    (tmp_path / "file").write_text("")
    parts = doctor.examine(str(tmp_path / "file" / "outputs"), str(tmp_path), {})
    with pytest.raises(ValueError, match=r"^broken: outputs; the page says what to do$"):
        doctor.show(parts, as_json=True)
    (found,) = [f for f in json.loads(capsys.readouterr().out)["Outputs"] if f["name"] == "outputs"]
    assert found["level"] == "broken"
    assert "runtime.outputs=" in found["remedy"]
    assert "Not a directory" in found["text"]


def test_a_probe_that_fails_is_shown_and_the_rest_goes_on(monkeypatch, tmp_path) -> None:
    def raises():
        raise RuntimeError("no such\nprocessor")

    monkeypatch.setattr(doctor.machine, "facts", raises)
    monkeypatch.setattr(doctor, "gather_apart", lambda name, module: [])
    parts = doctor.examine(str(tmp_path / "outputs"), str(tmp_path), {})
    (line,) = parts["Machine"]
    assert line.level == "note"
    assert "RuntimeError: no such processor" in line.text
    assert "no such processor" in page(parts)
    assert by_name(parts["Outputs"])["outputs"].level == "ok"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed by signal 11"),
        ("import sys; sys.exit('library too old')", "exit 1): library too old"),
        ("import time; time.sleep(60)", "no answer within 2 s"),
        ("raise OSError('libcuda.so.1')", "OSError: libcuda.so.1"),
    ],
)
def test_a_probe_apart_may_die(body, said, tmp_path, monkeypatch) -> None:
    (tmp_path / "deadly.py").write_text(f"def facts():\n    {body}\n    yield\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (found,) = fact.gather_apart("deadly", "deadly", seconds=2 if "sleep" in body else 60)
    assert said in found.text
    assert found.level != "ok"


def test_without_hydra_the_page_still_comes(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "seglab.cli", None)
    monkeypatch.setattr(doctor, "gather_apart", lambda name, module: [])
    broken = fact.Fact("hydra-core", "absent", "broken", "pip install 'hydra-core>=1.3.8'")
    monkeypatch.setattr(doctor.software, "facts", lambda: [broken])
    with pytest.raises(SystemExit) as end:
        doctor.main()
    assert end.value.code == 1
    out = capsys.readouterr()
    assert "- BROKEN **hydra-core**: absent; **pip install 'hydra-core>=1.3.8'**" in out.out
    assert "broken: hydra-core" in out.err


def test_versions_are_compared_as_numbers() -> None:
    assert software.reaches("2.11.0+cu130", "2.11")
    assert software.reaches("2.11", "2.11.0")
    assert software.reaches("3.0rc1", "2.20")
    assert not software.reaches("2.9.1", "2.11")
    wanted = software.requirements()
    assert wanted["torch"] == ("2.11", "")
    assert wanted["wandb"][1] == "wandb"
    assert wanted["onnx"][1] == wanted["onnxscript"][1] == "export"
    assert wanted["pytest"][1] == "dev"


def test_old_and_absent_packages_are_marked(monkeypatch) -> None:
    have = {"torch": "2.1.0", "numba": None, "tensorboard": "1.0"}
    monkeypatch.setattr(software, "installed", lambda name: have.get(name, "99"))
    found = by_name(software.package_facts())
    assert (found["torch"].level, found["torch"].text) == ("broken", "2.1.0 is too old")
    assert "'torch>=2.11'" in found["torch"].remedy
    assert (found["numba"].level, found["numba"].text) == ("broken", "absent")
    assert found["tensorboard"].level == "note"
    names = set(re.findall(r"[\w-]+", found["present extras"].text))
    assert {"onnx", "onnxruntime", "onnxscript", "wandb", "mlflow", "hydra-submitit-launcher"} <= names
    assert not {"pytest", "ruff", "torch"} & names
    assert "torch 2.1" not in found["needed"].text


def photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(path)


def test_data_present_in_part_is_marked(tmp_path) -> None:
    for i in range(18):
        photo(tmp_path / "MSRA-mini" / "images" / f"{i}.jpg")
        photo(tmp_path / "MSRA-mini" / "masks" / f"{i}.png")
    photo(tmp_path / "PeopleSeg" / "images" / "1.jpg")
    (tmp_path / "THUR15000" / "Plane" / "Src").mkdir(parents=True)
    (tmp_path / "ECSSD").write_text("a file, not a folder")
    found = by_name(datasets.facts(str(tmp_path), {"SEGLAB_DATA": str(tmp_path)}))
    assert found["data present"].text == "msra_mini 18 images 18 masks"
    assert found["people"].level == "note"
    assert "1 images 0 masks" in found["people"].text
    assert "PeopleSeg/masks" in found["people"].text
    assert "data=people" in found["people"].remedy
    assert {"thur15k", "ecssd", "duts"} <= set(found["data absent"].text.split(", "))
    assert "from SEGLAB_DATA" in found["data root"].text
    (tmp_path / "MSRA-mini" / "masks" / "3.png").unlink()
    again = by_name(datasets.facts(str(tmp_path), {}))
    assert "1 of 18 masks" in again["msra_mini"].text
    broken = by_name(datasets.facts(str(tmp_path / "ECSSD"), {}))
    nowhere = by_name(datasets.facts(str(tmp_path / "nowhere"), {}))
    assert broken["data sets"] == nowhere["data sets"]
    assert nowhere["data sets"].level == "ok"  # the page shows only such below their heading
    assert {"thur15k", "ecssd", "duts", "msra_mini"} <= set(re.findall(r"\w+", nowhere["data sets"].text))
    assert "is a file" in broken["data root"].text
    assert broken["data root"].level == "note"


def test_runs_are_counted_and_leftovers_named(tmp_path) -> None:
    runs = tmp_path / "runs"
    for name, files in {
        "a": ["config.yaml", "DONE", "last.pt"],
        "b": ["config.yaml", "last.pt", "last.pt.tmp", ".lock"],
        "c": ["config.yaml", "FAILED"],
        "d": ["log.jsonl"],
    }.items():
        (runs / name).mkdir(parents=True)
        for file in files:
            (runs / name / file).write_text("ValueError: why" if file == "FAILED" else "x")
    (runs / "notes.txt").write_text("a file among the folders")
    found = by_name(storage.facts(str(tmp_path)))
    assert found["runs"].text == (
        "1 done, 1 stopped, 1 failed, 1 without a config; 1 ended by a kill or a crash, their locks are free"
    )
    assert found["last failure"].text == "c: ValueError: why"
    assert "b/last.pt.tmp" in found["leftovers"].text
    assert "e.g. d" in found["broken runs"].text
    assert sorted(os.listdir(tmp_path)) == ["runs"]


def test_a_folder_that_is_not_there_yet_is_left_so(tmp_path) -> None:
    assert storage.writable(tmp_path / "a" / "b").level == "ok"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/mounts").exists(), reason="no /proc/mounts on this system")
def test_the_file_system_of_a_folder_is_that_of_the_longest_mount_point() -> None:
    assert storage.file_system(Path("/proc")) == ("proc", "/proc")


def test_little_room_and_networks_are_noted(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(storage, "file_system", lambda folder: ("nfs4", "/mnt"))
    monkeypatch.setattr(storage, "ROOM_BYTES", 0)
    assert "across a network" in storage.room(tmp_path).text
    monkeypatch.setattr(storage, "ROOM_BYTES", 10**30)
    assert storage.room(tmp_path).level == "note"


def test_home_and_secrets_are_not_shown(monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert fact.presentable("/home/ann/x:/home/anna/y") == "~/x:/home/anna/y"
    found = by_name(surroundings.facts({"NCCL_X": "/home/ann/lib", "SEGLAB_PASSWORD": "a", "EDITOR": "vi"}))
    assert found["NCCL_X"].text == "~/lib"
    assert found["SEGLAB_PASSWORD"].text == "set, hidden"
    assert "EDITOR" not in found
    many = by_name(surroundings.facts({f"SEGLAB_{i:02d}": "x" for i in range(40)}))
    assert "SEGLAB_39" in many["more variables"].text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("postgresql://me:p@ss/w0rd@db/x?sig=abc123", "postgresql://hidden@db/x?sig=hidden"),
        ("https://me:a/b@h", "https://hidden@h"),
        ("https://me:p?q#r@h/x", "https://hidden@h/x"),
        ("https://a:b@one https://c:d@two/?x=1", "https://hidden@two/?x=hidden"),
        (
            "https://h/?X-Amz-Signature=5e&X-Amz-Credential=AKIA",
            "https://h/?X-Amz-Signature=hidden&X-Amz-Credential=hidden",
        ),
        ("https://h/x?abc123", "https://h/x?hidden"),
        ("https://h/x#access=abc?d", "https://h/x#access=hidden&hidden"),
        ("me:a/b@host", "hidden@host"),
        ("user=ann;token=abc", "user=hidden;token=hidden"),
        ("a\x1b[31mb\x07\udc80", r"a\x1b[31mb\x07\udc80"),
        ("sqlite:///outputs/mlflow.db", "sqlite:///outputs/mlflow.db"),
        ("expandable_segments:True", "expandable_segments:True"),
        ("/opt/lib:/opt/spack@1/lib", "/opt/lib:/opt/spack@1/lib"),
    ],
)
def test_of_an_address_only_the_place_is_shown(value: str, shown: str) -> None:
    assert surroundings.value_of("HF_ENDPOINT", value) == shown


@pytest.mark.parametrize("name", ["WANDB_USERNAME", "SEGLAB_EMAIL", "HF_USER", "MLFLOW_TRACKING_PASSWORD"])
def test_who_the_user_is_is_not_shown(name: str) -> None:
    assert surroundings.value_of(name, "ann") == "set, hidden"


def test_no_text_of_the_page_names_the_home_directory(monkeypatch, tmp_path) -> None:
    real, link = tmp_path / "disk" / "ann", tmp_path / "home" / "ann"
    real.mkdir(parents=True)
    link.parent.mkdir()
    link.symlink_to(real)
    monkeypatch.setenv("HOME", str(link))

    def raises():
        raise OSError(f"{real}/lib.so: bad\x1b[2J, see {link}/x")

    (failed,) = fact.gather("probe", raises)
    parts = {"A": [failed, fact.Fact(f"{link}/a", f"{real}/b", "note", f"see {link}/c"), fact.Fact("d", f"in {real}")]}
    for text in (page(parts), as_json(parts)):
        assert "ann" not in text
        assert "\x1b" not in text
        for shown in ("~/a", "~/b", "~/c", "in ~", "~/lib.so: bad", "~/x"):
            assert shown in text
    # Cut in the middle, a path would not be known any more.
    long = fact.brief("x" * (fact.LONGEST - len(str(real)) + 2) + f" {real}/y")
    assert "/disk/" not in long


def test_weights_on_disk_are_listed(tmp_path) -> None:
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "resnet101-cd907fc2.pth").write_bytes(bytes(2000))
    assert "resnet101-cd907fc2.pth 2 kB" in surroundings.weights({"TORCH_HOME": str(tmp_path)}).text
