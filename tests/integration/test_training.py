"""The trainer end to end: it learns, resumes exactly, ignores exchanged masks under CAS; two processes equal one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import REPO
from safetensors.torch import load_file

from seglab import checkpoint
from seglab.config import compose
from seglab.data import build
from seglab.evaluate import complete, evaluate, trained_evaluator
from seglab.run import Run
from seglab.train import train


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(one[k], other[k]) for k in one)


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_loss_falls(tiny) -> None:
    folder = train(compose("train", [*tiny, "schedule.epochs=6", "loss=ce"]))
    losses = [row["loss"] for row in rows(folder)]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(("loss", "invariant"), [("cas", True), ("cace", True), ("ce", False)])
def test_exchanged_masks_train_the_same_weights(tiny, loss: str, invariant: bool) -> None:
    clean, noisy = (train(compose("train", [*tiny, f"loss={loss}", f"noise.rate={q}"])) for q in (0, 0.5))
    assert clean != noisy
    assert same(weights(clean), weights(noisy)) is invariant


@pytest.mark.parametrize(
    "option", ["runtime.workers=1", "runtime.deterministic=true", "runtime.progress=false", "runtime.save_minutes=0"]
)
def test_options_of_the_runtime_change_no_weight(tiny, option: str) -> None:
    plain = weights(train(compose("train", tiny)))
    other = weights(train(compose("train", [*tiny, option, "runtime.rerun=true"])))
    torch.use_deterministic_algorithms(False)
    assert same(plain, other)


@pytest.mark.parametrize("option", ["runtime.precision=bf16", "runtime.precision=fp16", "runtime.channels_last=false"])
def test_options_that_round_differently_still_learn(tiny, option: str) -> None:
    folder = train(compose("train", [*tiny, "schedule.epochs=6", "loss=ce", option]))
    losses = [row["loss"] for row in rows(folder)]
    assert losses[-1] < 0.8 * losses[0]


def test_without_held_out_images_the_channel_must_be_named(tiny) -> None:
    with pytest.raises(ValueError, match=r"eval\.post\.channel"):
        train(compose("train", [*tiny, "val=0"]))
    folder = train(compose("train", [*tiny, "val=0", "eval.post.channel=1"]))
    assert (folder / "DONE").exists()


def test_threads_do_not_break_the_invariance(tiny) -> None:
    settings = [*tiny, "runtime.threads=2", "model.channels=4", "data.size=40"]
    clean, noisy = (train(compose("train", [*settings, f"noise.rate={q}"])) for q in (0, 0.5))
    assert same(weights(clean), weights(noisy))


def test_killed_at_any_moment_and_started_again(command, tiny, tmp_path) -> None:
    settings = [*tiny, "schedule.epochs=4", "runtime.save_minutes=0"]
    undisturbed = train(compose("train", [*settings, f"runtime.outputs={tmp_path / 'whole'}"]))
    run = Run.for_config(compose("train", settings))
    environment = {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    for kill in (signal.SIGKILL, signal.SIGTERM):
        seen = (run.path / "last.pt").stat().st_mtime_ns if (run.path / "last.pt").exists() else 0
        process = subprocess.Popen([sys.executable, "-m", "seglab.train", *settings], cwd=REPO, env=environment)
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            path = run.path / "last.pt"
            if path.exists() and path.stat().st_mtime_ns != seen:
                process.send_signal(kill)
                break
            time.sleep(0.005)
        assert process.wait(60) == (-9 if kill is signal.SIGKILL else 75)
        assert not run.done
    final = command("train", *settings)
    assert final.returncode == 0, final.stderr
    assert "going on from epoch" in final.stderr
    assert same(weights(run.path), weights(undisturbed))
    assert [r["epoch"] for r in rows(run.path)] == [0, 1, 2, 3]
    assert [r["loss"] for r in rows(run.path)] == pytest.approx([r["loss"] for r in rows(undisturbed)], rel=1e-9)


def test_truncated_checkpoint_falls_back_to_the_one_before(tiny, caplog) -> None:
    cfg = compose("train", tiny)
    folder = train(cfg)
    whole = weights(folder)
    size = (folder / "last.pt").stat().st_size
    with open(folder / "last.pt", "r+b") as file:
        file.truncate(size // 2)
    (folder / "DONE").unlink()
    train(compose("train", tiny))
    assert "cannot be read" in caplog.text
    assert same(weights(folder), whole)


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, monkeypatch) -> None:
    checkpoint.save(tmp_path, {"epoch": 1})
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ValueError, match=r"last\.pt: cannot be written .*No space left"):
        checkpoint.save(tmp_path, {"epoch": 2})
    assert checkpoint.load(tmp_path) == {"epoch": 1}
    assert not list(tmp_path.glob("*.tmp"))


def test_starting_over_forgets_old_numbers(tiny) -> None:
    folder = train(compose("train", tiny))
    (folder / "eval" / "other-cas.json").write_text('{"metrics": {}}')
    train(compose("train", [*tiny, "runtime.rerun=true"]))
    assert [p.name for p in sorted((folder / "eval").glob("*.json"))] == ["shapes-cas.json"]


def test_numbers_of_an_unfinished_attempt_do_not_stand_in_the_way(tiny) -> None:
    folder = train(compose("train", tiny))
    path = folder / "eval" / "shapes-cas.json"
    whole = json.loads(path.read_text())
    (folder / "DONE").unlink()
    path.write_text(json.dumps(whole | {"post": {"channel": 0, "correlations": [0.1, -0.1], "images": 1}}))
    train(compose("train", tiny))
    assert json.loads(path.read_text()) == whole


def test_checkpoint_with_a_payload_is_refused(tmp_path) -> None:
    class Payload:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "written"),))

    torch.save({"epoch": Payload()}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="more than tensors"):
        checkpoint.load(tmp_path)
    assert not (tmp_path / "written").exists()


def test_nan_stops_before_the_step(tiny, monkeypatch) -> None:
    from seglab.losses.ce import CE

    settings = [*tiny, "loss=ce", "schedule.epochs=3"]
    calls = {"n": 0}
    plain = CE.forward

    def poisoned(self, logits, batch):
        calls["n"] += 1
        terms = plain(self, logits, batch)
        return {k: v * float("nan") for k, v in terms.items()} if calls["n"] == 7 else terms

    monkeypatch.setattr(CE, "forward", poisoned)
    cfg = compose("train", settings)
    run = Run.for_config(cfg)
    with pytest.raises(ValueError, match=r"not finite in epoch 2, step 3 .*Images of this step: \S+") as failure:
        train(cfg)
    assert str(run.path / "last.pt") in str(failure.value)
    state = checkpoint.load(run.path)
    assert state["epoch"] == 1
    assert all(v.isfinite().all() for v in state["model"].values())
    assert "not finite" in (run.path / "FAILED").read_text()
    monkeypatch.setattr(CE, "forward", plain)
    folder = train(compose("train", settings))
    assert not (folder / "FAILED").exists()
    fresh = train(compose("train", [*settings, f"runtime.outputs={run.path.parent / 'fresh'}"]))
    assert same(weights(folder), weights(fresh))


def test_a_run_in_progress_is_locked(tiny) -> None:
    cfg = compose("train", tiny)
    with Run.for_config(cfg).lock(), pytest.raises(ValueError, match="another process"):
        train(cfg)


@pytest.fixture
def plain(tiny, monkeypatch) -> list[str]:
    """A network without batch-norm from outside the package."""
    monkeypatch.setenv("SEGLAB_ALLOW", "plain_model")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return [*tiny, "model._target_=plain_model.Plain", "runtime.channels_last=false"]


@pytest.mark.parametrize("loss", ["cas", "triplet"])
def test_accumulation_equals_the_whole_batch(plain, loss: str) -> None:
    """Two pieces of two images give the gradient of four, also where the loss draws pixels."""
    one, two = (weights(train(compose("train", [*plain, f"loss={loss}", f"accumulate={n}"]))) for n in (1, 2))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-5)


def test_a_model_without_channels_is_scored_again(plain) -> None:
    folder = train(compose("train", [*plain, "~model.channels", "schedule.epochs=1"]))
    runtime = [a for a in plain if a.startswith("runtime")]
    evaluate(compose("evaluate", complete([f"run={folder}", "eval.resolution=original", *runtime])))
    assert (folder / "eval" / "shapes-cas-original.json").is_file()


def test_init_from_another_run(tiny) -> None:
    first = train(compose("train", [*tiny, "loss=ce"]))
    second = train(
        compose("train", [*tiny, "loss=cas", "init=run", f"init.run={first.name[-10:]}", "schedule.epochs=0"])
    )
    assert same(weights(first), weights(second))
    (first / "model.safetensors").rename(first / "elsewhere")
    run = Run(second)
    again = trained_evaluator(run, run.config(), torch.device("cpu"))  # needs its own weights only
    assert same(again.model.state_dict(), weights(second))


def in_two_processes(module: str, *arguments: str, cwd: Path) -> str:
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    result = subprocess.run(
        [*launch, "--rdzv-endpoint=localhost:0", "-m", f"seglab.{module}", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()[-1]


@pytest.mark.parametrize("loss", ["cas", "triplet"])
def test_a_step_of_two_processes_is_that_of_one(tiny, tmp_path, loss: str) -> None:
    """The whole training part is one batch; a step agrees to rounding, also where the loss draws pixels."""
    settings = [*tiny, f"loss={loss}", "noise.rate=0.5", "batch_size=18", "schedule.epochs=1", "optim=sgd"]
    single = train(compose("train", settings))
    double = Path(in_two_processes("train", *settings, f"runtime.outputs={tmp_path / 'two'}", cwd=tmp_path))
    assert rows(double)[0]["loss"] == pytest.approx(rows(single)[0]["loss"], rel=5e-4)  # rounding moves a hinge
    one, two = weights(single), weights(double)
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-5, atol=2e-6 if loss == "cas" else 1e-5)


def test_two_processes_equal_one(tiny, tmp_path) -> None:
    settings = [*tiny, "loss=ce", "schedule.epochs=4", "data.source.test=9"]
    settings += ["eval.watch=[fbeta_max_of_mean_f,mae]"]
    single = train(compose("train", settings))
    double = Path(in_two_processes("train", *settings, f"runtime.outputs={tmp_path / 'two'}", cwd=tmp_path))
    assert double.name == single.name
    path = Path("eval") / "shapes-cas.json"
    one, two = (json.loads((folder / path).read_text())["metrics"] for folder in (single, double))
    assert two == pytest.approx(one, abs=1e-2)  # thresholded numbers of a weak network jump
    assert two["mae"] == pytest.approx(one["mae"], abs=2e-4)
    assert one["fbeta_max_of_mean_f"] > 0.3
    # The sums of two processes are added in another order; the differences grow with every step.
    for epoch, (a, b) in enumerate(zip(rows(single), rows(double), strict=True)):
        assert b["loss"] == pytest.approx(a["loss"], abs=1e-5 if epoch == 0 else 1e-3)
    # The same weights scored by two processes, on an odd number of images, give the same numbers.
    in_two_processes("evaluate", f"run={single}", *[a for a in tiny if a.startswith("runtime")], cwd=tmp_path)
    assert json.loads((single / path).read_text())["metrics"] == pytest.approx(one, abs=1e-6)


def test_original_resolution_scores_maps_at_the_size_of_the_masks(tiny, tmp_path) -> None:
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name in range(10):
        mask = np.zeros((30, 70), np.uint8)
        mask[5:20, 10 : 30 + name] = 255
        Image.fromarray(rng.integers(0, 255, (30, 70, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
    settings = [a for a in tiny if "data" not in a]
    folders = [f"data.images={tmp_path / 'images'}", f"data.masks={tmp_path / 'masks'}", "data.size=32", "batch_size=2"]
    cfg = compose("train", [*settings, "data=pairs", *folders, "eval.resolution=original", "schedule.epochs=1"])
    folder = train(cfg)
    evaluator = trained_evaluator(Run(folder), cfg, torch.device("cpu"))
    dataset = build.test_data(cfg, "pairs")
    errors = []
    for i in range(len(dataset)):
        _, mask = dataset.original(i)
        assert mask.shape == (30, 70)
        with torch.inference_mode():
            small = evaluator.post(evaluator.model(dataset[i]["image"][None]))
        whole = np.asarray(Image.fromarray(small[0].numpy()).resize((70, 30), Image.Resampling.BILINEAR))
        errors.append(np.abs(whole - mask).mean())
    mae = json.loads((folder / "eval" / "pairs-cas-original.json").read_text())["metrics"]["mae"]
    assert mae == pytest.approx(np.mean(errors), abs=2e-3)
