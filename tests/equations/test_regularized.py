"""The whole regularized loss: which images have which terms, what a schedule may set, two processes like one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.utils._python_dispatch import TorchDispatchMode

from seglab.losses.regularized import WEIGHTS, Regularized, object_probability

EVERYTHING = {"sparse_crf": 100, "dense_crf": 0.1, "volume": 1, "small": 5, "position": 1, "negative": 2}
TERMS = {
    *("sparse_crf", "dense_crf", "volume", "volume_small"),
    *("position_border", "position_centre", "negative"),
}
VARIANTS = {
    "paper": {},
    "released": {
        "border_sides": "apart",
        "border_images": "all",
        "centre": 4,
        "position_per": "batch",
        "negative_per": "batch",
    },
    "sum": {"small_reduction": "sum", "small_below": 0.6, "neighbours": 8, "bilinear": 0.3},
}


def pictures(B=6, size=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(90, 120, (B, 3, size, size), generator=generator, dtype=torch.uint8)
    return torch.randn(B, 2, size, size, generator=generator) - 0.5, image


def gradient_of(loss, logits, batch):
    leaf = logits.detach().clone().requires_grad_()
    terms = loss(leaf, batch)
    sum(terms.values()).backward()
    return {name: term.item() for name, term in terms.items()}, leaf.grad


def test_object_probability_is_the_softmax_of_channel_one():
    logits, _ = pictures()
    torch.testing.assert_close(object_probability(logits), logits.softmax(1)[:, 1])
    assert object_probability(logits.half()).dtype == torch.float32


def test_terms_have_their_weights():
    logits, image = pictures()
    batch = {"image": image, "label": torch.tensor([1, 1, 0, 1, 0, 0])}
    once, _ = gradient_of(Regularized(weights=dict.fromkeys(EVERYTHING, 1.0)), logits, batch)
    assert set(once) == TERMS
    terms, _ = gradient_of(Regularized(weights=EVERYTHING), logits, batch)
    factors = EVERYTHING | {"volume_small": 5, "position_border": 1, "position_centre": 1}
    assert terms == pytest.approx({name: factors[name] * value for name, value in once.items()}, rel=1e-5)
    assert set(gradient_of(Regularized(), logits, batch)[0]) == TERMS - {"dense_crf", "negative"}
    only = Regularized(weights={"small": 1})
    assert set(gradient_of(only, logits, batch)[0]) == {"volume_small"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_negatives_have_the_negative_term_alone(variant):
    logits, image = pictures()
    label = torch.tensor([1, 0, 1, 0, 0, 1])
    terms, gradient = gradient_of(
        Regularized(weights=EVERYTHING, **VARIANTS[variant]), logits, {"image": image, "label": label}
    )
    rest = {**EVERYTHING, "negative": 0}
    positives, of_positives = gradient_of(
        Regularized(weights=rest, **VARIANTS[variant]), logits[label == 1], {"image": image[label == 1]}
    )
    if variant != "released":  # there the border term is of all images
        torch.testing.assert_close(gradient[label == 1], of_positives, rtol=1e-4, atol=1e-8)
        assert terms["position_border"] == pytest.approx(positives["position_border"], rel=1e-5)
    others = [name for name in positives if name != "position_border"]
    assert [terms[name] for name in others] == pytest.approx([positives[name] for name in others], rel=1e-5)
    share = object_probability(logits)[label == 0].mean((1, 2))
    wanted = share.mean() ** 2 if variant == "released" else (share**2).mean()
    assert terms["negative"] == pytest.approx(2 * wanted.item(), rel=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("label", [0, 1])
def test_batches_of_one_kind(variant, label):
    logits, image = pictures()
    loss = Regularized(weights=EVERYTHING, **({"small_below": 0.9} | VARIANTS[variant]))
    terms, gradient = gradient_of(loss, logits, {"image": image, "label": torch.full((6,), label)})
    assert set(terms) == TERMS
    assert gradient.isfinite().all()
    zero = {"negative"} if label == 1 else TERMS - {"negative"}
    zero -= {"position_border"} if variant == "released" else set()
    assert all((value == 0) == (name in zero) for name, value in terms.items())
    empty, _ = gradient_of(loss, logits[:0], {"image": image[:0], "label": torch.zeros(0)})
    assert all(value == 0 for value in empty.values())


def test_without_labels_every_image_is_positive():
    logits, image = pictures()
    batch = {"image": image, "label": torch.ones(6)}
    assert gradient_of(Regularized(), logits, batch)[0] == gradient_of(Regularized(), logits, {"image": image})[0]


def test_masks_are_not_read():
    class Unread(dict):
        def __getitem__(self, key):
            assert key != "mask"
            return super().__getitem__(key)

    logits, image = pictures()
    Regularized()(logits, Unread(image=image, mask=None))
    assert not Regularized.reads_masks


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_certain_networks(dtype):
    logits, image = pictures()
    leaf = (60 * logits).to(dtype).requires_grad_()
    terms = Regularized(weights=EVERYTHING)(leaf, {"image": image})
    assert all(term.dtype == torch.float32 and term.shape == () and term.isfinite() for term in terms.values())
    sum(terms.values()).backward()
    assert leaf.grad.dtype == dtype
    assert leaf.grad.isfinite().all()


def test_layout_of_the_logits_does_not_matter():
    logits, image = pictures()
    _, gradient = gradient_of(Regularized(weights=EVERYTHING), logits, {"image": image})
    last = {"image": image.contiguous(memory_format=torch.channels_last)}
    _, other = gradient_of(Regularized(weights=EVERYTHING), logits.contiguous(memory_format=torch.channels_last), last)
    torch.testing.assert_close(gradient, other)


def test_a_schedule_sets_sigma_and_weights():
    logits, image = pictures()
    loss = Regularized()
    loss.set(sigma=0.05, sparse_crf=1, negative=2)
    wanted = Regularized(sigma=0.05, weights=WEIGHTS | {"sparse_crf": 1, "negative": 2})
    batch = {"image": image, "label": torch.tensor([1, 1, 0, 1, 0, 0])}
    assert gradient_of(loss, logits, batch)[0] == gradient_of(wanted, logits, batch)[0]
    assert loss.wants_negatives
    loss.set(sigma=0.05, sparse_crf=1)  # what is not named is as configured, so an epoch never depends on the last
    assert not loss.wants_negatives
    with pytest.raises(ValueError, match=r"loss\.sigma=0: expected a number above 0"):
        loss.set(sparse_crf=7, sigma=0)
    assert (loss.sigma, loss.weights["sparse_crf"]) == (0.05, 1)  # all or nothing
    loss.set()
    assert (loss.sigma, loss.weights) == (0.15, WEIGHTS)
    for settings, message in (
        ({"centre": 4}, r"loss\.centre=4: no setting of a schedule, expected one of sigma, sparse_crf, dense_crf"),
        ({"volume": -1}, r"loss\.weights\.volume=-1: expected a number, 0 or more"),
        (dict.fromkeys(WEIGHTS, 0), r"loss\.weights=.*: expected at least one above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            loss.set(**settings)
    assert set(Regularized.schedulable) == {"sigma", *WEIGHTS}


def test_the_bilinear_share_reaches_the_sparse_crf():
    image = torch.full((2, 3, 8, 8), 7, dtype=torch.uint8)
    grey = torch.zeros(2, 2, 8, 8)  # x = 1/2 everywhere
    for share in (0.0, 0.5, 1):
        loss = Regularized(bilinear=share, weights={"sparse_crf": 100})
        assert loss(grey, {"image": image})["sparse_crf"].item() == pytest.approx(100 * share / 2)


def test_sums_over_the_batch_are_told():
    assert not Regularized().sums_over_batch
    summed = Regularized(small_reduction="sum")
    assert summed.sums_over_batch
    summed.set(small=0)
    assert not summed.sums_over_batch


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bilinear": 2}, r"loss\.bilinear=2: expected a number from 0 to 1"),
        ({"sigma": "0.1"}, r"loss\.sigma=0\.1: expected a number above 0"),
        ({"weights": {"volum": 1}}, r"unknown key 'loss\.weights\.volum', did you mean 'loss\.weights\.volume'"),
        ({"weights": {"volume": math.inf}}, r"loss\.weights\.volume=inf"),
        ({"weights": {"volume": None, "sparse_crf": 1}}, r"loss\.weights\.volume=None"),
        ({"weights": {}}, r"loss\.weights=\{\}: expected at least one above 0"),
        ({"weights": 3}, r"loss\.weights=3: expected one number for each of sparse_crf"),
        ({"border_images": "negative"}, r"loss\.border_images=negative: expected one of positive, all"),
        ({"centre": 0}, r"loss\.centre=0: expected a whole number"),
        ({"dense_factor": 0}, r"loss\.dense_factor=0"),
        ({"neighbours": True}, r"loss\.neighbours=True"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Regularized(**options)


def test_wrong_inputs_are_named():
    logits, image = pictures()
    for wrong, picture, message in (
        (
            torch.zeros(6, 3, 10, 10),
            image,
            r"model\.channels: .*\(6, 3, 10, 10\), expected floating point \[B, 2, H, W\]",
        ),
        (logits, image.float(), r"image: torch\.float32, expected uint8 for loss=regularized"),
        (logits[..., :-1], image, r"image: \(6, 3, 10, 10\), expected \[6, 3, 10, 9\]"),
        (logits[..., :6, :6], image[..., :6, :6], r"loss\.border_width=3: images of 6 x 6 pixels"),
    ):
        with pytest.raises(ValueError, match=message):
            Regularized()(wrong, {"image": picture})


class _NoHostWaits(TorchDispatchMode):
    """Fails on operations whose result depends on data: those would make an accelerator wait."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default), func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_host_waits(variant):
    """All but the dense CRF, which is far slower than a wait. Float64 goes the way of an accelerator."""
    logits, image = pictures()
    leaf = logits.double().requires_grad_()
    with _NoHostWaits():
        loss = Regularized(weights=EVERYTHING | {"dense_crf": 0}, **VARIANTS[variant])
        sum(loss(leaf, {"image": image, "label": torch.tensor([1, 0, 1, 0, 0, 1])}).values()).backward()


LABELS = {
    "mixed": [1, 1, 0, 1, 0, 0],
    "uneven": [1, 0, 1, 1, 1, 1],
    "one kind": [0, 0, 1, 1, 1, 0],
    "no positives": [0] * 6,
}
CUTS = {"mixed": 3, "uneven": 3, "one kind": 2, "no positives": 4}


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Conv2d(3, 2, 3, padding=1)


def step(model: torch.nn.Module, loss: Regularized, image: torch.Tensor, label: torch.Tensor) -> dict[str, object]:
    terms = loss(model(image.float() / 255), {"image": image, "label": label})
    sum(terms.values()).backward()
    result = {name: term.item() for name, term in terms.items()}
    result["gradient"] = torch.cat([p.grad.flatten() for p in model.parameters()]).clone()
    return result


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    results = {}
    _, image = pictures()
    for kind, labels in LABELS.items():
        part = slice(0, CUTS[kind]) if rank == 0 else slice(CUTS[kind], None)
        for name, options in VARIANTS.items():
            model = torch.nn.parallel.DistributedDataParallel(network())
            loss = Regularized(weights=EVERYTHING, **options)
            results[f"{kind}/{name}"] = step(model, loss, image[part], torch.tensor(labels)[part])
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    """Values are those of the whole batch in both; gradients are after DistributedDataParallel's mean."""
    mp.spawn(worker, args=(str(tmp_path),), nprocs=2)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    _, image = pictures()
    for kind, labels in LABELS.items():
        for name, options in VARIANTS.items():
            wanted = step(network(), Regularized(weights=EVERYTHING, **options), image, torch.tensor(labels))
            gradient = wanted.pop("gradient")
            for results in found:
                result = results[f"{kind}/{name}"]
                torch.testing.assert_close(
                    result.pop("gradient"), gradient, rtol=1e-4, atol=1e-6 * gradient.abs().max()
                )
                assert result == pytest.approx(wanted, rel=1e-5, abs=1e-9), f"{kind}, {name}"
