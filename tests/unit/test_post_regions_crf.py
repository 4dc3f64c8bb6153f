"""The dense CRF against mean field written out pixel by pixel, and its fast kernel against the exact one on photos."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from seglab.post import crf_kernels
from seglab.post.absorb import unary_from_labels
from seglab.post.crf_kernels import Exact, Landmarks, Spatial
from seglab.post.dense_crf import NORMALISATIONS, DenseCRF, bilateral_features


def by_hand(unary: Tensor, image: Tensor, *, normalisation: str, iterations: int, observed: Tensor | None = None):
    """Mean field as in the papers, with loops over all pairs of pixels, in float64."""
    labels, height, width = unary.shape
    places = [(r, c) for r in range(height) for c in range(width)]
    kernels = []
    for weight, sxy, srgb in ((3.0, 3.0, None), (10.0, 80.0, 13.0)):
        k = np.zeros((len(places), len(places)))
        for i, (r, c) in enumerate(places):
            for j, (s, d) in enumerate(places):
                exponent = ((r - s) ** 2 + (c - d) ** 2) / (2 * sxy**2)
                if srgb:
                    colour = image[:, r, c].double() - image[:, s, d].double()
                    exponent += float(colour.square().sum()) / (2 * srgb**2)
                k[i, j] = math.exp(-exponent)
        n = k.sum(1)
        before = {"symmetric": n**-0.5, "before": 1 / n, "after": n**0, "none": n**0}[normalisation]
        after = {"symmetric": n**-0.5, "before": n**0, "after": 1 / n, "none": n**0}[normalisation]
        kernels.append(weight * after[:, None] * k * before)
    energy = unary.double().flatten(1).numpy()
    known = np.full(len(places), -1) if observed is None else observed.flatten().numpy()

    def normal(score: np.ndarray) -> np.ndarray:
        q = np.exp(score - score.max(0))
        q /= q.sum(0)
        for label in range(labels):
            q[:, known == label] = np.eye(labels)[:, [label]]
        return q

    q = normal(-energy)
    for _ in range(iterations):
        q = normal(-energy + sum(q @ k.T for k in kernels))
    return torch.from_numpy(q).view(unary.shape)


def problem(seed: int = 0, size: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(100, 140, (3, size, size), generator=generator, dtype=torch.uint8)
    image[:, :, size // 2 :] += 30
    return torch.rand(3, size, size, generator=generator) * 3, image


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_exact_is_mean_field_written_out(normalisation: str) -> None:
    unary, image = problem()
    crf = DenseCRF(method="exact", iterations=3, normalisation=normalisation)
    expected = by_hand(unary, image, normalisation=normalisation, iterations=3)
    torch.testing.assert_close(crf(unary, image).double(), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("method", ["exact", "landmarks"])
def test_observed_pixels_speak_and_are_not_asked(method: str) -> None:
    unary, image = problem(1)
    observed = torch.full((8, 8), -1)
    observed[:3], observed[6:, 4:] = 2, 1
    # As many landmarks as pixels: the approximation is exact.
    crf = DenseCRF(method=method, landmarks=64, iterations=4)
    found = crf(unary, image, observed_HW=observed)
    expected = by_hand(unary, image, normalisation="symmetric", iterations=4, observed=observed)
    torch.testing.assert_close(found.double(), expected, atol=2e-5 if method == "exact" else 2e-2, rtol=0)
    assert bool((found[2, :3] == 1).all())
    assert bool((found.argmax(0)[observed >= 0] == observed[observed >= 0]).all())


def test_all_pixels_observed_come_back_as_they_are() -> None:
    unary, image = problem()
    labels = torch.arange(64).view(8, 8) % 3
    assert torch.equal(DenseCRF()(unary, image, observed_HW=labels).argmax(0), labels)


def test_no_iterations_and_no_kernels_give_the_softmax() -> None:
    unary, image = problem()
    for crf in (DenseCRF(iterations=0), DenseCRF(gaussian_compat=0, bilateral_compat=0)):
        torch.testing.assert_close(crf(unary, image), (-unary).softmax(0))


def test_tiles_and_recomputed_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    features = torch.rand(300, 5) * 4
    planes = torch.rand(4, 300)
    exact, fast = Exact(features), Landmarks(features, landmarks=40)
    monkeypatch.setattr(crf_kernels, "_TILE", 1000)
    monkeypatch.setattr(crf_kernels, "_STORED", 0)
    torch.testing.assert_close(Exact(features).sums_P, exact.sums_P)
    tiled = Landmarks(features, landmarks=40)
    assert tiled.stored is None
    found, expected = (kernel.between(None, None)(planes) for kernel in (tiled, fast))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["spatial", "exact", "landmarks"])
def test_a_part_of_a_kernel_is_a_part_of_the_whole(kind: str) -> None:
    features = torch.cartesian_prod(torch.arange(12.0), torch.arange(10.0)) / 3
    kernel = {
        "spatial": lambda: Spatial(12, 10, sxy=3, device=features.device),
        "exact": lambda: Exact(features),
        "landmarks": lambda: Landmarks(features, landmarks=120),
    }[kind]()
    whole = (-0.5 * torch.cdist(features, features).square()).exp()
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if kind != "landmarks" else {"rtol": 2e-3, "atol": 2e-3}
    torch.testing.assert_close(kernel.sums_P, whole.sum(1), **tolerance)
    rows, columns = torch.arange(5, 100, 7), torch.arange(3, 120, 2)
    planes = torch.rand(4, len(columns))
    torch.testing.assert_close(kernel.between(rows, columns)(planes), planes @ whole[rows][:, columns].T, **tolerance)


def photo(data_root: Path, stem: str, size: tuple[int, int]) -> Tensor:
    with Image.open(data_root / "BSDS500" / "data" / "images" / "val" / f"{stem}.jpg") as image:
        return torch.from_numpy(np.array(image.convert("RGB").resize(size))).permute(2, 0, 1)


@pytest.mark.parametrize("stem", ["101087", "105025"])
def test_landmarks_agree_with_all_pairs_on_a_photo(data_root: Path, stem: str) -> None:
    image = photo(data_root, stem, (96, 64))
    generator = torch.Generator().manual_seed(0)
    true = (image.float().mean(0) > image.float().mean()).long()
    wrong = torch.rand(8, 12, generator=generator).lt(0.35).repeat_interleave(8, 0).repeat_interleave(8, 1)
    unary = unary_from_labels(true ^ wrong.long(), 2, gt_prob=0.6)
    exact, fast = (DenseCRF(method=m)(unary, image).argmax(0) for m in ("exact", "landmarks"))
    assert float((exact != unary.argmin(0)).float().mean()) > 0.05, "the CRF must have something to do"
    assert float((exact == fast).float().mean()) >= 0.99


def test_a_pixel_far_from_all_landmarks_keeps_itself() -> None:
    image = torch.full((3, 64, 64), 128, dtype=torch.uint8)
    rare = torch.cartesian_prod(*[torch.tensor([0, 70, 190, 255], dtype=torch.uint8)] * 3).T  # 64 colours far apart
    image[:, 17] = rare
    kernel = Landmarks(bilateral_features(image, sxy=80, srgb=13), landmarks=8)
    sums = kernel.sums_P.view(64, 64)
    assert sums.min() >= 0.99
    assert sums[17].median() < 2 < sums[18].min()
    assert 0.01 < kernel.missed < 0.3


def test_constant_and_one_pixel_images() -> None:
    for size in ((1, 1), (1, 7), (20, 20)):
        unary = torch.rand(2, *size, generator=torch.Generator().manual_seed(0))
        for method in ("exact", "landmarks"):
            found = DenseCRF(method=method)(unary, torch.zeros(3, *size, dtype=torch.uint8))
            assert bool(found.isfinite().all())
            torch.testing.assert_close(found.sum(0), torch.ones(size))


def test_float_images_are_in_grey_levels() -> None:
    unary, image = problem()
    assert torch.equal(DenseCRF()(unary, image), DenseCRF()(unary, image.float()))
    with pytest.raises(ValueError, match=r"0\.\.1: expected grey levels 0\.\.255"):
        DenseCRF()(unary, image.float() / 255)


def test_the_same_twice() -> None:
    unary, image = problem(2, 40)
    crf = DenseCRF(method="landmarks", landmarks=32)
    assert torch.equal(crf(unary, image), crf(unary, image))


def test_unary_from_labels() -> None:
    unary = unary_from_labels(torch.tensor([[0, 2, -1]]), 3, gt_prob=0.7)
    torch.testing.assert_close(
        (-unary).exp()[:, 0].T, torch.tensor([[0.7, 0.15, 0.15], [0.15, 0.15, 0.7], [1 / 3, 1 / 3, 1 / 3]])
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gaussian_sxy", 0), ("bilateral_srgb", -1), ("bilateral_compat", float("nan")), ("iterations", -1),
        ("landmarks", 0), ("method", "grid"), ("backend", "cuda"), ("normalisation", True),
    ],
)  # fmt: skip
def test_values_are_checked(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"eval\.post\.crf\.{key}=.*: expected"):
        DenseCRF(**{key: value})


def test_the_library_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    with pytest.raises(ValueError, match="pip install pydensecrf2"):
        DenseCRF(backend="pydensecrf")


# Without normalisation the library's kernel has a scale of its own.
@pytest.mark.parametrize("normalisation", NORMALISATIONS[:3])
def test_the_library_gives_nearly_the_same(normalisation: str) -> None:
    pytest.importorskip("pydensecrf")
    generator = torch.Generator().manual_seed(0)
    true = torch.zeros(48, 48, dtype=torch.int64)
    true[12:36, 12:36] = 1
    image = (true * 120 + 60 + torch.randint(0, 20, (3, 48, 48), generator=generator)).byte()
    unary = unary_from_labels(
        torch.where(torch.rand(48, 48, generator=generator) < 0.3, 1 - true, true), 2, gt_prob=0.6
    )
    observed = torch.full_like(true, -1)
    observed[:8, :8] = 1
    for known in (None, observed):
        ours, theirs = (
            DenseCRF(backend=b, normalisation=normalisation)(unary, image, observed_HW=known).argmax(0)
            for b in ("seglab", "pydensecrf")
        )
        assert float((ours == theirs).float().mean()) >= 0.98


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="of one size"):
        DenseCRF()(torch.zeros(2, 4, 4), torch.zeros(3, 4, 5))
