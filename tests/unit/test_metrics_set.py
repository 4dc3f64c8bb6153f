"""Saliency metrics of a set, and the streaming correlation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seglab.metrics.correlation import ChannelCorrelation
from seglab.metrics.fbeta import f_beta, f_of_precision_recall
from seglab.metrics.protocol import Protocol
from seglab.metrics.saliency import score_map
from seglab.metrics.saliency_metrics import SaliencyMetrics

CAS = Protocol(name="cas")


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(7, 12, 9, generator=generator)
    masks = (torch.rand(7, 12, 9, generator=generator) < 0.4).long()
    return maps, masks, torch.arange(7)


def test_means_curves_and_pools(batch: tuple[torch.Tensor, ...]) -> None:
    maps, masks, index = batch
    metric = SaliencyMetrics(CAS)
    metric.update(maps[:4], masks[:4], index[:4])
    metric.update(maps[4:], masks[4:], index[4:])
    scores = [score_map(s.numpy(), g.numpy() == 1, CAS) for s, g in zip(maps, masks, strict=True)]
    got = metric.compute()
    for name, value in scores[0].values.items():
        assert got[name] == pytest.approx(np.mean([s.values[name] for s in scores]), abs=1e-14), name
        assert metric.rows()[0][name] == value
    mean = np.mean([s.curves_4K for s in scores], axis=0)
    tp, fp, fn, _ = np.sum([s.confusion for s in scores], axis=0)
    assert got["fbeta_pooled"] == pytest.approx(f_beta(tp=tp, fp=fp, fn=fn, beta2=0.3))
    assert got["jaccard_pooled"] == pytest.approx(tp / (tp + fp + fn))
    assert got["fbeta_max_of_mean_pr"] == pytest.approx(f_of_precision_recall(mean[0], mean[1], beta2=0.3).max())
    assert got["fbeta_max_of_mean_f"] == pytest.approx(mean[2].max())
    assert got["fbeta_max_of_mean_pr"] != pytest.approx(got["fbeta_max_of_mean_f"], abs=1e-6), (
        "the two must differ here"
    )
    assert (got["e_measure_max"], got["e_measure_mean"]) == pytest.approx((mean[3].max(), mean[3].mean()))
    np.testing.assert_allclose(metric.curves()["precision"], mean[0])
    assert [r["index"] for r in metric.rows()] == list(range(7))


def test_order_and_batching_do_not_matter(batch: tuple[torch.Tensor, ...]) -> None:
    maps, masks, index = batch
    straight, shuffled = SaliencyMetrics(CAS), SaliencyMetrics(CAS)
    straight.update(maps, masks, index)
    for i in (3, 0, 6, 2, 5, 1, 4):
        shuffled.update_one(maps[i].numpy(), masks[i], i)
    assert straight.compute() == pytest.approx(shuffled.compute(), abs=1e-14)
    assert straight.rows() == shuffled.rows()


def test_sizes_may_differ() -> None:
    metric = SaliencyMetrics(CAS, weighted=False)
    metric.update([torch.zeros(2, 2), torch.ones(1, 3)], [torch.eye(2).long(), torch.ones(1, 3).bool()], [1, 0])
    assert [r["mae"] for r in metric.rows()] == [0.0, 0.5]
    assert "fbeta_weighted" not in metric.compute()


def test_ignored_pixels_and_low_precision_maps() -> None:
    masks = torch.tensor([[[1, 0, 255]]])
    metric = SaliencyMetrics(CAS)
    metric.update(torch.tensor([[[1.0, 0.0, 1.0]]], dtype=torch.bfloat16), masks, torch.tensor([4]))
    got = metric.compute()
    assert got["mae"] == 0
    assert got["jaccard_pooled"] == 1


def test_skipping_empty_masks() -> None:
    maps = torch.tensor([[[0.9, 0.1]], [[0.9, 0.1]]])
    masks = torch.tensor([[[1, 0]], [[0, 0]]])
    got = {}
    for rule in ("zero", "skip"):
        metric = SaliencyMetrics(Protocol(name="x", empty_mask=rule))
        metric.update(maps, masks, [0, 1])
        got[rule] = metric.compute()
    assert got["zero"]["fbeta_fixed"] == pytest.approx(0.5)
    assert got["skip"]["fbeta_fixed"] == pytest.approx(1.0)
    assert (got["zero"]["fbeta_max_of_mean_f"], got["skip"]["fbeta_max_of_mean_f"]) == pytest.approx((0.5, 1.0))
    assert got["zero"]["mae"] == got["skip"]["mae"]
    only_empty = SaliencyMetrics(Protocol(name="x", empty_mask="skip"))
    only_empty.update(maps[1:], masks[1:], [0])
    assert np.isnan(only_empty.compute()["fbeta_fixed"])


def test_reset_forgets(batch: tuple[torch.Tensor, ...]) -> None:
    metric = SaliencyMetrics(CAS)
    metric.update(*batch)
    first = metric.compute()
    metric.reset()
    metric.update(*batch)
    assert metric.compute() == first


def test_refusals(batch: tuple[torch.Tensor, ...]) -> None:
    maps, masks, index = batch
    metric = SaliencyMetrics(CAS)
    with pytest.raises(ValueError, match="no image was scored"):
        metric.compute()
    with pytest.raises(ValueError, match="7 maps, 6 masks"):
        metric.update(maps, masks[:6], index)
    with pytest.raises(ValueError, match=r"image 5 .*\(12, 8\)"):
        metric.update_one(maps[5, :, :8], masks[5], 5)
    with pytest.raises(ValueError, match=r"image 2 .*\[0, 1, 2\]"):
        metric.update_one(maps[2], masks[2] + masks[3], 2)
    with pytest.raises(ValueError, match="0 and 255"):
        metric.update_one(maps[2], (255 * masks[2]).byte(), 2)
    with pytest.raises(ValueError, match=r"image 3 .*without a pixel"):
        metric.update_one(maps[3], torch.full_like(masks[3], 255), 3)
    metric.update(maps, masks, index)
    metric.update_one(maps[3], masks[3], 3)
    with pytest.raises(ValueError, match=r"image 3 .*twice"):
        metric.compute()


def test_correlation_is_pearson() -> None:
    generator = torch.Generator().manual_seed(1)
    probs = torch.randn(6, 4, 8, 8, generator=generator).softmax(1)
    masks = (torch.rand(6, 8, 8, generator=generator) < 0.5).long()
    probs[:, 2] = 0.25 + 1e-7 * masks  # a channel that hardly varies, but perfectly
    probs[:, 3] = 0.25
    masks[:, 0] = 255
    c = ChannelCorrelation()
    c.update(probs[:4], masks[:4])
    c.update(probs[4:], masks[4:])
    valid = masks != 255
    want = [np.corrcoef(probs[:, m][valid].double(), masks[valid].double())[0, 1] for m in range(3)]
    np.testing.assert_allclose(c.value()[:3], want, atol=1e-9)
    assert c.value()[3] == 0
    assert c.images == 6
    with pytest.raises(ValueError, match="3 channels after 4"):
        c.update(probs[:, :3], masks)
    with pytest.raises(ValueError, match="no pixels"):
        ChannelCorrelation().value()
