"""What only a CUDA device can show; skipped without one."""

from __future__ import annotations

import json

import pytest
import torch

from seglab.config import compose
from seglab.losses.cas import cas_loss
from seglab.losses.magnet import Magnet
from seglab.losses.triplet import Triplet
from seglab.metrics.regions import region_scores
from seglab.targets import instantiate
from seglab.train import train

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("labels", [2, 20])
def test_cas_on_the_device_equals_the_cpu(labels: int) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 8, 33, 47, requires_grad=True)
    mask = torch.randint(0, labels, (2, 33, 47))
    copy = logits.detach().cuda().requires_grad_()
    one, other = cas_loss(logits, mask), cas_loss(copy, mask.cuda())
    one.backward()
    other.backward()
    assert other.item() == pytest.approx(one.item(), rel=1e-4, abs=1e-6)
    torch.testing.assert_close(copy.grad.cpu(), logits.grad, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("loss", [Magnet(alpha=3.0), Triplet()], ids=lambda loss: type(loss).__name__)
def test_losses_that_draw_pixels_equal_the_cpu(loss: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    rand = torch.rand  # the generators of the two devices differ: both get the numbers of the CPU

    def same(*size, device=None, **kwargs):
        return rand(*size, generator=torch.Generator().manual_seed(0)).to(device or "cpu")

    monkeypatch.setattr(torch, "rand", same)
    torch.manual_seed(0)
    embedding = torch.randn(2, 8, 33, 47, requires_grad=True)
    mask = torch.randint(0, 6, (2, 33, 47))
    copy = embedding.detach().cuda().requires_grad_()
    one, other = (sum(loss(e, {"mask": m}).values()) for e, m in ((embedding, mask), (copy, mask.cuda())))
    one.backward()
    other.backward()
    assert other.item() == pytest.approx(one.item(), rel=1e-4)
    torch.testing.assert_close(copy.grad.cpu(), embedding.grad, rtol=1e-3, atol=1e-6)


def test_regions_on_the_device_are_those_of_the_cpu() -> None:
    torch.manual_seed(0)
    truth = torch.arange(40)[:, None] // 14 + 3 * (torch.arange(50)[None] // 26)
    logits = 8 * torch.nn.functional.one_hot(truth, 6).permute(2, 0, 1)[None].float() + torch.rand(1, 6, 40, 50)
    image = (40 * truth[None, None].expand(1, 3, -1, -1)).byte()
    post = instantiate(compose("train", ["data=bsds500"]).eval.post)
    one, other = post(logits, image), post(logits.cuda(), image.cuda())
    scores = region_scores(one.labels_BTHW[0].numpy(), other.labels_BTHW[0].cpu().numpy().astype("int32"))
    assert scores.pri_T.min() > 0.999
    both = other.labels_BTHW[0], other.labels_BTHW[0].cpu()
    counted, plain = (region_scores(labels, truth[None].int().to(labels.device)) for labels in both)
    assert counted.voi_T == pytest.approx(plain.voi_T)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_training_on_the_device(tiny, precision: str) -> None:
    settings = [a for a in tiny if "device" not in a]
    folder = train(compose("train", [*settings, "runtime.device=cuda", f"runtime.precision={precision}"]))
    metrics = json.loads((folder / "eval" / "shapes-cas.json").read_text())["metrics"]
    assert 0 <= metrics["mae"] <= 1


def test_out_of_memory_names_batch_and_size(tiny) -> None:
    """The device lends this process next to nothing."""
    settings = [*[a for a in tiny if "device" not in a], "runtime.device=cuda", "data.size=256", "batch_size=16"]
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-4)
    try:
        with pytest.raises(ValueError, match=r"out of memory with batch_size=16, .*data\.size=256: try accumulate=2"):
            train(compose("train", settings))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
