"""A training with snapshots and its correlation, from command to files; the network is left as it was."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch

from seglab import checkpoint
from seglab.config import compose
from seglab.evaluate import evaluate, trained_evaluator
from seglab.evaluator import Evaluator
from seglab.run import Run
from seglab.train import train


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory):
    """Where the runs of this module are."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def small(outputs) -> list[str]:
    """A training of a few seconds on generated images."""
    return [
        *("data=shapes", "data.size=32", "data.source.train=24", "data.source.test=6", "batch_size=4", "val=0.25"),
        *("schedule.epochs=3", "tracker=none", "runtime.device=cpu", "runtime.threads=1", "loss=ce", "optim.lr=0.01"),
        f"runtime.outputs={outputs}",
    ]


@pytest.fixture(scope="module")
def run(small: list[str]) -> Run:
    """The run with four snapshots."""
    return Run(train(compose("train", [*small, "eval=correlation", "schedule=snapshots", "schedule.count=4"])))


def test_a_run_is_scored_at_each_of_its_snapshots(run: Run) -> None:
    content = run.read_json("eval/shapes-crf_correlation.json")
    values = content["metrics"]
    assert content["protocol"]["sigma"] == 0.15
    with open(run.path / "eval/shapes-crf_correlation-curves.csv", encoding="utf-8") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert list(rows[0]) == ["step", "fbeta", "sparse_crf", "dense_crf"]
    assert [int(row["step"]) for row in rows] == sorted(int(p.stem) for p in (run.path / "snapshots").iterdir())
    assert len(rows) == 4
    for name in ("sparse_crf", "dense_crf"):
        assert values[name] == pytest.approx(rows[-1][name])
        expected = np.corrcoef([row["fbeta"] for row in rows], [row[name] for row in rows])[0, 1]
        assert values[f"correlation_{name}"] == pytest.approx(expected, abs=1e-9)
    log = [json.loads(line) for line in (run.path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {"val_fbeta", "val_sparse_crf"} <= set(log[-1])  # validation is of the network as it is
    assert (run.path / "samples" / "epoch-0003.png").is_file()


def test_scoring_snapshots_leaves_the_network_as_it_was(run: Run) -> None:
    evaluator = trained_evaluator(run, run.config(), torch.device("cpu"))
    final = checkpoint.load_weights(run.path / "model.safetensors")
    last = max((run.path / "snapshots").iterdir())
    assert all(torch.equal(final[key], value) for key, value in checkpoint.load_weights(last).items())
    assert isinstance(evaluator, Evaluator)
    values = evaluator.run(run)["shapes"]
    assert all(torch.equal(final[key], value) for key, value in evaluator.model.state_dict().items())
    assert values == run.read_json("eval/shapes-crf_correlation.json")["metrics"]


def test_other_settings_need_a_name_and_first_step_leaves_out(run: Run, outputs) -> None:
    base = [f"run={run.path}", "data=shapes", "eval=correlation", f"runtime.outputs={outputs}"]
    base += ["data.size=32", "data.source.train=24", "data.source.test=6"]
    with pytest.raises(ValueError, match=r"measured with other settings \(protocol\).*eval\.protocol\.name"):
        evaluate(compose("evaluate", [*base, "eval.protocol.sigma=0.3"]))
    evaluate(compose("evaluate", [*base, "eval.protocol.first_step=2", "eval.protocol.name=late"]))
    late = run.read_json("eval/shapes-late.json")["metrics"]
    whole = run.read_json("eval/shapes-crf_correlation.json")["metrics"]
    assert late["fbeta"] == whole["fbeta"]
    assert late["correlation_sparse_crf"] != whole["correlation_sparse_crf"]


def test_a_snapshot_of_another_network_is_told(run: Run, tmp_path) -> None:
    evaluator = trained_evaluator(run, run.config(), torch.device("cpu"))
    other = Run(tmp_path / "other")
    (other.path / "snapshots").mkdir(parents=True)
    for step in (1, 2, 3):
        checkpoint.save_weights(other.path / "snapshots" / f"{step:07d}.safetensors", {"a": torch.zeros(2)})
    before = {key: value.clone() for key, value in evaluator.model.state_dict().items()}
    with pytest.raises(ValueError, match=r"0000001\.safetensors does not fit the network; missing"):
        evaluator.run(other)
    assert all(torch.equal(before[key], value) for key, value in evaluator.model.state_dict().items())


def test_a_schedule_without_snapshots_is_refused_before_the_training(small: list[str], outputs) -> None:
    with pytest.raises(ValueError, match="this schedule keeps fewer; train with schedule=snapshots"):
        train(compose("train", [*small, "eval=correlation", "seed=7"]))
    (failed,) = (outputs / "runs").glob("*-s7-*")
    assert not (failed / "log.jsonl").exists()


def test_a_run_is_scored_as_one_object_too(run: Run, outputs) -> None:
    base = [f"run={run.path}", "data=shapes", "data.size=32", "data.source.train=24", "data.source.test=6"]
    evaluate(compose("evaluate", [*base, "eval=object", f"runtime.outputs={outputs}"]))
    content = run.read_json("eval/shapes-regularized_paper.json")
    assert set(content["metrics"]) == {"fbeta", "jaccard", "precision", "recall", "miou", "accuracy"}
    assert content["post"]["channel"] == run.read_json("post.json")["channel"]
    header = (run.path / "eval/shapes-regularized_paper.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == "id,fbeta,jaccard"
