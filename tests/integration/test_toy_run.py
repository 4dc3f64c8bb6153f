"""The class-imbalance toy through the one trainer and evaluator: CAS supplement, table 1, on a smaller draw."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing

from seglab.config import compose
from seglab.evaluate import complete, evaluate
from seglab.metrics.confusion import Confusion, Counts
from seglab.post.agreement import Agreement
from seglab.train import train

RESULT = "eval/toy_imbalance-confusion.json"


def settings(tmp_path: Path, *more: str) -> list[str]:
    return [
        "data.source.counts=[1000,10]",
        "data.source.repeat=41",
        "schedule.epochs=5",
        "optim.lr=0.01",
        "tracker=none",
        "runtime.device=cpu",
        "runtime.threads=1",
        f"runtime.outputs={tmp_path / 'outputs'}",
        *more,
    ]


def metrics(folder: Path) -> dict[str, float]:
    return json.loads((folder / RESULT).read_text())["metrics"]


def test_cas_finds_the_small_class_and_ce_does_not(tmp_path: Path) -> None:
    runs = {
        loss: train(compose("train", [f"experiment=cas_supp_t1_{loss}", *settings(tmp_path)])) for loss in ("ce", "cas")
    }
    found = {loss: metrics(folder) for loss, folder in runs.items()}
    assert found["cas"]["confusion_out2_label2"] >= 7
    assert found["cas"]["balanced_accuracy"] > 0.85
    assert found["ce"]["confusion_out2_label2"] <= 5
    assert found["ce"]["accuracy"] > found["cas"]["accuracy"]
    for values in found.values():
        assert sum(v for k, v in values.items() if k.startswith("confusion")) == 1010
    for folder in runs.values():
        assert (folder / "DONE").is_file()
        assert not (folder / "samples").exists()
        assert not list(folder.glob("eval/*-curves.csv"))
        assert not (tmp_path / "outputs" / "cache").exists()
        rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        assert rows[-1]["loss"] < rows[0]["loss"]
        assert "val_balanced_accuracy" in rows[-1]
    state = json.loads((runs["cas"] / "post.json").read_text())
    assert sum(map(sum, state["counts"])) == 1010
    content = json.loads((runs["cas"] / RESULT).read_text())
    assert content["source"]["reading"] == "variance"
    assert content["source"]["seed"] == 0
    assert content["protocol"]["classes"] == 2


def test_seed_and_reading_are_other_runs_on_other_points(tmp_path: Path) -> None:
    configs = [
        compose("train", ["experiment=cas_supp_t1_cas", *settings(tmp_path, "schedule.epochs=1", more)])
        for more in ("seed=0", "seed=1", "data.source.reading=deviation")
    ]
    folders = [train(cfg) for cfg in configs]
    assert len(set(folders)) == 3
    sources = [json.loads((f / RESULT).read_text())["source"] for f in folders]
    assert [s["seed"] for s in sources] == [0, 1, 0]


def test_evaluate_repeats_the_numbers(tmp_path: Path) -> None:
    folder = train(compose("train", ["experiment=cas_supp_t1_ce", *settings(tmp_path, "schedule.epochs=1")]))
    before = metrics(folder)
    (folder / RESULT).unlink()
    typed = [f"run={folder.name[-10:]}", f"runtime.outputs={tmp_path / 'outputs'}", "runtime.device=cpu"]
    assert evaluate(compose("evaluate", complete(typed))) == folder
    assert metrics(folder) == before
    with pytest.raises(ValueError, match="its task is saliency, that of the run is points"):
        evaluate(compose("evaluate", complete([*typed, "data=shapes"])))


def test_original_size_gives_the_same_counts(tmp_path: Path) -> None:
    overrides = ["experiment=cas_supp_t1_cas", *settings(tmp_path, "schedule.epochs=1")]
    folder = train(compose("train", overrides))
    assert train(compose("train", [*overrides, "eval.resolution=original"])) == folder
    other = json.loads((folder / "eval/toy_imbalance-confusion-original.json").read_text())
    assert other["metrics"] == metrics(folder)


@pytest.mark.parametrize(
    "overrides", [["data=toy_imbalance"], ["model=mlp_10"], ["data=toy_imbalance", "model=mlp_10"]]
)
def test_the_network_must_fit_the_channels(tmp_path: Path, overrides: list[str]) -> None:
    fits = len(overrides) == 2
    extra = [] if fits else ["data.size=16"]
    cfg = compose(
        "train",
        [
            *overrides,
            *extra,
            "tracker=none",
            "schedule.epochs=1",
            "runtime.device=cpu",
            f"runtime.outputs={tmp_path}",
        ],
    )
    if fits:
        assert (train(cfg) / "DONE").is_file()
        return
    with pytest.raises(ValueError, match="channels, the network takes"):
        train(cfg)


def tables(indices: list[int], *, sync: bool) -> dict[str, object]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(5, 3, 1, 40, generator=generator)
    masks = torch.randint(0, 2, (5, 1, 40), generator=generator)
    post, metric = Agreement(), Confusion(Counts(name="confusion"))
    for i in indices:
        post.update(logits[i : i + 1], masks[i : i + 1])
    if sync:
        post.sync(dist.all_reduce)
    post.finish()
    for i in indices:
        metric.update(post(logits[i : i + 1]), masks[i : i + 1], torch.tensor([i]))
    return {"values": metric.compute(), "rows": metric.rows(), "post": post.state()}


def worker(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for case, first in {"uneven": 2, "none": 0}.items():
        shares = [list(range(first)), list(range(first, 5))]
        torch.save(tables(shares[rank], sync=True), Path(folder) / f"{case}-{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    multiprocessing.spawn(worker, args=(str(tmp_path),), nprocs=2)
    alone = tables(list(range(5)), sync=False)
    for case in ("uneven", "none"):
        for rank in (0, 1):
            assert torch.load(tmp_path / f"{case}-{rank}.pt", weights_only=True) == alone
