"""CRF losses of hard predictions over snapshots, and their correlation with the F-measure, against direct sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import fbeta_score

from seglab.config import compose
from seglab.evaluator import read_out
from seglab.losses.dense_crf import dense_crf_loss
from seglab.losses.sparse_crf import sparse_crf_loss
from seglab.metrics.crf_correlation import CrfCorrelation, completed, f_scores
from seglab.metrics.crf_planes import dense_planes, sparse_planes
from seglab.metrics.crf_protocol import CrfProtocol
from seglab.metrics.protocol import Protocol
from seglab.run import Run
from seglab.snapshots import check_schedule, snapshots_of

PAPER = CrfProtocol(name="crf_correlation")


def scenes(images: int = 4, size: int = 12, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 120, (images, 3, size, size), generator=generator, dtype=torch.uint8)
    mask = torch.zeros(images, size, size, dtype=torch.int64)
    for i in range(images):
        mask[i, 2 + i % 3 : 8, 3:9] = 1
    return image + (15 * mask[:, None]).byte(), mask


def series(mask: torch.Tensor, shares: tuple[float, ...]) -> list[torch.Tensor]:
    """Predictions with a share of wrong pixels, as maps."""
    generator = torch.Generator().manual_seed(5)
    draw = torch.rand(mask.shape, generator=generator)
    return [torch.where(draw < share, 1 - mask, mask) * 0.8 + 0.1 for share in shares]


def measured(shares: tuple[float, ...] = (0.4, 0.25, 0.1, 0.05), batch: int = 4, **options) -> CrfCorrelation:
    image, mask = scenes()
    metric = CrfCorrelation(CrfProtocol(name="crf_correlation", **options))
    for number, maps in enumerate(series(mask, shares)):
        metric.start(10 * number + 1, last=number == len(shares) - 1)
        for i in range(0, len(mask), batch):
            here = slice(i, i + batch)
            metric.update(maps[here], mask[here], torch.arange(i, i + batch), image[here])
    return metric


def dense_by_hand(x: np.ndarray, image: np.ndarray, *, space: float, colour: float) -> float:
    place = np.argwhere(np.ones(x.shape))
    colours, flat = image.reshape(3, -1).T.astype(float), x.ravel().astype(float)
    total = 0.0
    for p in range(len(flat)):
        away = ((colours - colours[p]) ** 2).sum(1) / (2 * colour**2)
        w = np.exp(-away - ((place - place[p]) ** 2).sum(1) / (2 * space**2))
        total += flat[p] * (w * (1 - flat)).sum()
    return total / len(flat)


def test_many_maps_at_once_have_the_losses_of_each_alone() -> None:
    image, mask = scenes()
    planes = torch.stack([maps[0] > 0.5 for maps in series(mask, (0.3, 0.1, 0.0))])
    dense = dense_planes(planes, image[0], sigma_space=4.0, sigma_colour=30.0)
    direct = [dense_by_hand(x.numpy(), image[0].numpy(), space=4.0, colour=30.0) for x in planes]
    assert dense.tolist() == pytest.approx(direct, rel=1e-5)
    images = image[:1].expand(3, -1, -1, -1).contiguous()
    options = {"sigma_space": 4.0, "sigma_colour": 30.0, "factor": 1.0, "reduction": "none"}
    assert dense.tolist() == pytest.approx(dense_crf_loss(planes.double(), images, **options).tolist(), rel=1e-5)
    for neighbours in (4, 8):
        sparse = sparse_planes(planes, image[0], sigma=0.4, neighbours=neighbours)
        trained_on = sparse_crf_loss(planes.double(), images, sigma=0.4, neighbours=neighbours, reduction="none")
        assert sparse.tolist() == pytest.approx(trained_on.tolist(), rel=1e-9)


def test_a_map_of_one_label_costs_nothing() -> None:
    image, _ = scenes()
    planes = torch.stack([torch.zeros(12, 12), torch.ones(12, 12)]).bool()
    assert dense_planes(planes, image[0], sigma_space=4.0, sigma_colour=30.0).tolist() == [0, 0]
    assert sparse_planes(planes, image[0], sigma=0.15).tolist() == [0, 0]
    assert dense_planes(planes[:1], image[0], sigma_space=4.0, sigma_colour=30.0).tolist() == [0]


def test_landmarks_are_near_all_pairs() -> None:
    image, mask = scenes(size=24)
    planes = mask[:1] > 0
    options = {"sigma_space": 8.0, "sigma_colour": 60.0}
    exact = dense_planes(planes, image[0], **options)
    assert dense_planes(planes, image[0], landmarks=200, **options).tolist() == pytest.approx(exact.tolist(), rel=0.05)


def test_correlations_are_pearsons_over_means_of_each_snapshot() -> None:
    shares = (0.4, 0.25, 0.1, 0.05)
    image, mask = scenes()
    table = np.zeros((4, 3))
    for t, maps in enumerate(series(mask, shares)):
        hard = maps > 0.5
        f = [fbeta_score(m.flatten(), x.flatten(), beta=0.3**0.5) for m, x in zip(mask, hard, strict=True)]
        sparse = sparse_crf_loss(hard.double(), image, reduction="none")
        dense = [
            dense_by_hand(x.numpy(), i.numpy(), space=50 * 12 / 256, colour=15)
            for x, i in zip(hard, image, strict=True)
        ]
        table[t] = 100 * np.mean(f), sparse.mean(), np.mean(dense)
    metric = measured(shares)
    values, curves = metric.compute(), metric.curves()
    assert list(curves) == ["step", "fbeta", "sparse_crf", "dense_crf"]
    assert curves["step"].tolist() == [1, 11, 21, 31]
    np.testing.assert_allclose(np.stack([*curves.values()][1:], 1), table, rtol=1e-5)
    for column, name in ((1, "sparse_crf"), (2, "dense_crf")):
        assert values[f"correlation_{name}"] == pytest.approx(
            np.corrcoef(table[:, 0], table[:, column])[0, 1], rel=1e-5
        )
        assert values[name] == pytest.approx(table[-1, column], rel=1e-5)
    assert values["correlation_sparse_crf"] < -0.9
    truth = sparse_crf_loss(mask.double(), image, reduction="none")
    assert values["gt_sparse_crf"] == pytest.approx(float(truth.mean()), rel=1e-6)
    assert [row["gt_sparse_crf"] for row in metric.rows()] == pytest.approx(truth.tolist(), rel=1e-6)


def test_batches_do_not_matter() -> None:
    assert measured(batch=1).compute() == measured(batch=2).compute() == measured(batch=4).compute()


def test_one_network_has_losses_and_no_correlation() -> None:
    image, mask = scenes()
    metric = CrfCorrelation(PAPER)
    metric.update(series(mask, (0.1,))[0], mask, torch.arange(4), image)
    values = metric.compute()
    assert set(values) == {"fbeta", "sparse_crf", "dense_crf", "gt_sparse_crf", "gt_dense_crf"}
    last = measured((0.4, 0.3, 0.1)).compute()
    assert values == pytest.approx({name: last[name] for name in values}, rel=1e-5)
    assert metric.curves() == {}


def test_no_correlation_without_a_change_is_told() -> None:
    with pytest.raises(ValueError, match=r"the mean fbeta is .* at all 3 snapshots"):
        measured((0.2, 0.2, 0.2)).compute()
    with pytest.raises(ValueError, match=r"the mean fbeta is 0 at all 3 snapshots"):
        measured((1.0, 1.0, 1.0)).compute()


def test_an_image_must_be_seen_at_every_snapshot() -> None:
    image, mask = scenes()
    metric = CrfCorrelation(PAPER)
    metric.start(1, last=False)
    metric.update(mask[:1].float(), mask[:1], [0], image[:1])
    metric.start(2, last=True)
    with pytest.raises(ValueError, match="image 1 of the test set: seen at 1 of 2 snapshots"):
        metric.update(mask[1:2].float(), mask[1:2], [1], image[1:2])


def test_ignored_pixels_take_the_nearest_label_and_count_in_no_f() -> None:
    mask = np.array([[0, 0, 255, 255, 1, 1], [0, 0, 0, 255, 255, 1]], np.uint8)
    assert completed(mask).astype(int).tolist() == [[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1]]
    found = np.array([[[0, 1, 1, 1, 1, 0], [0, 0, 0, 1, 1, 1]]], bool)
    assert f_scores(found, mask, beta2=0.3)[0] == pytest.approx(
        fbeta_score([0] * 5 + [1] * 3, [0, 1, 0, 0, 0, 1, 0, 1], beta=0.3**0.5)
    )
    with pytest.raises(ValueError, match="every pixel of its mask is ignored"):
        completed(np.full((2, 2), 255))
    with pytest.raises(ValueError, match="mask with values"):
        completed(np.full((2, 2), 3))


def test_another_size_measures_smaller_pictures() -> None:
    small, whole = measured(size=8).compute(), measured().compute()
    assert small["gt_sparse_crf"] > 1.1 * whole["gt_sparse_crf"] > 0
    assert measured(size=12).compute() == whole


@pytest.mark.parametrize(
    "options",
    [
        {"sigma": 0},
        {"scale": "grey"},
        {"neighbours": 6},
        {"diagonal": "none"},
        {"sigma_colour": -1},
        {"sigma_space": float("inf")},
        {"space_at": 0},
        {"size": 4},
        {"method": "fast"},
        {"landmarks": True},
        {"first_step": -1},
        {"fixed": 1},
        {"beta2": "a"},
    ],
)
def test_values_outside_their_range_are_told(options: dict) -> None:
    (key,) = options
    with pytest.raises(ValueError, match=rf"eval\.protocol\.{key}="):
        CrfProtocol(name="x", **options)


def test_what_does_not_fit_the_evaluation_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="eval=correlation: expected crf_correlation"):
        CrfCorrelation(Protocol(name="cas"))
    base = ["eval=correlation", "loss=ce"]
    assert read_out(compose("train", base))
    with pytest.raises(ValueError, match="says nothing of earlier ones"):
        read_out(compose("train", ["eval=correlation", "loss=discriminative"]))
    with pytest.raises(ValueError, match=r"eval\.resolution=original: expected network"):
        read_out(compose("train", [*base, "eval.resolution=original"]))
    check_schedule(compose("train", [*base, "schedule=snapshots"]))
    with pytest.raises(ValueError, match="train with schedule=snapshots"):
        check_schedule(compose("train", base))


def test_too_few_snapshots_say_how_to_get_more(tmp_path) -> None:
    run = Run(tmp_path / "a-run")
    with pytest.raises(ValueError, match=r"a-run has 0 snapshots .*expected 3 or more; train with schedule=snapshots"):
        snapshots_of(run)
    (run.path / "snapshots").mkdir(parents=True)
    for step in (10, 2, 300):
        (run.path / "snapshots" / f"{step:07d}.safetensors").touch()
    (run.path / "snapshots" / "notes.safetensors.tmp").touch()
    assert [step for step, _ in snapshots_of(run)] == [2, 10, 300]
    with pytest.raises(ValueError, match=r"3 snapshots .*, 2 of them from step 5 on \(eval\.protocol\.first_step\)"):
        snapshots_of(run, first_step=5)
