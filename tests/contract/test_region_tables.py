"""Tables of regions: read out and measured as the paper says, planned at every scale."""

from __future__ import annotations

import pytest

from seglab.config import compose
from seglab.tables.plan import Plan
from seglab.tables.spec import load_table


def test_region_rows_are_read_out_and_measured_as_the_paper_says() -> None:
    for table in ("cas_t4", "cas_t5", "cas_t6"):
        spec = load_table(table)
        assert {column.protocol for column in spec.columns} == {"bsds"}
        for row in spec.rows:
            cfg = compose("train", list(row.run))
            post, cas = cfg.eval.post, cfg.loss._target_.endswith("CAS")
            assert (cfg.eval.protocol.name, cfg.data.size, cfg.eval.resolution) == ("bsds", 256, "original"), row.name
            assert list(cfg.eval.sets) == [spec.columns[0].set], row.name
            if table == "cas_t6":
                assert (post._target_.rsplit(".")[-1], post.absorb, cfg.model.channels) == ("Argmax", "none", 2)
                continue
            assert (post._target_.rsplit(".")[-1], post.clusters, post.absorb) == ("KMeans", 20, "crf"), row.name
            assert (post.smallest, post.softmax) == (0.02, cas), row.name
            assert post.unit_norm == cfg.loss._target_.endswith("Triplet"), row.name
            assert cfg.model.channels == 20 or not cas


@pytest.mark.parametrize(
    ("table", "scale"),
    [
        *((f"cas_{name}", "small") for name in ("t4", "t5", "t6", "fig_s9", "fig_s10", "fig_s11")),
        ("cas_t4", "small_gpu"),
        ("cas_t6", "smoke"),
    ],
)
def test_region_tables_plan_at_a_scale(table: str, scale: str) -> None:
    plan = Plan(compose("table", [f"tables=[{table}]", f"scale={scale}"]))
    jobs = [job for row in plan.spec(table).rows for job in plan.row_jobs(table, row)]
    assert jobs
    assert not [job.problem for job in jobs if job.problem]
    assert len(plan.columns(table)) == len(plan.spec(table).columns)
    assert all(figure.get("data") != "" for figure in plan.figures(table))
    # Every run of one column is scored by the same settings.
    for job in jobs:
        for cfg, name in job.measurements():
            assert cfg.eval.protocol.name == "bsds", name
