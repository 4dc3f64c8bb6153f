"""What all losses share: named float32 terms, half precision and empty masks, clear errors, no host waits."""

import pytest
import torch
from omegaconf import OmegaConf
from torch.utils._python_dispatch import TorchDispatchMode

from seglab.losses import regions
from seglab.losses.cace import CACE
from seglab.losses.cas import CAS
from seglab.losses.ce import CE
from seglab.losses.discriminative import Discriminative
from seglab.losses.magnet import Magnet
from seglab.losses.triplet import Triplet

LOSSES = [
    CE(),
    CACE(),
    CAS(),
    CAS(regions="foreground"),
    CAS(binary=True),
    Discriminative(),
    Magnet(alpha=3.0),
    Triplet(),
]

ONE = {"mask": torch.zeros(1, 2, 2, dtype=torch.int64)}


@pytest.fixture(autouse=True)
def _same_pixels_at_every_call():
    """Losses that draw pixels draw the same ones at every call, as the trainer's seed makes them for a step."""
    rand = torch.rand

    def seeded(*args, generator=None, **kwargs):
        return rand(*args, generator=generator or torch.Generator().manual_seed(0), **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", seeded)
        yield


def names(loss):
    return type(loss).__name__


def batch_of(B=3, H=10, W=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.randint(0, 2, (B, H, W), generator=generator)
    mask[:, :2] = 255
    return torch.randn(B, 2, H, W, generator=generator), {"mask": mask}


@pytest.mark.parametrize("loss", LOSSES, ids=names)
def test_terms_are_float32_scalars_with_a_graph(loss):
    logits, batch = batch_of()
    leaf = logits.requires_grad_()
    terms = loss(leaf, batch)
    assert all(term.dtype == torch.float32 and term.shape == () for term in terms.values())
    sum(terms.values()).backward()
    assert leaf.grad.abs().sum() > 0
    assert (leaf.grad[:, :, :2] == 0).all()  # ignored rows
    assert not loss.batch_coupled


@pytest.mark.parametrize("loss", LOSSES, ids=names)
@pytest.mark.parametrize("fill", [0, 1, 255])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_uniform_masks_and_half_precision(loss, fill, dtype):
    logits, batch = batch_of()
    leaf = (40 * logits).to(dtype).requires_grad_()
    total = sum(loss(leaf, {"mask": torch.full_like(batch["mask"], fill)}).values())
    total.backward()
    assert total.dtype == torch.float32
    assert total.isfinite()
    assert leaf.grad.dtype == dtype
    assert leaf.grad.isfinite().all()
    assert total != 0 or fill == 255 or isinstance(loss, CAS | Magnet | Triplet)


@pytest.mark.parametrize("loss", LOSSES, ids=names)
def test_layout_of_the_logits_does_not_matter(loss):
    logits, batch = batch_of()
    grads = []
    for layout in (logits, logits.to(memory_format=torch.channels_last), logits.mT.contiguous().mT):
        leaf = layout.detach().requires_grad_()
        sum(loss(leaf, batch).values()).backward()
        grads.append(leaf.grad)
    assert torch.allclose(grads[0], grads[1], atol=1e-7)
    assert torch.allclose(grads[0], grads[2], atol=1e-7)


@pytest.mark.parametrize("loss", LOSSES, ids=names)
def test_mean_over_images(loss):
    logits, batch = batch_of()
    together = sum(loss(logits, batch).values())
    alone = [sum(loss(logits[b : b + 1], {"mask": batch["mask"][b : b + 1]}).values()) for b in range(3)]
    assert together.item() == pytest.approx(sum(alone).item() / 3, abs=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=names)
def test_wrong_shapes_are_named(loss):
    logits, batch = batch_of()
    with pytest.raises(ValueError, match=r"mask: torch.int64 \(3, 10, 11\), expected integers \[3, 10, 12\]"):
        loss(logits, {"mask": batch["mask"][..., :-1]})
    with pytest.raises(ValueError, match=r"mask: torch\.float32"):
        loss(logits, {"mask": batch["mask"].float()})


@pytest.mark.parametrize("loss", [CE(), CACE(), CAS(regions="foreground"), CAS(binary=True)], ids=names)
def test_labels_that_a_loss_cannot_read(loss):
    logits, batch = batch_of()
    batch["mask"][0, 5, 5] = 7
    with pytest.raises(ValueError, match=r"mask label 7, expected 0\.\.1 or 255"):
        loss(logits, batch)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CAS(pairs="twice"), r"loss\.pairs=twice: expected 'once' or 'ordered'"),
        (lambda: CAS(regions="background"), r"loss\.regions=background"),
        (lambda: CE(average="pixel"), r"loss\.average=pixel: expected 'image' or 'batch'"),
        (lambda: CE(label_smoothing=1.0), r"loss\.label_smoothing=1\.0"),
        (lambda: Discriminative(delta_v=-1), r"loss\.delta_v=-1"),
        (lambda: CE(weight=[1.0])(torch.zeros(1, 2, 2, 2), ONE), r"loss\.weight: 1 factors"),
        (lambda: CACE()(torch.zeros(1, 3, 2, 2), ONE), r"model\.channels: 3"),
    ],
)
def test_wrong_options_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


class _NoHostWaits(TorchDispatchMode):
    """Fails on operations whose result depends on data: those would make an accelerator wait."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default), func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("loss", LOSSES, ids=names)
def test_no_host_waits_off_the_cpu(loss, monkeypatch):
    """As on an accelerator: no compiled kernel, no look at the labels."""
    monkeypatch.setattr(regions, "_kernel_applies", lambda logits: False)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    logits, batch = batch_of()
    leaf = logits.requires_grad_()
    with _NoHostWaits():
        sum(loss(leaf, batch).values()).backward()
    expected = leaf.grad.clone()
    monkeypatch.undo()
    leaf.grad = None
    sum(loss(leaf, batch).values()).backward()
    assert torch.allclose(leaf.grad, expected, atol=1e-7)


@pytest.mark.parametrize("name", ["ce", "cace", "cas", "cas_released", "discriminative", "magnet", "triplet"])
def test_loss_files_build_and_explain_themselves(name, request):
    text = (request.config.rootpath / "conf" / "loss" / f"{name}.yaml").read_text()
    lines = text.splitlines()
    assert lines[0].startswith("# ")
    assert "# @package _global_" in lines[:2]
    assert all("#" in line for line in lines if line.strip() and not line.rstrip().endswith(":"))
    section = OmegaConf.to_container(OmegaConf.create(text))["loss"]
    module, _, kind = section.pop("_target_").rpartition(".")
    loss = getattr(__import__(module, fromlist=[kind]), kind)(**section)
    logits, batch = batch_of()
    assert sum(loss(logits, batch).values()).isfinite()
