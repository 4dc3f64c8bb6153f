"""Channel choice and prototypes: right on made-up outputs, storable, mergeable, loud without validation images."""

from __future__ import annotations

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
from torch import Tensor

from seglab.post.channel import Channel
from seglab.post.prototype import Prototype

Post = Channel | Prototype


def made_up(*, channels: int, object_channel: int, images: int = 6) -> tuple[Tensor, Tensor]:
    """Logits whose ``object_channel`` tends to be larger on the object."""
    generator = torch.Generator().manual_seed(2)
    masks = (torch.rand(images, 8, 8, generator=generator) < 0.3).long()
    logits = torch.randn(images, channels, 8, 8, generator=generator)
    logits[:, object_channel] += 4 * masks
    return logits, masks


@pytest.mark.parametrize(("channels", "which"), [(2, 0), (2, 1), (5, 3)])
def test_auto_finds_the_object_channel(channels: int, which: int) -> None:
    logits, masks = made_up(channels=channels, object_channel=which)
    post = Channel()
    assert post.needs_fit
    post.update(logits[:4], masks[:4])
    post.update(logits[4:], masks[4:])
    post.finish()
    assert not post.needs_fit
    assert post.state()["channel"] == which
    assert post.state()["images"] == 6
    torch.testing.assert_close(post(logits), logits.softmax(1)[:, which])
    assert post(logits.bfloat16()).dtype == torch.float32


def test_fixed_channel_reports_but_does_not_choose() -> None:
    logits, masks = made_up(channels=2, object_channel=1)
    post = Channel(channel=0)
    assert not post.needs_fit
    post.finish()
    post.update(logits, masks)
    post.finish()
    assert post.state()["channel"] == 0
    assert post.state()["correlations"][1] > 0 > post.state()["correlations"][0]


def test_auto_without_validation_images() -> None:
    with pytest.raises(ValueError, match=r"(?=.*eval\.post\.channel)(?=.*\bval\b)"):
        Channel().finish()
    with pytest.raises(ValueError, match="before maps"):
        Channel()(torch.zeros(1, 2, 2, 2))
    with pytest.raises(ValueError, match=r"\bval\b"):
        Prototype().finish()
    with pytest.raises(ValueError, match="before maps"):
        Prototype()(torch.zeros(1, 2, 2, 2))


@pytest.mark.parametrize("bad", ["first", -1, 1.0, True, None])
def test_bad_channel(bad: object) -> None:
    with pytest.raises(ValueError, match=r"eval\.post\.channel="):
        Channel(channel=bad)


def test_constant_output_is_said(caplog: pytest.LogCaptureFixture) -> None:
    post = Channel()
    post.update(torch.zeros(1, 2, 4, 4), torch.eye(4).long()[None])
    with caplog.at_level(logging.WARNING):
        post.finish()
    assert post.state()["channel"] == 0
    assert "no channel varies" in caplog.text


def test_prototype_by_hand() -> None:
    embedding = torch.tensor([[[[0.0, 2.0, 4.0, 9.0]], [[0.0, 0.0, 0.0, 9.0]]]])
    post = Prototype()
    post.update(embedding, torch.tensor([[[0, 0, 1, 255]]]))
    post.finish()
    assert post.state() == {"prototypes": [[1.0, 0.0], [4.0, 0.0]], "images": 1}
    # At 2: squared distances 1 and 4, softmax of (-1, -4).
    assert post(embedding)[0, 0, 1] == pytest.approx(1 / (1 + torch.e**3), rel=1e-5)
    assert post(embedding)[0, 0, 2] == pytest.approx(1 / (1 + torch.e**-9), rel=1e-5)


def test_prototype_unit_norm_ignores_length() -> None:
    logits, masks = made_up(channels=3, object_channel=2)
    maps = []
    for factor in (1.0, 10.0):
        post = Prototype(unit_norm=True)
        post.update(factor * logits, masks)
        post.finish()
        maps.append(post(factor * logits))
    torch.testing.assert_close(*maps)


def test_prototype_needs_both_regions() -> None:
    post = Prototype()
    post.update(torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2).long())
    with pytest.raises(ValueError, match="without object"):
        post.finish()


@pytest.mark.parametrize("kind", [Channel, Prototype])
def test_state_survives_json(kind: type[Post]) -> None:
    logits, masks = made_up(channels=3, object_channel=1)
    post, other = kind(), kind()
    post.update(logits, masks)
    post.finish()
    other.load(json.loads(json.dumps(post.state())))
    assert other.state() == post.state()
    torch.testing.assert_close(other(logits), post(logits))
    with pytest.raises(ValueError, match="state"):
        kind().load({})


class Meeting:
    """Sum over two threads, each standing for a process."""

    def __init__(self) -> None:
        self.barrier = threading.Barrier(2, timeout=30)
        self.sent: dict[int, Tensor] = {}

    def all_reduce(self, rank: int, tensor: Tensor) -> None:
        self.sent[rank] = tensor.clone()
        self.barrier.wait()
        total = self.sent[0] + self.sent[1]
        self.barrier.wait()
        tensor.copy_(total)


def sync_both(parts: list[Post]) -> None:
    meeting = Meeting()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda rank: parts[rank].sync(partial(meeting.all_reduce, rank)), (0, 1)))


@pytest.mark.parametrize("kind", [Channel, Prototype])
@pytest.mark.parametrize("split", [2, 0])
def test_merging_equals_seeing_all(kind: type[Post], split: int) -> None:
    """Two processes, one of them possibly without a batch, add up to one."""
    logits, masks = made_up(channels=3, object_channel=1)
    alone, parts = kind(), [kind(), kind()]
    alone.update(logits, masks)
    alone.finish()
    if split:
        parts[0].update(logits[:split], masks[:split])
    parts[1].update(logits[split:], masks[split:])
    sync_both(parts)
    for part in parts:
        part.finish()
        assert part.state()["images"] == 6
        torch.testing.assert_close(part(logits), alone(logits))


def test_merging_nothing_or_different_models() -> None:
    idle = [Channel(), Channel()]
    sync_both(idle)
    with pytest.raises(ValueError, match=r"\bval\b"):
        idle[0].finish()
    parts = [Channel(), Channel()]
    for part, channels in zip(parts, (2, 3), strict=True):
        part.update(*made_up(channels=channels, object_channel=1))
    with pytest.raises(ValueError, match="different numbers of channels"):
        sync_both(parts)


def test_refusals() -> None:
    logits, masks = made_up(channels=2, object_channel=1)
    with pytest.raises(ValueError, match="2 channels or more"):
        Channel().update(logits[:, :1], masks)
    with pytest.raises(ValueError, match=r"\[B,H,W\]"):
        Channel().update(logits, masks[:, :4])
    with pytest.raises(ValueError, match=r"\[3\]"):
        Prototype().update(logits, 3 * masks)
    with pytest.raises(ValueError, match="below 2"):
        Channel(channel=2)(logits)
    with pytest.raises(ValueError, match=r"eval\.post\.unit_norm"):
        Prototype(unit_norm="yes")
