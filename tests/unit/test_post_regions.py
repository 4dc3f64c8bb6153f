"""Read-outs of regions: clustering, absorption of small regions, confidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from seglab.post.absorb import Absorb, connected_parts
from seglab.post.argmax import Argmax
from seglab.post.kmeans import KMeans
from seglab.post.lloyd import kmeans
from seglab.post.meanshift import MeanShift
from seglab.post.region_post import confidence

POSTS = [KMeans(clusters=4, smallest=0.1), MeanShift(bandwidth=0.4, smallest=0.1), Argmax(smallest=0.1)]


def blobs(*, noise: float = 0.05, channels: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """A square on a ground: logits [1,M,32,32], image, and the truth [32,32]."""
    truth = torch.zeros(32, 32, dtype=torch.int64)
    truth[8:24, 8:24] = 1
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, channels, 32, 32, generator=generator) * noise
    logits[0, 0] += 4 * (truth == 0)
    logits[0, 1] += 4 * (truth == 1)
    image = (60 + 120 * truth + torch.randint(0, 8, (3, 32, 32), generator=generator)).byte()
    return logits, image[None], truth


def same_regions(labels: Tensor, truth: Tensor) -> bool:
    pairs = torch.unique(torch.stack([labels.flatten(), truth.flatten()]), dim=1)
    return pairs.shape[1] == len(torch.unique(labels)) == len(torch.unique(truth))


@pytest.mark.parametrize("post", [KMeans(clusters=2), MeanShift(), Argmax()], ids=lambda p: type(p).__name__)
def test_two_blobs_are_two_regions(post) -> None:
    logits, image, truth = blobs()
    found = post(logits, image)
    assert same_regions(found.labels_BTHW[0, 0], truth)
    assert found.labels_BTHW.dtype == torch.int64
    assert found.labels_BTHW.shape == (1, 1, 32, 32)
    x = logits.softmax(1)[0].flatten(1)
    for label in (0, 1):
        inside = (found.labels_BTHW[0, 0] == label).flatten()
        expected = -x[:, inside].var(1, correction=0).sum()
        torch.testing.assert_close(found.confidence_BTR[0, 0, label], expected)


@pytest.mark.parametrize("post", POSTS, ids=lambda p: type(p).__name__)
def test_a_read_out_learns_nothing_and_treats_every_image_alone(post) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.nn.functional.interpolate(torch.randn(3, 4, 5, 5, generator=generator) * 3, (24, 24), mode="bicubic")
    image = torch.randint(0, 256, (3, 3, 24, 24), generator=generator, dtype=torch.uint8)
    assert not post.needs_fit
    assert not post.learns
    post.update(logits, torch.zeros(3, 24, 24))
    post.sync(lambda x: x)
    post.finish()
    post.load(post.state())
    whole = post(logits, image)
    turned = post(logits.flip(0), image.flip(0))
    assert torch.equal(whole.labels_BTHW, turned.labels_BTHW.flip(0))
    for i in range(3):
        alone = post(logits[i : i + 1], image[i : i + 1])
        assert torch.equal(alone.labels_BTHW[0], whole.labels_BTHW[i])
        regions = alone.confidence_BTR.shape[2]
        assert torch.equal(alone.confidence_BTR[0], whole.confidence_BTR[i, :, :regions])
        assert bool((whole.confidence_BTR[i, :, regions:] == -torch.inf).all())
        assert torch.equal(torch.unique(alone.labels_BTHW), torch.arange(regions))


@pytest.mark.parametrize("post", POSTS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("value", [0.0, 7.3, -1e4])
def test_constant_descriptors_are_one_region(post, value: float) -> None:
    found = post(torch.full((2, 4, 16, 16), value), torch.zeros(2, 3, 16, 16, dtype=torch.uint8))
    assert found.labels_BTHW.eq(0).all()
    torch.testing.assert_close(found.confidence_BTR, torch.zeros(2, 1, 1))


def test_more_clusters_than_descriptors() -> None:
    values = torch.tensor([[0.0, 1.0], [5.0, -1.0], [100.0, 3.0]])
    x_MP = values[torch.arange(90) % 3].T
    found = kmeans(x_MP[None], 20)
    assert same_regions(found.labels_BP[0], torch.arange(90) % 3)
    assert int(found.alive_BK.sum()) == 3
    assert float(found.inertia_B) < 1e-3
    assert len(torch.unique(kmeans(torch.rand(1, 3, 5), 20).labels_BP)) == 5
    assert kmeans(torch.rand(1, 3, 1), 4).labels_BP.tolist() == [[0]]


def test_a_list_of_clusters_gives_scales() -> None:
    logits = torch.randn(2, 6, 20, 20, generator=torch.Generator().manual_seed(0))
    found = KMeans(clusters=[1, 3, 8], absorb="none")(logits)
    assert [len(torch.unique(found.labels_BTHW[0, t])) for t in range(3)] == [1, 3, 8]
    assert found.confidence_BTR.shape == (2, 3, 8)
    assert bool((found.confidence_BTR[:, 0, 1:] == -torch.inf).all())
    single = KMeans(clusters=3, absorb="none")(logits)
    assert torch.equal(single.labels_BTHW[:, 0], found.labels_BTHW[:, 1])


def colour_features(path: Path, size: tuple[int, int]) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    with Image.open(path) as image:
        rgb = np.asarray(image.convert("RGB").resize(size), dtype=np.float32) / 255
    return np.concatenate([gaussian_filter(rgb, (s, s, 0)) for s in (0, 1, 3)], 2).reshape(-1, 9)


@pytest.mark.parametrize("stem", ["101085", "101087", "106024"])
def test_inertia_is_that_of_scikit_learn(data_root: Path, stem: str) -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    x = colour_features(data_root / "BSDS500" / "data" / "images" / "val" / f"{stem}.jpg", (128, 128))
    theirs = cluster.KMeans(20, n_init=3, random_state=0).fit(x)
    ours = kmeans(torch.from_numpy(x).T[None].contiguous(), 20)
    centres = ours.centres_BMK[0].T.double()
    inertia = float((torch.from_numpy(x).double() - centres[ours.labels_BP[0]]).square().sum())
    assert inertia <= 1.01 * theirs.inertia_
    assert float(ours.inertia_B) == pytest.approx(inertia, rel=1e-4)


def test_a_far_origin_costs_no_accuracy() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 5, (500,), generator=generator)
    x = 1e4 + torch.randn(3, 5, generator=generator)[:, truth] + 1e-2 * torch.randn(3, 500, generator=generator)
    assert same_regions(kmeans(x[None], 5).labels_BP[0], truth)


def test_unit_norm_and_softmax_say_what_is_clustered() -> None:
    logits = torch.tensor([[1.0, 0.0], [9.0, 0.0], [0.0, 1.0], [0.0, 9.0]]).T.view(1, 2, 2, 2)
    by_direction = KMeans(clusters=2, softmax=False, unit_norm=True, absorb="none")(logits).labels_BTHW.flatten()
    assert same_regions(by_direction, torch.tensor([0, 0, 1, 1]))
    assert float(KMeans(softmax=True, absorb="none").descriptors(logits).sum(1).std()) < 1e-6
    assert torch.equal(KMeans(softmax=False, absorb="none").descriptors(logits), logits)


def test_mean_shift_reads_out_an_embedding_that_the_discriminative_loss_likes() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 6, (40, 40), generator=generator)
    means = 3.0 * torch.eye(8)[:, :6]  # farther apart than 2 delta_d = 3
    spread = torch.nn.functional.normalize(torch.randn(8, 40, 40, generator=generator), dim=0) * 0.3
    embedding = means[:, truth] + spread
    for kernel in ("flat", "gaussian"):
        post = MeanShift(bandwidth=0.5, kernel=kernel, softmax=False, absorb="none")
        assert same_regions(post(embedding[None]).labels_BTHW[0, 0], truth)
    scales = MeanShift(bandwidth=[0.5, 50], softmax=False, absorb="none")(embedding[None])
    assert scales.labels_BTHW.amax((2, 3)).tolist() == [[5, 0]]
    bounded = MeanShift(bandwidth=1e-3, modes=7, softmax=False, absorb="none")(embedding[None])
    assert len(torch.unique(bounded.labels_BTHW)) == 7


def with_patch(share: float) -> tuple[Tensor, Tensor]:
    """Two halves, and in the left one a patch of a third label; the image shows the halves alone."""
    labels = torch.zeros(50, 50, dtype=torch.int64)
    labels[:, 25:] = 5
    side = round((share * 2500) ** 0.5)
    labels[10 : 10 + side, 5 : 5 + side] = 9
    image = torch.full((3, 50, 50), 50, dtype=torch.uint8)
    image[:, :, 25:] = 200
    return labels, image


@pytest.mark.parametrize("absorb", ["crf", "nearest"])
@pytest.mark.parametrize("scope", ["small", "all"])
def test_one_percent_disappears_and_three_stay(absorb: str, scope: str) -> None:
    small, image = with_patch(0.01)
    halves = (small == 5).long()
    assert torch.equal(Absorb(absorb=absorb, scope=scope)(small, image), halves)
    large, image = with_patch(0.03)
    found = Absorb(absorb=absorb)(large, image)
    assert torch.equal(found, halves + 2 * (large == 9))
    kept = Absorb(absorb="none")(small, image)
    assert torch.equal(kept, halves + 2 * (small == 9))


@pytest.mark.parametrize("post", [KMeans(clusters=3), MeanShift(), Argmax()], ids=lambda p: type(p).__name__)
def test_a_read_out_absorbs_and_is_sure_of_what_is_left(post) -> None:
    labels, image = with_patch(0.01)
    channel = torch.unique(labels, return_inverse=True)[1]
    logits = 8 * torch.nn.functional.one_hot(channel, 3).permute(2, 0, 1)[None].float()
    found = post(logits, image[None])
    assert same_regions(found.labels_BTHW[0, 0], (labels == 5).long())
    sure = found.confidence_BTR.flatten()
    assert float(sure.max()) == pytest.approx(0, abs=1e-6)
    assert float(sure.min()) < -0.01, "the half with the patch is not uniform any more"
    post.absorb.absorb, before = "none", post.absorb.absorb
    assert same_regions(post(logits).labels_BTHW[0, 0], channel)
    post.absorb.absorb = before


def test_a_region_of_exactly_the_share_stays() -> None:
    labels = torch.zeros(10, 10, dtype=torch.int64)
    labels[0, :2] = 1
    assert int(Absorb(absorb="nearest")(labels, None).max()) == 1
    assert int(Absorb(absorb="nearest", smallest=0.021)(labels, None).max()) == 0


@pytest.mark.parametrize("absorb", ["crf", "nearest"])
def test_where_all_are_small_the_largest_stays(absorb: str) -> None:
    labels = torch.arange(100).repeat_interleave(4).view(20, 20)
    labels[10, :5] = 40
    image = torch.zeros(3, 20, 20, dtype=torch.uint8)
    assert Absorb(absorb=absorb)(labels, image).eq(0).all()
    assert Absorb(absorb=absorb, smallest=1.0)(labels, image).eq(0).all()
    assert Absorb(absorb=absorb)(torch.full((4, 4), 17), image[:, :4, :4]).eq(0).all()


def test_the_crf_follows_the_image_where_the_nearest_does_not() -> None:
    """A small region in the left half whose pixels look like the right half goes there."""
    labels, image = with_patch(0.01)
    image[:, labels == 9] = 200
    found = Absorb()(labels, image)
    assert torch.equal(found, (labels > 0).long())
    assert torch.equal(Absorb(absorb="nearest")(labels, image), (labels == 5).long())


def test_small_scope_leaves_large_regions_and_all_scope_smooths_them() -> None:
    labels = torch.zeros(40, 40, dtype=torch.int64)
    labels[:, 20:] = 1
    labels[5::7, 3:18:5] = 1  # wrong pixels inside the dark half
    image = torch.full((3, 40, 40), 40, dtype=torch.uint8)
    image[:, :, 20:] = 220
    assert torch.equal(Absorb()(labels, image), labels)
    assert torch.equal(Absorb(scope="all")(labels, image), (image[0] > 100).long())


def test_connected_parts_count_one_by_one() -> None:
    labels = torch.zeros(30, 30, dtype=torch.int64)
    labels[2:6, 2:6] = 1  # 16 pixels, 1.8 %
    labels[20:28, 20:28] = 1
    assert int(connected_parts(labels).max()) == 2
    both = Absorb(absorb="nearest")(labels, None)
    assert torch.equal(both, labels)
    one = Absorb(absorb="nearest", connected=True)(labels, None)
    assert int(one[2:6, 2:6].max()) == 0
    assert int(one[20:28, 20:28].min()) == 1


def test_confidence_of_absent_labels() -> None:
    x = torch.tensor([[[0.0, 2.0, 5.0]]])
    assert confidence(x, torch.tensor([[[0, 0, 2]]])).tolist() == [[[-1.0, -torch.inf, 0.0]]]


def test_reduced_precision_and_float_images() -> None:
    logits, image, truth = blobs()
    for form in (torch.bfloat16, torch.float16, torch.float64):
        assert same_regions(KMeans(clusters=2)(logits.to(form), image.float()).labels_BTHW[0, 0], truth)


def test_messages() -> None:
    logits, image, _ = blobs()
    with pytest.raises(ValueError, match=r"eval\.post\.absorb=crf needs the image"):
        KMeans()(logits)
    with pytest.raises(ValueError, match=r"eval\.post\.absorb=crf needs the image"):
        Absorb()(torch.zeros(4, 4).long(), None)
    with pytest.raises(ValueError, match=r"images \(1, 3, 32, 31\): expected \(1, 3, 32, 32\)"):
        KMeans()(logits, image[..., :-1])
    with pytest.raises(ValueError, match="NaN or infinity"):
        Argmax()(logits * torch.nan, image)
    with pytest.raises(ValueError, match=r"expected \[B,M,H,W\]"):
        Argmax()(logits[0], image)
    with pytest.raises(ValueError, match="expected fewer for a CRF"):
        Absorb(smallest=0, scope="all")(torch.arange(40000).view(200, 200), torch.zeros(3, 200, 200).byte())


@pytest.mark.parametrize(
    ("kind", "key", "value", "name"),
    [
        (KMeans, "clusters", 0, r"eval\.clusters"), (KMeans, "clusters", [3, True], r"eval\.clusters"),
        (KMeans, "clusters", "20", r"eval\.clusters"), (KMeans, "iterations", 0, r"eval\.post\.iterations"),
        (KMeans, "tolerance", -1, r"eval\.post\.tolerance"), (KMeans, "seed", -1, r"eval\.post\.seed"),
        (KMeans, "softmax", "yes", r"eval\.post\.softmax"), (KMeans, "absorb", "crfs", r"eval\.post\.absorb"),
        (MeanShift, "bandwidth", 0, r"eval\.post\.bandwidth"), (MeanShift, "kernel", "box", r"eval\.post\.kernel"),
        (MeanShift, "modes", 0, r"eval\.post\.modes"), (Argmax, "unit_norm", 1, r"eval\.post\.unit_norm"),
        (Argmax, "smallest", 2, r"eval\.post\.smallest"), (Argmax, "scope", "some", r"eval\.post\.scope"),
        (Argmax, "gt_prob", 1.0, r"eval\.post\.gt_prob"), (Argmax, "connected", None, r"eval\.post\.connected"),
    ],
)  # fmt: skip
def test_values_are_checked(kind: type, key: str, value: object, name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}=.*: expected"):
        kind(**{key: value})
