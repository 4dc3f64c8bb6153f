"""The up-sampling baselines: by hand, against each other, against a slow reading of the text, and as read-outs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from seglab.coarse import cells_of
from seglab.evaluator import Evaluator
from seglab.forward import enlarged
from seglab.post.classes import Classes
from seglab.post.upsampled import Naive, Superpixel
from seglab.post.upsampling import naive, superpixel


def probs(classes: int = 4, grid: tuple[int, int] = (3, 5), *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), grid).transpose(2, 0, 1)


def photo(height: int, width: int) -> np.ndarray:
    """Two halves of a colour each, under a little noise."""
    image = np.full((height, width, 3), (200, 40, 40), np.int64)
    image[:, width // 2 :] = (30, 60, 210)
    return (image + np.random.default_rng(0).integers(-5, 6, image.shape)).astype(np.uint8)


def test_naive_by_hand() -> None:
    p = np.array([[[0.6, 0.1], [0.3, 0.5]], [[0.4, 0.9], [0.7, 0.5]]])
    # Of 5 columns the centres lie at 0.1 0.3 | 0.5 0.7 0.9 of the side, of 3 rows at 1/6 | 1/2 5/6.
    assert naive(p, (3, 5)).tolist() == [[0, 0, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0]]
    assert naive(p, (3, 5)).dtype == np.uint8
    assert naive(p, (1, 1)).tolist() == [[0]], "an image smaller than the grid: its pixel lies in the last cell, a tie"
    assert naive(p, (2, 1)).tolist() == [[1], [0]]


def test_superpixel_by_hand() -> None:
    p = np.array([[[0.6, 0.1]], [[0.4, 0.9]]])
    whole = np.zeros((1, 4), np.int32)
    assert superpixel(p, whole).tolist() == [[1] * 4], "mean (0.35, 0.65)"
    mostly_left = np.array([[7, 7, 7, 9]])
    # 2/3 of (0.6, 0.4) and 1/3 of (0.1, 0.9) is (0.433, 0.567).
    assert superpixel(p, mostly_left).tolist() == [[1, 1, 1, 1]]
    p[:, 0, 0] = 0.9, 0.1  # now (0.633, 0.367)
    assert superpixel(p, mostly_left).tolist() == [[0, 0, 0, 1]]
    assert superpixel(p, mostly_left).dtype == np.uint8


@pytest.mark.parametrize("size", [(17, 31), (48, 20), (3, 5), (2, 2), (1, 9)], ids=str)
def test_superpixels_that_are_cells_give_naive(size: tuple[int, int]) -> None:
    p = probs()
    np.testing.assert_array_equal(superpixel(p, cells_of(size, p.shape[1:])), naive(p, size))


@pytest.mark.parametrize("size", [(23, 14), (40, 61)], ids=str)
def test_superpixel_is_the_mean_over_pixels(size: tuple[int, int]) -> None:
    p = probs(seed=2)
    labels = np.random.default_rng(3).integers(0, 6, (size[0] // 5 + 1, size[1] // 5 + 1)) * 1000 - 4
    labels = labels.repeat(5, 0).repeat(5, 1)[: size[0], : size[1]]
    wanted, at_pixels = np.zeros(size, np.int64), p.reshape(len(p), -1)[:, cells_of(size, p.shape[1:])]
    for number in np.unique(labels):
        wanted[labels == number] = at_pixels[:, labels == number].mean(1).argmax()
    np.testing.assert_array_equal(superpixel(p, labels), wanted)


@pytest.mark.parametrize(
    "scores", [np.zeros((2, 3)), np.zeros((256, 1, 1)), np.zeros((2, 0, 1)), np.full((2, 1, 1), np.nan)]
)
def test_scores_are_checked(scores: np.ndarray) -> None:
    for call in (lambda: naive(scores, (4, 4)), lambda: superpixel(scores, np.zeros((4, 4), int))):
        with pytest.raises(ValueError, match="scores"):
            call()


def test_sizes_and_superpixels_are_checked() -> None:
    with pytest.raises(ValueError, match="0 x 4 pixels"):
        naive(probs(), (0, 4))
    for wrong in (np.zeros((4, 4)), np.zeros(4, int), np.zeros((0, 4), int)):
        with pytest.raises(ValueError, match=r"expected whole numbers \[H,W\]"):
            superpixel(probs(), wrong)


def test_read_outs_are_the_functions() -> None:
    logits = 3 * torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    found = Naive().at_size(logits, (30, 45))
    assert found.dtype == torch.int64
    np.testing.assert_array_equal(found, naive(logits.softmax(0).numpy(), (30, 45)))
    pytest.importorskip("seglab.proposals.superpixels")
    from seglab.proposals.superpixels import superpixels

    image = photo(30, 45)
    wanted = superpixel(logits.softmax(0).numpy(), superpixels(image, count=20, compactness=10.0))
    np.testing.assert_array_equal(Superpixel(superpixels=20).at_size(logits, (30, 45), image), wanted)


def test_superpixels_follow_the_colours() -> None:
    pytest.importorskip("seglab.proposals.superpixels")
    logits = torch.zeros(2, 1, 3)
    logits[0, 0, 0] = logits[1, 0, 2] = 2  # the middle cell says nothing
    image = photo(40, 60)
    found = Superpixel(superpixels=24).at_size(logits, (40, 60), image).numpy()
    truth = np.zeros((40, 60), int)
    truth[:, 30:] = 1
    assert (found == truth).mean() > (Naive().at_size(logits, (40, 60)).numpy() == truth).mean() + 0.05
    tiny = Superpixel(superpixels=400).at_size(logits, (3, 7), image[:3, :7])
    assert tiny.shape == (3, 7), "fewer superpixels in a small image"


def test_classes_come_at_the_size_of_the_images() -> None:
    logits = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    images = torch.from_numpy(np.stack([photo(30, 45)] * 2).transpose(0, 3, 1, 2).copy())
    for post in (Classes(), Naive()):
        found = post(logits, images)
        assert torch.equal(found[1], post.at_size(logits[1], (30, 45)))
    pytest.importorskip("seglab.proposals.superpixels")
    post = Superpixel(superpixels=20)
    assert torch.equal(post(logits, images)[1], post.at_size(logits[1], (30, 45), photo(30, 45)))
    full = torch.randn(2, 4, 30, 45)
    assert torch.equal(Classes()(full, images), full.argmax(1))
    with pytest.raises(ValueError, match="found in the image"):
        post(logits)
    with pytest.raises(ValueError, match=r"expected \(30, 45, 3\)"):
        post.at_size(logits[0], (30, 45), photo(10, 45))


def test_coarse_logits_are_enlarged_only_where_they_are_coarse() -> None:
    image, full = torch.zeros(1, 3, 8, 6), torch.randn(1, 2, 8, 6)
    assert enlarged(full, image) is full
    assert enlarged(torch.ones(1, 2, 2, 2), image).shape == (1, 2, 8, 6)


@pytest.mark.parametrize(
    "settings", [{"superpixels": 0}, {"superpixels": 2.5}, {"compactness": 0}, {"compactness": "x"}]
)
def test_settings_are_checked(settings: dict) -> None:
    with pytest.raises(ValueError, match=rf"eval\.post\.{next(iter(settings))}="):
        Superpixel(**settings)


def test_the_evaluator_hands_over_the_original_image() -> None:
    seen = []

    class Post(Classes):
        reads_images = True

        def enlarge(self, scores: torch.Tensor, size: tuple, image: np.ndarray | None = None) -> torch.Tensor:
            seen.append(image)
            return torch.zeros(size)

    stub = SimpleNamespace(
        cfg=SimpleNamespace(eval=SimpleNamespace(resolution="original")),
        logits=lambda dataset, desc: [
            ({"index": torch.tensor([0]), "image": None, "mask": None}, torch.zeros(1, 3, 2, 2))
        ],
        post=Post(),
    )
    image = photo(5, 7)
    dataset = SimpleNamespace(original=lambda index: (image, np.zeros((5, 7), np.uint8)))
    Evaluator.fill(stub, SimpleNamespace(update_one=lambda *given: None), dataset, "x")
    assert len(seen) == 1
    assert seen[0] is image
