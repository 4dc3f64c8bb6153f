"""Kill a training at random moments, start it again each time, and compare it with an undisturbed one, bit for bit.

    python scripts/kill_points.py --kills 50 --seed 0

A fifth of the kills fall into the start of the process, a tenth into the scoring at the end, the others into training
steps and the checkpoints between them (one after every step). Every second attempt has two data workers. After every
kill each file of the run folder is read.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf
from PIL import Image

from seglab import checkpoint
from seglab.config import compose
from seglab.run import Run

SETTINGS = (
    "data=shapes", "data.size=32", "data.source.train=40", "data.source.test=1500", "batch_size=8", "val=0.2",
    "loss=cas", "noise.rate=0.5", "runtime.save_minutes=0", "runtime.threads=1", "runtime.device=cpu", "eval.every=25",
)  # fmt: skip
LIMIT_S = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    parser.add_argument("--epochs", type=int, default=400)
    parser.add_argument("--folder", type=Path, default=None, help="where both runs go; default: a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        study(options, options.folder or Path(temporary))


def study(options: argparse.Namespace, folder: Path) -> None:
    settings = [*SETTINGS, f"schedule.epochs={options.epochs}"]
    whole, broken = ([*settings, f"runtime.outputs={folder / name}"] for name in ("whole", "broken"))
    started = time.monotonic()
    process, run = start(whole)
    first = wait(process, lambda: (run.path / "last.pt").exists())
    assert process.wait(LIMIT_S) == 0, "the undisturbed run failed"
    print(f"undisturbed: {time.monotonic() - started:.1f} s, first checkpoint after {first:.1f} s", flush=True)
    draw, counts = random.Random(options.seed), {"start": 0, "training": 0, "scoring": 0}
    damage: list[str] = []
    for number in range(options.kills):
        kind = "start" if number % 5 == 0 else "scoring" if number >= options.kills * 0.9 else "training"
        process, killed = start([*broken, f"runtime.workers={2 * (number % 2)}"])
        aim(process, killed, kind, draw, first=first, epochs=options.epochs)
        if process.poll() is not None:
            sys.exit(f"the run ended by itself before kill {number + 1} ({process.returncode}); give more --epochs")
        process.send_signal(signal.SIGKILL)
        process.wait()
        counts[kind] += 1
        found = damaged_files(killed.path)
        damage += found
        print(f"kill {number + 1:2d} ({kind}): {place(killed)}; damaged files: {found or 'none'}", flush=True)
    process, last = start(broken)
    assert process.wait(LIMIT_S) == 0, "the last attempt failed"
    report(run, last, counts, damage)


def start(settings: list[str]) -> tuple[subprocess.Popen, Run]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "seglab.train", *settings]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return process, Run.for_config(compose("train", settings))


def aim(process: subprocess.Popen, run: Run, kind: str, draw: random.Random, *, first: float, epochs: int) -> None:
    """Wait for the moment of a kill."""
    if kind == "start":
        time.sleep(draw.uniform(0, first))
        return
    if kind == "scoring":
        wait(process, lambda: rows(run) >= epochs)
        time.sleep(draw.uniform(0, 1.0))
        return
    path = run.path / "last.pt"
    before = path.stat().st_mtime_ns if path.exists() else 0
    wait(process, lambda: path.exists() and path.stat().st_mtime_ns != before)
    time.sleep(draw.uniform(0, 0.6))


def wait(process: subprocess.Popen, ready: callable) -> float:
    """Seconds until something is so, or the process has ended."""
    began = time.monotonic()
    while not ready() and process.poll() is None and time.monotonic() - began < LIMIT_S:
        time.sleep(0.002)
    return time.monotonic() - began


def rows(run: Run) -> int:
    path = run.path / "log.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def place(run: Run) -> str:
    state = checkpoint.load(run.path) if run.path.exists() else None
    if state is None:
        return "no checkpoint yet"
    scored = ", weights written" if (run.path / "model.safetensors").exists() else ""
    return f"epoch {state['epoch'] + 1}, step {state['step'] + 1}{scored}"


def damaged_files(folder: Path) -> list[str]:
    """Names of files that cannot be read whole; temporary ones do not count, nobody reads them."""
    readers = {
        ".json": lambda path: json.loads(path.read_text()),
        ".yaml": lambda path: OmegaConf.load(path).name,
        ".csv": pd.read_csv,
        ".png": lambda path: Image.open(path).load(),
        ".safetensors": checkpoint.load_weights,
        ".jsonl": whole_rows,
    }
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in readers):
        try:
            readers[path.suffix](path)
        except Exception as error:
            found.append(f"{path.name} ({error})")
    for name in ("last.pt", "previous.pt"):
        if (folder / name).exists():
            try:
                checkpoint._check_sums(folder / name)
            except Exception as error:
                found.append(f"{name} ({error})")
    return found


def whole_rows(path: Path) -> None:
    """Every row but the one that is being written."""
    for row in path.read_text().split("\n")[:-1]:
        json.loads(row)


def report(run: Run, other: Run, counts: dict[str, int], damage: list[str]) -> None:
    def digest(which: Run) -> str:
        return hashlib.sha256((which.path / "model.safetensors").read_bytes()).hexdigest()

    def scores(which: Run) -> list[str]:
        return [p.read_text() for p in sorted((which.path / "eval").glob("*.csv"))]

    def losses(which: Run) -> list[float]:
        frame = pd.read_json(io.StringIO((which.path / "log.jsonl").read_text()), lines=True)
        return [*frame["epoch"], *frame["loss"]]

    same = {
        "weights, SHA-256": digest(run) == digest(other),
        "per-image scores": scores(run) == scores(other),
        "epochs and losses of the log": losses(run) == losses(other),
    }
    print(f"\nkills: {sum(counts.values())} ({', '.join(f'{k} {v}' for k, v in counts.items())})")
    print(f"model.safetensors: {digest(run)} undisturbed, {digest(other)} killed and restarted")
    for name, equal in same.items():
        print(f"{name}: {'equal' if equal else 'DIFFERENT'}")
    print(f"damaged files seen: {len(damage)}")
    if damage or not all(same.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
