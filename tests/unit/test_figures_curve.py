"""The training curve of CAS: the paper's bounds and the exact ones, and which runs share a panel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from test_figures import make, painted, text_of

from seglab.report.figures import networks
from seglab.report.figures import training_curve as curve
from seglab.report.figures.context import FigureContext
from seglab.run import Run
from seglab.tables.spec import Row


@pytest.mark.parametrize(
    ("settings", "paper", "exact"),
    [
        ({"alpha": 0.1, "pairs": "once"}, (-1.8, 0.2), (-1.8, 0.1)),
        ({"alpha": 0.1, "pairs": "ordered"}, (-1.8, 0.2), (-3.6, 0.1)),
        ({"alpha": 0.5, "pairs": "once", "regions": "foreground"}, (-1.0, 1.0), (-1.0, 0.25)),
        ({"alpha": 0.0, "pairs": "once"}, (-2.0, 0.0), (-2.0, 0.0)),
    ],
)
def test_bounds_of_the_training_curve_hold_and_are_reached(settings, paper, exact):
    import torch

    from seglab.losses.cas import cas_loss

    bounds = curve.Bounds.of(OmegaConf.create({"loss": {"_target_": networks.CAS, **settings}}))
    assert bounds.paper == pytest.approx(paper)
    assert bounds.exact == pytest.approx(exact)
    labels = torch.tensor([[[0, 0, 1, 1]]])

    def loss(*first_channel: float) -> float:
        first = torch.tensor(first_channel, dtype=torch.float64)
        logits = torch.stack([first, 1 - first]).clamp(min=1e-300).log()[None, :, None]
        return cas_loss(logits, labels, **settings).item()

    assert loss(1, 1, 0, 0) == pytest.approx(exact[0])
    assert loss(1, 0, 1, 0) == pytest.approx(exact[1])
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        assert exact[0] <= loss(*torch.rand(4, generator=generator).tolist()) <= exact[1]


def trained(folder: Path, losses: list[float], target: str = networks.CAS, data: str = "sod", **loss) -> Run:
    folder.mkdir(parents=True)
    cfg = {"loss": {"_target_": target, **loss}, "model": {"channels": 2}, "data": {"name": data}}
    OmegaConf.save(cfg, folder / "config.yaml")
    log = [json.dumps({"epoch": i, "loss": v}) for i, v in enumerate(losses)]
    (folder / "log.jsonl").write_text("\n".join(log) + "\n")
    return Run(folder)


def curve_context(folder: Path) -> FigureContext:
    rows = [Row(n, "ours", run=("a",)) for n in ("CE", "CAS", "CAS 0.5", "later")]
    runs = {
        "CE": (trained(folder / "ce", [0.7, 0.6], target="seglab.losses.ce.CE"),),
        "CAS": (trained(folder / "a", [-0.2, -1.0], alpha=0.1), trained(folder / "b", [-0.4, -1.2], alpha=0.1)),
        "CAS 0.5": (trained(folder / "c", [-0.1, -0.2], alpha=0.5),),
    }
    return make(folder, rows, runs=runs)


def test_training_curve_shows_seeds_mean_and_bounds(tmp_path, monkeypatch):
    context = curve_context(tmp_path)
    figure = painted(monkeypatch, curve, lambda: curve.training_curve(context, name="c", rows=["CAS", "later"]))
    drawn = figure.axes[0].get_lines()
    curves = [line for line in drawn if len(line.get_xdata()) == 2 and list(line.get_xdata()) == [1, 2]]
    assert [list(line.get_ydata()) for line in curves[:2]] == [[-0.2, -1.0], [-0.4, -1.2]]
    np.testing.assert_allclose(curves[2].get_ydata(), [-0.3, -1.1])
    assert curves[2].get_linewidth() > 2 * curves[0].get_linewidth()
    levels = sorted(float(line.get_ydata()[0]) for line in drawn if line not in curves)
    assert levels == pytest.approx([-1.8, -1.8, 0.1, 0.2])


def test_training_curve_takes_cas_rows_one_panel_per_bounds(tmp_path):
    words = text_of(curve.training_curve(curve_context(tmp_path), name="c")[1])
    for word in ("CAS, 2 seeds", "CAS 0.5, 1 seed", "-1.8 to 0.2, exact -1.8 to 0.1", "exact -1 to 0.5", "epoch"):
        assert word in words
    assert "CE" not in words.split()


def test_training_curve_keeps_runs_on_different_data_apart(tmp_path, monkeypatch):
    context = curve_context(tmp_path)
    context.runs["CAS"] = (*context.runs["CAS"], trained(tmp_path / "d", [-0.9, -1.7], data="people", alpha=0.1))
    figure = painted(monkeypatch, curve, lambda: curve.training_curve(context, name="c", rows=["CAS"]))
    bold = {
        line.get_label(): list(line.get_ydata()) for line in figure.axes[0].get_lines() if "seed" in line.get_label()
    }
    assert list(bold) == ["CAS, sod, 2 seeds", "CAS, people, 1 seed"]
    assert bold["CAS, people, 1 seed"] == [-0.9, -1.7]


def test_training_curve_says_what_is_wrong(tmp_path):
    context = curve_context(tmp_path)
    with pytest.raises(ValueError, match=r"'CE' was trained with seglab.losses.ce.CE"):
        curve.training_curve(context, name="c", rows=["CE"])
    with pytest.raises(ValueError, match="no row 'CASS', did you mean 'CAS'"):
        curve.training_curve(context, name="c", rows=["CASS"])
    assert curve.training_curve(make(tmp_path, context.values.spec.rows), name="c") == []
