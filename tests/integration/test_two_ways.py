"""A finished run is scored in a second way: its read-out is fitted then, and the numbers of the first way stay."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from seglab.config import compose
from seglab.identity import identity
from seglab.launch.work import Work, work
from seglab.run import Run

SHARED = [
    "data=shapes", "data.size=32", "data.source.train=12", "data.source.test=6", "batch_size=4", "val=0.25",
    "schedule.epochs=1", "loss=ce", "tracker=none", "runtime.device=cpu", "runtime.threads=1",
    "runtime.progress=false",
]  # fmt: skip
WAYS = {"cas": [], "bsds": ["eval=texture", "eval/post=argmax", "eval.post.absorb=none"]}


@pytest.mark.parametrize("order", [["cas", "bsds"], ["bsds", "cas"]])
def test_one_work_trains_once_and_scores_in_both_ways(tmp_path: Path, order: list[str]) -> None:
    from omegaconf import OmegaConf

    configs = [compose("train", [*SHARED, *WAYS[name], f"runtime.outputs={tmp_path}"]) for name in order]
    assert len({identity(cfg) for cfg in configs}) == 1
    run = Run.for_config(configs[0])
    item = Work(run.path.name, str(run.path), tuple(OmegaConf.to_yaml(cfg) for cfg in configs))
    outcome = work(copy.deepcopy(item))
    assert outcome.state == "done", outcome.reason
    saliency, regions = run.read_json("eval/shapes-cas.json"), run.read_json("eval/shapes-bsds-original.json")
    assert saliency["read_out"]["_target_"].endswith("Channel")
    assert saliency["post"]["images"] == 3, "fitted on the images held out at training time, not on test images"
    assert regions["read_out"]["_target_"].endswith("Argmax")
    assert {"mae", "fbeta_adaptive"} <= set(saliency["metrics"])
    assert {"covering_ods", "voi_ods", "boundary_f_ods"} <= set(regions["metrics"])
    written = {path.name: path.stat().st_mtime_ns for path in (run.path / "eval").iterdir()}
    assert work(item).state == "done"
    assert {path.name: path.stat().st_mtime_ns for path in (run.path / "eval").iterdir()} == written


def test_both_orders_give_the_same_numbers(tmp_path: Path) -> None:
    from seglab.train import train

    found = []
    for number, order in enumerate((["cas", "bsds"], ["bsds", "cas"])):
        for name in order:
            cfg = compose("train", [*SHARED, *WAYS[name], f"runtime.outputs={tmp_path / str(number)}"])
            run = Run(train(cfg))
        files = ("shapes-cas", "shapes-bsds-original")
        found.append([run.read_json(f"eval/{name}.json")["metrics"] for name in files])
    assert found[0] == found[1]
