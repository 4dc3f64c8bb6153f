"""CAS against a literal reading of its equations, its invariances, bounds and edge cases."""

import pytest
import torch

from seglab.losses import regions
from seglab.losses.cas import CAS, cas_loss

PATHS = ("kernel", "torch", "masks")


def naive(logits, labels, *, alpha=0.1, pairs="once", normalise=False, regions="all", binary=False):
    """Eq. 1 as it is printed: a loop over images, regions and pairs of regions."""
    total = 0.0
    for image, mask in zip(logits, labels, strict=True):
        s = image.softmax(0)
        present = [int(r) for r in mask.unique() if r != 255]
        means = {r: s[:, mask == r].mean(1) for r in present}
        for i in present:
            if regions == "all" or i == 1:
                total = total + alpha * ((s[:, mask == i] - means[i][:, None]) ** 2).sum() / (mask == i).sum()
            for j in present:
                if i != j:
                    weight = (1 - alpha) * (1 if pairs == "ordered" else 0.5)
                    if normalise:
                        weight = weight / (len(present) - 1)
                    total = total - weight * ((means[i] - means[j]) ** 2).sum()
    return total / len(logits)


def value_and_gradient(function, logits, labels, **options):
    leaf = logits.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    value = function(leaf, labels, **options)
    value.backward()
    return value.detach(), leaf.grad


def scene(B, M, N, H, W, *, seed=0, sparse=False, dtype=torch.float32):
    """Random logits, random labels of which about a tenth are ignored; sparse labels are spread over 0..254."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(B, M, H, W, generator=generator, dtype=torch.float64).mul(2).to(dtype)
    labels = torch.randint(0, N, (B, H, W), generator=generator)
    if sparse:
        labels = torch.randperm(255, generator=generator)[:N][labels]
    labels[torch.rand(B, H, W, generator=generator) < 0.1] = 255
    return logits, labels


@pytest.fixture
def path(request, monkeypatch):
    """Which implementation runs; returns the options that select it."""
    if request.param != "kernel":
        monkeypatch.setattr(regions, "_kernel_applies", lambda logits: False)
    return {"binary": True} if request.param == "masks" else {}


OPTIONS = [
    {},
    {"pairs": "ordered"},
    {"normalise": True},
    {"alpha": 0.0},
    {"alpha": 1.0},
    {"alpha": 0.5, "pairs": "ordered", "normalise": True},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("path", ["kernel", "torch"], indirect=True)
@pytest.mark.parametrize(("M", "N", "sparse"), [(2, 2, False), (5, 3, True), (64, 30, True), (3, 30, False)])
def test_equals_the_printed_double_loop(path, options, M, N, sparse):
    logits, labels = scene(3, M, N, 19, 23, sparse=sparse)
    labels[0] = labels[0].flatten().sort().values.view(19, 23)  # long runs in one image, short ones in the others
    labels[1][labels[1] == labels[1].flatten()[0]] = 255  # another number of regions
    expected, slope = value_and_gradient(naive, logits.double(), labels, **options)
    got, grad = value_and_gradient(cas_loss, logits, labels, **options, **path)
    assert got.item() == pytest.approx(expected.item(), rel=2e-5, abs=2e-6)
    assert (grad - slope).abs().max() <= 2e-6 * max(1, slope.abs().max())
    assert grad.dtype == torch.float32


@pytest.mark.parametrize("path", PATHS, indirect=True)
@pytest.mark.parametrize("options", [{}, {"regions": "foreground", "alpha": 0.5}])
def test_two_regions_equal_the_double_loop(path, options):
    logits, labels = scene(4, 2, 2, 31, 17)
    expected, slope = value_and_gradient(naive, logits.double(), labels, **options)
    got, grad = value_and_gradient(cas_loss, logits, labels, **options | path)
    assert got.item() == pytest.approx(expected.item(), abs=1e-6)
    assert (grad - slope).abs().max() < 1e-7


@pytest.mark.parametrize("options", [*OPTIONS, {"regions": "foreground"}, {"binary": True}])
def test_gradient_in_float64(options):
    N = 2 if "regions" in options or "binary" in options else 4
    logits, labels = scene(2, 3, N, 4, 5, dtype=torch.float64)
    assert (labels == 255).any()
    module = CAS(**options)
    leaf = logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: tuple(module(x, {"mask": labels}).values()), leaf)


@pytest.mark.parametrize("path", PATHS, indirect=True)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_exchanged_masks_give_the_same_bits(path, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        shapes = [(1, 2, 1, 3), (2, 2, 7, 5), (5, 3, 33, 21), (16, 2, 129, 131), (3, 7, 64, 64)]
        for seed, (B, M, H, W) in enumerate(shapes):
            logits, labels = scene(B, M, 2, H, W, seed=seed)
            labels[0, : H // 2] = 1  # long runs too
            exchanged = torch.where(labels == 255, labels, 1 - labels)
            exchanged[1::2] = labels[1::2]  # half of the images, as label noise does
            value, grad = value_and_gradient(cas_loss, logits, labels, **path)
            other, slope = value_and_gradient(cas_loss, logits, exchanged, **path)
            assert torch.equal(value, other)
            assert torch.equal(grad, slope)
    finally:
        torch.set_num_threads(before)


def test_threads_do_not_change_a_bit():
    logits, labels = scene(3, 4, 6, 150, 140)
    before = torch.get_num_threads()
    answers = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        answers.append(value_and_gradient(cas_loss, logits, labels))
    torch.set_num_threads(before)
    for value, grad in answers[1:]:
        assert torch.equal(value, answers[0][0])
        assert torch.equal(grad, answers[0][1])


@pytest.mark.parametrize("path", ["kernel", "torch"], indirect=True)
def test_names_of_labels_and_order_of_channels_do_not_matter(path):
    logits, labels = scene(2, 6, 9, 20, 20)
    value, grad = value_and_gradient(cas_loss, logits, labels, **path)
    names = torch.cat([torch.randperm(255)[:9], torch.full((247,), 255)])
    renamed, slope = value_and_gradient(cas_loss, logits, names[labels], **path)
    assert renamed.item() == pytest.approx(value.item(), abs=1e-6)
    assert torch.allclose(grad, slope, atol=1e-8)
    order = torch.randperm(6)
    permuted, slope = value_and_gradient(cas_loss, logits[:, order], labels, **path)
    assert permuted.item() == pytest.approx(value.item(), abs=1e-6)
    assert torch.allclose(grad[:, order], slope, atol=1e-8)


@pytest.mark.parametrize("pairs", ["once", "ordered"])
def test_bounds_for_two_regions_and_two_channels(pairs):
    kappa = 1 if pairs == "once" else 2
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    labels[:, 4:] = 1
    sign = 1.0 - 2 * labels
    perfect = torch.stack([40 * sign, -40 * sign], 1)
    assert cas_loss(perfect, labels, pairs=pairs).item() == pytest.approx(-2 * kappa * 0.9, abs=1e-6)
    assert cas_loss(-perfect, labels, pairs=pairs).item() == pytest.approx(-2 * kappa * 0.9, abs=1e-6)
    checker = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2.0 - 1
    worst = torch.stack([40 * checker, -40 * checker])[None]
    assert cas_loss(worst, labels, pairs=pairs).item() == pytest.approx(0.1, abs=1e-6)  # alpha * 2 regions * (1 - 1/2)
    for seed in range(5):
        logits, random = scene(1, 2, 2, 8, 8, seed=seed)
        assert -2 * kappa * 0.9 <= cas_loss(logits, random, pairs=pairs) <= 0.1


@pytest.mark.parametrize("N", [2, 3, 6])
def test_minimum_for_more_regions(N):
    labels = torch.arange(N).repeat(1, 4, 1)
    corners = 50 * torch.nn.functional.one_hot(labels, N).permute(0, 3, 1, 2).float()
    assert cas_loss(corners, labels).item() == pytest.approx(-0.9 * N * (N - 1), rel=1e-5)
    assert cas_loss(corners, labels, normalise=True).item() == pytest.approx(-0.9 * N, rel=1e-5)


@pytest.mark.parametrize("path", PATHS, indirect=True)
@pytest.mark.parametrize("fill", [0, 1, 255])
def test_masks_of_one_region_or_none(path, fill):
    logits, _ = scene(2, 3, 2, 6, 7)
    labels = torch.full((2, 6, 7), fill)
    expected = 0.0 if fill == 255 else naive(logits, labels).item()
    value, grad = value_and_gradient(cas_loss, logits, labels, **path)
    assert value.item() == pytest.approx(expected, abs=1e-6)
    assert grad.isfinite().all()
    assert (grad == 0).all() == (fill == 255)
    leaf = logits.clone().requires_grad_()
    terms = CAS(**path)(leaf, {"mask": labels})
    assert terms["discriminator"] == 0
    assert all(term.requires_grad for term in terms.values())


@pytest.mark.parametrize("path", ["kernel", "torch"], indirect=True)
def test_backward_twice_and_each_term_alone(path):
    logits, labels = scene(2, 4, 5, 9, 9)
    leaf = logits.clone().requires_grad_()
    value = cas_loss(leaf, labels)
    (first,) = torch.autograd.grad(value, leaf, retain_graph=True)
    (again,) = torch.autograd.grad(value, leaf, retain_graph=True)
    assert torch.equal(first, again)
    (scaled,) = torch.autograd.grad(3 * value, leaf)
    assert torch.allclose(scaled, 3 * first, rtol=1e-5, atol=1e-8)
    terms = CAS()(leaf, {"mask": labels})
    parts = [torch.autograd.grad(term, leaf, retain_graph=True)[0] for term in terms.values()]
    assert torch.allclose(sum(parts), first, atol=1e-8)
    assert terms["uniformer"] >= 0 >= terms["discriminator"]


@pytest.mark.parametrize("path", ["kernel", "torch"], indirect=True)
def test_memory_layouts_and_label_types(path):
    logits, labels = scene(2, 5, 4, 12, 10)
    value, grad = value_and_gradient(cas_loss, logits, labels)
    wide = torch.randn(2, 5, 12, 20)
    wide[..., ::2] = logits
    for layout in (logits.to(memory_format=torch.channels_last), wide[..., ::2], logits.mT.contiguous().mT):
        other, slope = value_and_gradient(cas_loss, layout, labels)
        assert other.item() == pytest.approx(value.item(), abs=1e-6)
        assert torch.allclose(grad, slope, atol=1e-8)
    for kind in (torch.uint8, torch.int32, torch.int16):
        other, slope = value_and_gradient(cas_loss, logits, labels.to(kind))
        assert torch.equal(other, value)
        assert torch.equal(slope, grad)
    assert torch.equal(cas_loss(logits, labels.mT.contiguous().mT), value)
    one = value_and_gradient(cas_loss, logits[:1].expand(2, -1, -1, -1), labels)[0]
    assert one.item() == pytest.approx(cas_loss(logits[:1].repeat(2, 1, 1, 1), labels).item(), abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_in_finite_float32_out(dtype):
    logits = torch.tensor([60000.0, -60000.0, 3.0, 3.0]).to(dtype).view(1, 2, 1, 2).repeat(1, 1, 8, 8)
    labels = torch.arange(8)[None, :, None].repeat(1, 1, 16) % 2
    value, grad = value_and_gradient(cas_loss, logits, labels)
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert grad.dtype == dtype
    assert grad.isfinite().all()


@pytest.mark.parametrize("path", ["kernel", "torch"], indirect=True)
def test_not_a_number_is_not_hidden(path):
    logits, labels = scene(1, 3, 2, 5, 5)
    labels[0, 2, 2] = 1
    logits[0, 1, 2, 2] = float("nan")
    assert cas_loss(logits, labels).isnan()


def test_large_logits_equal_float64():
    logits, labels = scene(1, 4, 3, 16, 16)
    expected, slope = value_and_gradient(naive, 100 * logits.double(), labels)
    value, grad = value_and_gradient(cas_loss, 100 * logits, labels)
    assert value.item() == pytest.approx(expected.item(), abs=1e-5)
    assert torch.allclose(grad.double(), slope, atol=1e-6)


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_alpha_out_of_range(alpha):
    with pytest.raises(ValueError, match=rf"loss\.alpha={alpha}.*\[0, 1\]"):
        CAS(alpha=alpha)


@pytest.mark.parametrize("path", PATHS, indirect=True)
@pytest.mark.parametrize("bad", [-1, 256, 10**6])
def test_labels_outside_the_range(path, bad):
    logits, labels = scene(1, 2, 2, 4, 4)
    labels[0, 1, 1] = bad
    with pytest.raises(ValueError, match="mask label"):
        cas_loss(logits, labels, **path)


@pytest.mark.parametrize("path", ["kernel", "torch"], indirect=True)
def test_foreground_takes_binary_masks_only(path):
    logits, labels = scene(1, 2, 2, 4, 4)
    labels[0, 0, 0] = 2
    with pytest.raises(ValueError, match=r"loss\.regions=foreground: mask label 2, expected 0\.\.1 or 255"):
        cas_loss(logits, labels, regions="foreground")


def test_large_inputs_go_through_the_chunked_fallback(monkeypatch):
    logits, labels = scene(2, 3, 5, 40, 37)
    value, grad = value_and_gradient(cas_loss, logits, labels)
    monkeypatch.setattr(regions, "_kernel_applies", lambda logits: False)
    monkeypatch.setattr(regions, "_CHUNKED_FROM", 1)
    other, slope = value_and_gradient(cas_loss, logits, labels)
    assert other.item() == pytest.approx(value.item(), abs=1e-6)
    assert torch.allclose(grad, slope, atol=1e-8)
