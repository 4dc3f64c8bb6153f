"""Features of proposals against loops over pixels; single proposals, one class, energies of other people's maps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from seglab.proposals.store import ProposalSet
from seglab.rerank.appearance import lab
from seglab.rerank.proposal_features import proposal_feature_names, proposal_features

K = 5


def example(count: int = 4, size: tuple[int, int] = (14, 19), seed: int = 0) -> tuple[np.ndarray, ProposalSet]:
    rng = np.random.default_rng(seed)
    image_HW3 = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    labels_MHW = np.stack([ndimage.zoom(rng.integers(0, K - 1, (7, 7)), 3, order=0) for _ in range(count)])
    labels_MHW = labels_MHW[:, : size[0], : size[1]].astype(np.uint8)
    energy_M = np.cumsum(rng.random(count)) + 3
    return image_HW3, ProposalSet(labels_MHW, energy_M, energy_M * 1.5)


def named(image_HW3: np.ndarray, proposals: ProposalSet, classes: int = K) -> dict[str, np.ndarray]:
    found = proposal_features(image_HW3, proposals, classes=classes)
    names = proposal_feature_names(classes)
    assert found.shape == (len(proposals), len(names))
    assert len(set(names)) == len(names)
    assert np.isfinite(found).all()
    return dict(zip(names, found.T, strict=True))


def test_places_areas_and_colours_of_a_class():
    image_HW3, proposals = example()
    found, colours_3HW = named(image_HW3, proposals), lab(image_HW3).astype(np.float64)
    rows, columns = np.mgrid[:14, :19]
    for m, labels_HW in enumerate(proposals.labels_MHW):
        for k in range(K):
            inside = labels_HW == k
            wanted = {"area": inside.mean(), "there": float(inside.any())}
            if inside.any():
                within, rest = colours_3HW[:, inside], colours_3HW[:, ~inside]
                wanted |= {
                    "row": ((rows[inside] + 0.5) / 14 - 0.5).mean(),
                    "column": ((columns[inside] + 0.5) / 19 - 0.5).mean(),
                    "height": (rows[inside] / 14).std(),
                    "width": (columns[inside] / 19).std(),
                    "spread": within.var(1).sum(),
                    "contrast": np.linalg.norm(within.mean(1) - rest.mean(1)),
                    "green_red": within[1].mean(),
                }
            else:
                wanted |= dict.fromkeys(("row", "width", "spread", "contrast", "lightness", "boundary_contrast"), 0.0)
            wanted["segments"] = ndimage.label(inside)[1]
            for name, value in wanted.items():
                assert found[f"{name}_{k}"][m] == pytest.approx(value, abs=1e-9), (name, k)
        within = sum((labels_HW == k).mean() * found[f"spread_{k}"][m] for k in range(K))
        assert found["colour_within"][m] == pytest.approx(within)


def test_boundaries_and_neighbours():
    image_HW3, proposals = example()
    found, colours_3HW = named(image_HW3, proposals), lab(image_HW3).astype(np.float64)
    for m, labels_HW in enumerate(proposals.labels_MHW):
        on, off, pairs = [], [], []
        for i in range(14):
            for j in range(19):
                for x, y in ((i + 1, j), (i, j + 1)):
                    if x < 14 and y < 19:
                        step = np.linalg.norm(colours_3HW[:, i, j] - colours_3HW[:, x, y])
                        ends = {int(labels_HW[i, j]), int(labels_HW[x, y])}
                        (on if len(ends) == 2 else off).append(step)
                        pairs += [(ends, step)] if len(ends) == 2 else []
        total = len(on) + len(off)
        assert found["boundary"][m] == pytest.approx(len(on) / total)
        assert found["gradient_on"][m] == pytest.approx(np.mean(on), rel=1e-5)
        assert found["gradient_off"][m] == pytest.approx(np.mean(off), rel=1e-5)
        assert found["adjacent_1_3"][m] == pytest.approx(sum(ends == {1, 3} for ends, _ in pairs) / total)
        of_two = [step for ends, step in pairs if 2 in ends]
        assert found["boundary_2"][m] == pytest.approx(len(of_two) / total)
        wanted = np.mean(of_two) - np.mean(on + off) if of_two else 0.0
        assert found["boundary_contrast_2"][m] == pytest.approx(wanted, abs=1e-6)


def test_agreement_with_the_others():
    image_HW3, proposals = example()
    found, labels_MHW = named(image_HW3, proposals), proposals.labels_MHW

    def iou(a: np.ndarray, b: np.ndarray) -> float:
        kept = [
            ((a == k) & (b == k)).sum() / ((a == k) | (b == k)).sum() for k in range(K) if ((a == k) | (b == k)).any()
        ]
        return float(np.mean(kept))

    most = np.apply_along_axis(lambda y: np.bincount(y, minlength=K).argmax(), 0, labels_MHW)
    for m, labels_HW in enumerate(labels_MHW):
        others = [other for n, other in enumerate(labels_MHW) if n != m]
        assert found["agreement"][m] == pytest.approx(np.mean([(labels_HW == other).mean() for other in others]))
        assert found["iou_others"][m] == pytest.approx(np.mean([iou(labels_HW, other) for other in others]))
        assert found["iou_first"][m] == pytest.approx(iou(labels_HW, labels_MHW[0]))
        assert found["agreement_majority"][m] == pytest.approx((labels_HW == most).mean())
        new = np.all([labels_HW != earlier for earlier in labels_MHW[:m]], axis=0).mean() if m else 0.0
        assert found["novelty"][m] == pytest.approx(new)


def test_what_looks_at_one_proposal_alone_is_permuted_with_them():
    image_HW3, proposals = example(5)
    order = [3, 1, 4, 0, 2]
    again = ProposalSet(proposals.labels_MHW[order], proposals.energy_M[order], proposals.augmented_M[order])
    found, permuted = named(image_HW3, proposals), named(image_HW3, again)
    ranks = ("energy", "rank", "augmented", "diversity_paid", "is_first", "novelty")
    for name, values in found.items():
        if not name.startswith(ranks) and not name.endswith("_first"):
            np.testing.assert_allclose(permuted[name], values[order], atol=1e-12, err_msg=name)


def test_many_proposals_of_many_classes_are_told_apart():
    rng = np.random.default_rng(4)
    labels_MHW = rng.integers(0, 200, (23, 6, 8)).astype(np.uint8)
    proposals = ProposalSet(labels_MHW, np.arange(23.0), np.arange(23.0))
    found = named(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), proposals, classes=200)
    pieces = [sum(ndimage.label(labels_HW == k)[1] for k in range(200)) for labels_HW in labels_MHW]
    assert found["segments"].tolist() == pieces
    assert found["classes"].tolist() == [len(np.unique(labels_HW)) for labels_HW in labels_MHW]


def test_a_single_proposal_has_no_margins_and_agrees():
    image_HW3, proposals = example()
    found = named(image_HW3, proposals.first(1))
    for name in ("energy", "energy_margin_best", "energy_margin_next", "augmented_scaled", "rank", "novelty"):
        assert found[name].tolist() == [0], name
    for name in ("agreement", "agreement_first", "agreement_majority", "iou_others", "iou_first", "is_first"):
        assert found[name].tolist() == [1], name


def test_an_image_of_background_only_has_no_boundary():
    image_HW3, _ = example()
    proposals = ProposalSet(np.zeros((2, 14, 19), np.uint8), np.zeros(2), np.zeros(2))
    found = named(image_HW3, proposals)
    assert found["boundary"].tolist() == [0, 0]
    assert found["gradient_on"] == pytest.approx(found["gradient_off"])
    assert found["gradient_ratio"] == pytest.approx([1, 1])
    assert found["entropy"].tolist() == [0, 0]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_the_smallest_images_work(size):
    named(*example(3, size))


def test_margins_of_energies():
    image_HW3, proposals = example(3)
    proposals = ProposalSet(proposals.labels_MHW, np.array([10.0, 12.0, 20.0]), np.array([10.0, 13.0, 40.0]))
    found = named(image_HW3, proposals)
    assert found["energy"].tolist() == [0, 2, 10]
    assert found["energy_scaled"].tolist() == pytest.approx([0, 0.2, 1])
    assert found["energy_margin_previous"].tolist() == pytest.approx([0, 0.2, 0.8])
    assert found["energy_margin_next"].tolist() == pytest.approx([0.2, 0.8, 0])
    assert found["diversity_paid"].tolist() == pytest.approx([0, 0.05, 1])


def test_what_does_not_fit_is_refused():
    image_HW3, proposals = example(2)
    with pytest.raises(ValueError, match=r"expected \[H,W,3\] and \[M,H,W\]"):
        proposal_features(image_HW3[1:], proposals, classes=K)
    with pytest.raises(ValueError, match="labels 0 to 3: expected 0 to 2"):
        proposal_features(image_HW3, proposals, classes=3)
    broken = ProposalSet(proposals.labels_MHW, np.array([0.0, np.nan]), np.zeros(2))
    with pytest.raises(ValueError, match="energy of a proposal is not finite"):
        proposal_features(image_HW3, broken, classes=K)


def test_the_21_classes_have_740_features():
    assert len(proposal_feature_names(21)) == 740
