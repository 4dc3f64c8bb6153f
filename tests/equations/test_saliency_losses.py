"""The losses of PFAN, BASNet and PoolNet against their formulas written out pixel by pixel."""

from __future__ import annotations

import math

import pytest
import torch

from seglab.losses.basnet import C1, C2, Hybrid, hybrid
from seglab.losses.pfan import EdgePreservation, edge_preservation
from seglab.losses.poolnet import SaliencyAndEdges, saliency_and_edges

SIZE = 14


def example(seed: int = 0, *, void: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [2,2,S,S] in float64 and a mask with ignored pixels."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 2, SIZE, SIZE, generator=generator, dtype=torch.float64)
    mask = torch.zeros(2, SIZE, SIZE, dtype=torch.int64)
    mask[0, 3:9, 2:8] = 1
    mask[1, :, 5:] = 1
    if void:
        mask[0, 6:8, 6:12] = 255
        mask[1, 0, 0] = 255
    return logits, mask


def pixels(mask: torch.Tensor) -> list[tuple[int, int]]:
    """Rows and columns of the labelled pixels."""
    return [(r, c) for r in range(SIZE) for c in range(SIZE) if mask[r, c] != 255]


def cross_entropy(p: float, y: float) -> float:
    """Of one probability."""
    return -(y * math.log(p) + (1 - y) * math.log(1 - p))


def laplace(x: torch.Tensor, r: int, c: int) -> float:
    """|tanh(Laplace operator)| of one pixel, the border repeated."""
    near = [(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)]
    at = [float(x[min(max(i, 0), SIZE - 1), min(max(j, 0), SIZE - 1)]) for i, j in near]
    return abs(math.tanh(sum(at) - 4 * float(x[r, c])))


def whole(mask: torch.Tensor, r: int, c: int, *, corners: bool) -> bool:
    """Whether no pixel of a neighbourhood is ignored."""
    near = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if corners or i == 0 or j == 0]
    inside = [(r + i, c + j) for i, j in near if 0 <= r + i < SIZE and 0 <= c + j < SIZE]
    return all(mask[i, j] != 255 for i, j in inside)


def test_pfan() -> None:
    logits, mask = example()
    saliency, edge = [], []
    for x, m in zip(logits, mask, strict=True):
        p, y = torch.softmax(x, 0)[1], (m == 1).double()
        of_map = [-(0.528 * y[i] * p[i].log() + 0.472 * (1 - y[i]) * (1 - p[i]).log()) for i in pixels(m)]
        saliency.append(float(sum(of_map)) / len(of_map))
        of_edges = [
            cross_entropy(min(max(laplace(p, *i), 1e-6), 1 - 1e-6), laplace(y, *i))
            for i in pixels(m)
            if whole(m, *i, corners=False)
        ]
        edge.append(sum(of_edges) / len(of_edges))
    found = edge_preservation(logits, mask)
    assert float(found["saliency"]) == pytest.approx(0.7 * sum(saliency) / 2)
    assert float(found["edge"]) == pytest.approx(0.3 * sum(edge) / 2)


def similarity(p: torch.Tensor, y: torch.Tensor, m: torch.Tensor, r: int, c: int) -> float:
    """SSIM of one window, its weights divided by their sum."""
    at = [(i, j) for i, j in pixels(m) if abs(i - r) <= 5 and abs(j - c) <= 5]
    weight = [math.exp(-((i - r) ** 2 + (j - c) ** 2) / (2 * 1.5**2)) for i, j in at]
    weight = [w / sum(weight) for w in weight]
    mean = [sum(w * float(x[i]) for w, i in zip(weight, at, strict=True)) for x in (p, y)]
    spread = [
        sum(w * (float(a[i]) - ma) * (float(b[i]) - mb) for w, i in zip(weight, at, strict=True))
        for (a, ma), (b, mb) in (((p, mean[0]),) * 2, ((y, mean[1]),) * 2, ((p, mean[0]), (y, mean[1])))
    ]
    above = (2 * mean[0] * mean[1] + C1) * (2 * spread[2] + C2)
    return above / ((mean[0] ** 2 + mean[1] ** 2 + C1) * (spread[0] + spread[1] + C2))


def test_basnet() -> None:
    logits, mask = example()
    bce, ssim, iou = [], [], []
    for x, m in zip(logits, mask, strict=True):
        p, y, at = torch.softmax(x, 0)[1], (m == 1).double(), pixels(m)
        bce.append(sum(cross_entropy(float(p[i]), float(y[i])) for i in at) / len(at))
        ssim.append(sum(1 - similarity(p, y, m, *i) for i in at) / len(at))
        both, either = sum(p[i] * y[i] for i in at), sum(p[i] + y[i] - p[i] * y[i] for i in at)
        iou.append(float(1 - both / either))
    found = hybrid(logits, mask)
    for name, values in (("bce", bce), ("ssim", ssim), ("iou", iou)):
        assert float(found[name]) == pytest.approx(sum(values) / 2), name


def test_basnet_sums_over_its_outputs() -> None:
    logits, mask = example()
    other, _ = example(1)
    z = (other[:, 1] - other[:, 0])[:, None]
    one, two = hybrid(logits, mask), hybrid(other, mask)
    batch = {"mask": mask, "aux": {"coarse": z, "bridge": z, "edge_1": z}}
    found = Hybrid()(logits, batch)
    alone = Hybrid(side_maps=False)(logits, batch)
    half = Hybrid(weight=0.5)(logits, batch)
    for name in ("bce", "ssim", "iou"):
        assert float(found[name]) == pytest.approx(float(one[name] + 2 * two[name]))
        assert float(half[name]) == pytest.approx(float(one[name] + two[name]))
        assert float(alone[name]) == pytest.approx(float(one[name]))


def test_poolnet() -> None:
    logits, mask = example()
    bce, edge = [], []
    other, _ = example(1)
    z = other[:, 1]
    for x, m, q in zip(logits, mask, torch.sigmoid(z), strict=True):
        p, y, at = torch.softmax(x, 0)[1], (m == 1).double(), pixels(m)
        bce.append(sum(cross_entropy(float(p[i]), float(y[i])) for i in at) / len(at))
        inner = [i for i in at if whole(m, *i, corners=True)]
        both = [len(set(m[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2].flatten().tolist())) == 2 for r, c in inner]
        share = sum(both) / len(both)
        terms = [
            -(1 - share) * q[i].log() if e else -share * (1 - q[i]).log() for i, e in zip(inner, both, strict=True)
        ]
        edge.append(float(sum(terms)) / len(terms))
    found = SaliencyAndEdges(weight=2.0)(logits, {"mask": mask, "aux": {"edge_1": z[:, None], "coarse": z[:, None]}})
    assert float(found["bce"]) == pytest.approx(sum(bce) / 2)
    assert float(found["edge"]) == pytest.approx(2 * sum(edge) / 2)
    assert set(SaliencyAndEdges(side_edges=False)(logits, {"mask": mask, "aux": {"edge_1": z[:, None]}})) == {"bce"}


def total(function, *arguments, **options):
    return sum(function(*arguments, **options).values())


@pytest.mark.parametrize("name", ["pfan", "basnet", "poolnet"])
def test_gradients(name: str) -> None:
    logits, mask = example()
    logits = logits[:1, :, :8, :8].contiguous().requires_grad_()
    mask = mask[:1, :8, :8].contiguous()
    side = torch.randn(1, 8, 8, dtype=torch.float64, requires_grad=True)
    if name == "pfan":
        assert torch.autograd.gradcheck(lambda x: total(edge_preservation, x, mask), (logits,))
        return
    function = hybrid if name == "basnet" else saliency_and_edges
    assert torch.autograd.gradcheck(lambda x, s: total(function, x, mask, sides={"s": s}), (logits, side))


@pytest.mark.parametrize("loss", [EdgePreservation(), Hybrid(), SaliencyAndEdges()], ids=["pfan", "basnet", "poolnet"])
def test_ignored_pixels_do_not_count_and_extremes_are_finite(loss) -> None:
    logits, mask = example()
    changed = logits.clone()
    changed[:, 1][mask == 255] += 7  # an ignored pixel's own value; PFAN's edges around it are left out, too
    aux = {"coarse": logits[:, :1].clone(), "edge_1": logits[:, :1].clone()}
    one = loss(logits, {"mask": mask, "aux": aux})
    two = loss(changed, {"mask": mask, "aux": aux})
    assert all(float(one[name]) == pytest.approx(float(two[name])) for name in one)
    for value in (-200.0, 0.0, 200.0):
        extreme = torch.full((2, 2, SIZE, SIZE), 0.0)
        extreme[:, 1] = value
        x = extreme.requires_grad_()
        terms = loss(x, {"mask": mask})
        sum(terms.values()).backward()
        assert all(term.isfinite() and term.dtype == torch.float32 for term in terms.values())
        assert x.grad.isfinite().all()
    nothing = loss(logits.float(), {"mask": torch.full_like(mask, 255)})
    assert all(float(term) == 0 for term in nothing.values())


@pytest.mark.parametrize("loss", [EdgePreservation(), Hybrid(), SaliencyAndEdges()], ids=["pfan", "basnet", "poolnet"])
def test_a_perfect_map_costs_least_and_mistakes_are_told(loss) -> None:
    _, mask = example(void=False)
    right = torch.stack([torch.zeros(mask.shape), 20 * (2 * (mask == 1).float() - 1)], 1)
    assert float(sum(loss(right, {"mask": mask}).values())) < float(sum(loss(0 * right, {"mask": mask}).values()))
    with pytest.raises(ValueError, match="two channels"):
        loss(torch.zeros(2, 3, SIZE, SIZE), {"mask": mask})
    with pytest.raises(ValueError, match="mask label 7"):
        loss(right, {"mask": mask.clone().fill_(7)})


@pytest.mark.parametrize("weight", [-1, math.inf, True, "one"])
def test_weights_are_checked(weight) -> None:
    with pytest.raises(ValueError, match=r"loss\.weight="):
        Hybrid(weight=weight)
    with pytest.raises(ValueError, match=r"loss\.weight="):
        SaliencyAndEdges(weight=weight)
