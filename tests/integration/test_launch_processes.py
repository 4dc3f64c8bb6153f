"""Launch engines with real processes: what is killed, stopped or restarted ends with the undisturbed run's weights."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from conftest import REPO
from omegaconf import OmegaConf

from seglab.config import compose, conf_dir
from seglab.launch.engine import run_all
from seglab.launch.work import Outcome, Work, is_locked
from seglab.run import Run

RUNNER = """
import json, sys
from omegaconf import OmegaConf
from seglab import cli
from seglab.launch.engine import run_all
from seglab.launch.work import Work
given = json.load(open(sys.argv[1]))
works = [Work(**{k: tuple(v) if isinstance(v, list) else v for k, v in w.items()}) for w in given["works"]]
cli.setup_logging()
def tell(item, outcome):
    print(item.key, outcome.state if outcome else "starts", outcome.reason if outcome else "", flush=True)
try:
    run_all(works, OmegaConf.create(given["launch"]), outputs=given["outputs"], on_change=tell)
except cli.Stopped as stop:
    print(stop, file=sys.stderr)
    sys.exit(cli.EXIT_STOPPED)
assert "torch" not in sys.modules
"""


EPOCHS = 24
TINY = "data=shapes data.size=32 data.source.train=24 data.source.test=8 batch_size=4 val=0.25 tracker=none"
TINY += f" runtime.device=cpu runtime.threads=1 eval.every=1000 schedule.epochs={EPOCHS}"


def make_works(outputs: Path, seeds: int) -> list[Work]:
    """Runs of a few seconds that differ in their seed."""
    items = []
    for seed in range(seeds):
        cfg = compose("train", [*TINY.split(), f"runtime.outputs={outputs}", f"seed={seed}"])
        path = Run.for_config(cfg).path
        items.append(Work(path.name, str(path), (OmegaConf.to_yaml(cfg),)))
    return items


def settings_of(name: str, **changes) -> dict:
    return {**OmegaConf.to_container(OmegaConf.load(conf_dir() / "launch" / f"{name}.yaml")), **changes}


def hashes(items: list[Work]) -> list[str]:
    return [hashlib.sha256((Path(i.folder) / "model.safetensors").read_bytes()).hexdigest() for i in items]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> list[str]:
    """What the same runs give one after the other in this process: hashes of the weights of seeds 0, 1, 2."""
    folder = tmp_path_factory.mktemp("inline")
    items = make_works(folder, 3)
    outcomes = run_all(items, OmegaConf.create({"name": "inline"}), outputs=folder, on_change=lambda *_: None)
    assert all(outcome.state == "done" for outcome in outcomes.values()), outcomes
    return hashes(items)


def epochs(item: Work) -> list[int]:
    return [json.loads(line)["epoch"] for line in (Path(item.folder) / "log.jsonl").read_text().splitlines()]


def text_of(item: Work) -> str:
    return (Path(item.folder) / "train.log").read_text()


def wait_for(condition: Callable, seconds: float = 120):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)
    return found


def holder(item: Work) -> int | None:
    """The process that holds a run folder's lock."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == str(Path(item.folder) / ".lock"):
                return int(link.parts[2])
        except OSError:
            continue
    return None


def training(item: Work) -> bool:
    """Whether a run is between its first saved epoch and its last."""
    path = Path(item.folder) / "last.pt"
    return path.exists() and is_locked(item.folder) and not (Path(item.folder) / "DONE").exists()


@pytest.fixture
def runner(tmp_path: Path):
    """Start the engine in a process of its own; whatever is left of it is ended after the test."""
    started: list[subprocess.Popen] = []
    script = tmp_path / "runner.py"
    script.write_text(RUNNER)

    def start(items: list[Work], launch: dict, outputs: Path, **environment: str) -> subprocess.Popen:
        given = tmp_path / f"given-{len(started)}.json"
        given.write_text(json.dumps({"works": [asdict(i) for i in items], "launch": launch, "outputs": str(outputs)}))
        log = open(tmp_path / f"runner-{len(started)}.log", "w")  # noqa: SIM115
        process = subprocess.Popen(
            [sys.executable, str(script), str(given)],
            env={**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1", **environment},
            stdout=log,
            stderr=log,
        )
        started.append(process)
        process.log = Path(log.name)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def test_killed_and_timed_out_workers_go_on_to_the_same_weights(undisturbed, tmp_path, runner) -> None:
    """Two slots, three runs: one worker is killed, one is told that its time is up; the third run is left alone."""
    items = make_works(tmp_path / "local", 3)
    process = runner(items, settings_of("local", slots=2, gpus=None), tmp_path / "local")
    to_send = {items[0]: signal.SIGKILL, items[1]: signal.SIGUSR2}  # the second is sent before the time is up
    while to_send:
        item = wait_for(lambda: next(filter(training, to_send), None))
        os.kill(holder(item), to_send.pop(item))
    assert process.wait(200) == 0, process.log.read_text()
    said = process.log.read_text()
    assert "killed by SIGKILL" in said
    assert "try 2 of 2" in said
    assert "going on from epoch" in text_of(items[0])
    assert "going on from epoch" in text_of(items[1])
    assert "going on from epoch" not in text_of(items[2])
    assert all(epochs(item) == list(range(EPOCHS)) for item in items)
    logs = list((tmp_path / "local" / "jobs").glob("*/*_log.out"))
    assert any("Requeued job" in path.read_text() for path in logs)
    assert not list((tmp_path / "local" / "jobs").glob("*/slot-*"))
    assert hashes(items) == undisturbed


def test_a_stopped_and_a_killed_runner_are_restarted(undisturbed, tmp_path, runner) -> None:
    items = make_works(tmp_path / "local", 2)
    settings = settings_of("local", gpus=None)

    stopped = runner(items, settings, tmp_path / "local")
    wait_for(lambda: training(items[0]))
    stopped.send_signal(signal.SIGINT)
    assert stopped.wait(60) == 75, stopped.log.read_text()
    assert not is_locked(items[0].folder)
    assert "start the same command" in stopped.log.read_text()
    saved = len(epochs(items[0]))
    assert 0 < saved < EPOCHS

    killed = runner(items, settings, tmp_path / "local")
    wait_for(lambda: training(items[0]) and len(epochs(items[0])) > saved)
    killed.kill()
    assert is_locked(items[0].folder)  # its worker lives on

    final = runner(items, settings, tmp_path / "local")
    assert final.wait(200) == 0, final.log.read_text()
    said = final.log.read_text()
    assert f"{items[0].key}: another process is working on it" in said
    assert text_of(items[0]).count("going on from epoch") == 1
    assert all(epochs(item) == list(range(EPOCHS)) for item in items)
    assert hashes(items) == undisturbed[:2]


FAKE_SLURM = {
    "sbatch": """
import os, re, subprocess, sys
home, script = os.environ["FAKE_SLURM"], os.path.abspath(sys.argv[1])
job = str(100 + len(os.listdir(home)))
text = open(script).read()
array = re.search(r"--array=.?0-(\\d+)", text)
for task in range(int(array[1]) + 1) if array else [None]:
    name = job if task is None else f"{job}_{task}"
    environment = {**os.environ, "SLURM_JOB_ID": job, "SLURM_JOB_NUM_NODES": "1", "SLURM_NTASKS": "1"}
    if task is not None:
        environment |= {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": str(task)}
    open(f"{home}/{name}", "w").write("RUNNING")
    end = f"bash {script}; rc=$?; echo -n $([ $rc = 0 ] && echo COMPLETED || echo FAILED) > {home}/{name}"
    subprocess.Popen(["bash", "-c", end], env=environment, start_new_session=True, stdout=subprocess.DEVNULL,
                     stderr=subprocess.DEVNULL)
print("Submitted batch job", job)
""",
    "srun": """
import os, sys
arguments = sys.argv[1:]
where = {}
while arguments[0].startswith("--"):
    option = arguments.pop(0)
    if option in ("--output", "--error"):
        where[option] = arguments.pop(0)
def path(pattern):
    job, array = os.environ["SLURM_JOB_ID"], os.environ.get("SLURM_ARRAY_JOB_ID", "")
    full = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else job
    pattern = pattern.replace("%j", full).replace("%A", array or job).replace("%t", "0")
    return pattern.replace("%a", os.environ.get("SLURM_ARRAY_TASK_ID", ""))
for option, number in (("--output", 1), ("--error", 2)):
    os.dup2(os.open(path(where[option]), os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
os.environ |= {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
os.execvp(arguments[0], arguments)
""",
    "squeue": """
import os
home = os.environ["FAKE_SLURM"]
for name in os.listdir(home):
    if open(f"{home}/{name}").read() == "RUNNING":
        print(name)
""",
    "sacct": """
import os, sys
print(open(os.environ["FAKE_SLURM"] + "/" + sys.argv[sys.argv.index("--jobs") + 1]).read())
""",
    "scancel": "raise SystemExit('nobody should cancel')",
}


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """A Slurm of shell scripts: jobs run at once, in the background, and outlive who submitted them."""
    programs, state = tmp_path / "bin", tmp_path / "state"
    programs.mkdir()
    state.mkdir()
    for name, text in FAKE_SLURM.items():
        (programs / name).write_text(f"#!{sys.executable} -S{text}")
        (programs / name).chmod(0o755)
    return {"PATH": f"{programs}:{os.environ['PATH']}", "FAKE_SLURM": str(state)}


def test_slurm_jobs_outlive_their_runner_and_are_attached_to(undisturbed, tmp_path, runner, slurm) -> None:
    items = make_works(tmp_path / "slurm", 2)
    settings = settings_of("slurm", poll_s=0.3, mem="1GB", partition="day", setup=["export MARK=1"])
    first = runner(items, settings, tmp_path / "slurm", **slurm)
    wait_for(lambda: training(items[0]))
    first.kill()
    records = sorted(path.stem for path in (tmp_path / "slurm" / "jobs").glob("*.json"))
    assert records == sorted(item.key for item in items)
    second = runner(items, settings, tmp_path / "slurm", **slurm)
    assert second.wait(200) == 0, second.log.read_text()
    said = second.log.read_text()
    assert said.count("attached to job 100_") == 2
    assert sorted(os.listdir(slurm["FAKE_SLURM"])) == ["100_0", "100_1"]  # submitted once
    assert not list((tmp_path / "slurm" / "jobs").glob("*.json"))
    script = next((tmp_path / "slurm" / "jobs" / "slurm").glob("*submission.sh")).read_text()
    for line in ("--partition=day", "--time=240", "--mem=1GB", "--gpus-per-node=1", "--array=0-1%2", "export MARK=1"):
        assert line in script
    assert "going on" not in text_of(items[0]) + text_of(items[1])
    assert hashes(items) == undisturbed[:2]


def test_a_dead_slurm_job_is_submitted_again_and_then_given_up(tmp_path, slurm, monkeypatch) -> None:
    """The job's Python cannot start; squeue forgets it, sacct says why."""
    for name, value in slurm.items():
        monkeypatch.setenv(name, value)
    items = [Work("run", str(tmp_path / "run"), ("a: 1",)), Work("next", str(tmp_path / "next"), (), ("run",))]
    settings = OmegaConf.create(settings_of("slurm", poll_s=0.2, setup=["exit 3"]))
    seen: list[tuple[str, Outcome | None]] = []
    outcomes = run_all(items, settings, outputs=tmp_path, on_change=lambda w, o: seen.append((w.key, o)))
    assert outcomes["run"].state == outcomes["next"].state == "failed"
    assert "ended as FAILED" in outcomes["run"].reason
    assert len(os.listdir(slurm["FAKE_SLURM"])) == 2  # one retry
    assert [key for key, _ in seen] == ["run", "next"]
