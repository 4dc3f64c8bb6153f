"""The networks of the regularized loss: numbers of channels, starts, freezing; weights of a run of another model."""

from __future__ import annotations

import logging
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from omegaconf import OmegaConf

from seglab import checkpoint
from seglab.models.init import load_run_weights
from seglab.models.transposed_decoder import TransposedUnet
from seglab.models.umobv2 import umobv2
from seglab.models.unet_small import unet_small
from seglab.models.uresnext import uresnext

BOTH = [umobv2, uresnext]
SKIPS = {umobv2: [48, 48, 96, 544, 800], uresnext: [64, 256, 512, 1024, 2048]}


def filled(module: torch.nn.Module, value: float = 0.5) -> dict[str, torch.Tensor]:
    return {
        key: torch.full_like(tensor, value) if tensor.is_floating_point() else tensor.clone()
        for key, tensor in module.state_dict().items()
    }


def is_filled(module: torch.nn.Module, value: float = 0.5) -> bool:
    return all(bool((t == value).all()) for t in module.state_dict().values() if t.is_floating_point())


def weights(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module", params=BOTH, ids=lambda build: build.__name__)
def built(request) -> tuple:
    return request.param, request.param()


def test_skips_are_those_of_the_released_program(built) -> None:
    build, network = built
    features = network.encoder(torch.zeros(2, 3, 64, 96))[-5:]
    assert [f.shape[1] for f in features] == network.encoder.out_channels[-5:] == SKIPS[build]
    assert [tuple(f.shape[2:]) for f in features] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]


def test_decoder_is_that_of_the_released_program(built) -> None:
    build, network = built
    body = network.body
    assert isinstance(body, TransposedUnet)
    filters = [512, 256, 128, 64, 64]
    layers = [level[0] for level in body.decoder]
    assert [layer.out_channels for layer in layers] == filters
    joined = [a + b for a, b in zip(filters, SKIPS[build][-2::-1], strict=False)]  # 1056, 352, 176, 112 of UMobV2
    assert [layer.in_channels for layer in layers] == [SKIPS[build][-1], *joined]
    assert all(layer.kernel_size == layer.stride == (2, 2) and layer.bias is None for layer in layers)
    assert (body.head.in_channels, body.head.kernel_size) == (64, (3, 3))
    assert weights(network) == {umobv2: 4_788_610, uresnext: 31_805_554}[build]
    assert weights(network.encoder) == {umobv2: 1_811_712, uresnext: 25_510_896}[build]


def test_every_skip_reaches_the_logits(built) -> None:
    """With the logits' gradient traced back to each level of the encoder."""
    _, network = built
    network.eval()
    kept = []
    hook = network.encoder.register_forward_hook(
        lambda _module, _inputs, levels: kept.extend(level.requires_grad_() for level in levels[-5:])
    )
    network(torch.randint(0, 256, (1, 3, 64, 64))).square().sum().backward()
    hook.remove()
    network.zero_grad()
    assert len(kept) == 5
    assert all(level.grad.abs().amax((0, 2, 3)).gt(0).float().mean() > 0.5 for level in kept)


def test_encoder_is_frozen_unless_asked(built) -> None:
    build, network = built
    assert not any(p.requires_grad for p in network.encoder.parameters())
    assert all(p.requires_grad for n, p in network.body.named_parameters() if not n.startswith("encoder."))
    kinds = [m for m in network.train().encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(kinds) > 50
    assert not any(m.training for m in kinds)
    assert all(level[1].training for level in network.body.decoder)
    released = build(freeze_batchnorm=False).train()
    assert all(m.training for m in released.encoder.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert not any(p.requires_grad for p in released.encoder.parameters())
    assert all(p.requires_grad for p in build(freeze_encoder=False).parameters())


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub folder, and no way to download into it."""

    def refuse(*args, **kwargs) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("build", "file"),
    [(umobv2, "mobilenet_v2-b0353104.pth"), (uresnext, "smp-se_resnext50_32x4d-imagenet.safetensors")],
)
def test_published_weights_offline_and_from_the_hub_folder(hub: Path, build, file: str) -> None:
    with pytest.raises(ValueError, match="cannot fetch https://") as caught:
        build(weights="imagenet")
    for part in (str(hub / file), "init.file", "init=scratch", "no route to host"):
        assert part in str(caught.value)
    if build is umobv2:
        from torchvision.models import mobilenet_v2

        torch.save(filled(mobilenet_v2(weights=None)), hub / file)  # the whole network, its classifier included
    else:
        from safetensors.torch import save_file

        unused = {"last_linear.weight": torch.zeros(1000, 2048), "last_linear.bias": torch.zeros(1000)}
        save_file(filled(build().encoder) | unused, hub / file)
    network = build(weights="imagenet")
    assert is_filled(network.encoder)
    assert not is_filled(network.body.decoder)
    with pytest.raises(ValueError, match=rf"init\.weights='coco': {build.__name__} offers init=imagenet;"):
        build(weights="coco")


def test_a_file_of_the_whole_network(tmp_path: Path) -> None:
    torch.save(filled(umobv2(5).body), tmp_path / "body.pth")
    network = umobv2(2, weights_file=tmp_path / "body.pth")
    assert is_filled(network.body.decoder)
    assert is_filled(network.encoder)
    assert not is_filled(network.body.head)


def test_a_frozen_random_encoder_warns(caplog) -> None:
    umobv2()
    assert "umobv2: the encoder is frozen at random weights" in caplog.text


def run_folder(place: Path, network: torch.nn.Module, **model) -> Path:
    """What a finished run keeps of its network."""
    place.mkdir()
    checkpoint.save_weights(place / "model.safetensors", network.state_dict())
    settings = {"channels": "${eval.channels}", "normalise": "imagenet", "weights": None, "freeze_encoder": True}
    OmegaConf.save({"eval": {"channels": 2}, "model": settings | model}, place / "config.yaml")
    return place


def start(model: torch.nn.Module, folder: Path, **settings) -> None:
    given = {"channels": 2, "normalise": "imagenet", "weights": "imagenet", "freeze_encoder": False} | settings
    load_run_weights(model, checkpoint.load_weights(folder / "model.safetensors"), run=folder, settings=given)


UMOBV2, SMALL = "seglab.models.umobv2.umobv2", "seglab.models.unet_small.unet_small"


def test_transfer_from_a_run(tmp_path: Path, caplog) -> None:
    folder = run_folder(tmp_path / "pet-umobv2", source := umobv2(), _target_=UMOBV2)
    network = umobv2(freeze_encoder=False)
    with caplog.at_level(logging.INFO, "seglab.models.init"):
        start(network, folder, _target_=UMOBV2)
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in source.state_dict().items())
    assert f"init.run=pet-umobv2: all {len(source.state_dict())} tensors fit" in caplog.text
    assert "that run" not in caplog.text, "how a network began, and what of it trains, is no difference"


def test_another_model_is_named_in_one_message(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "shapes-unet", unet_small(normalise="imagenet"), _target_=SMALL)
    network = umobv2()
    kept = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=r"^init\.run=shapes-unet: the run's weights do not fit this model") as caught:
        start(network, folder, _target_=UMOBV2)
    for part in (
        f"6 of its {len(kept)} tensors do;",  # the standardisation's two, a bias of 2, counters of batch-norms
        "missing (",
        "unexpected (",
        "wrong shape (",
        "body.decoder.0.0.weight (64, 192, 3, 3) instead of (800, 512, 2, 2)",
        "tensors do; that run has model=unet_small, this one model=umobv2; missing (",
        "expected a run of the same model settings",
    ):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, kept[key]) for key, value in network.state_dict().items()), "nothing in part"


def test_other_settings_of_one_model_are_named(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "five", unet_small(5), _target_=SMALL, channels=5, normalise="per_image")
    with pytest.raises(ValueError, match=r"that run has model\.channels=5 model\.normalise=per_image, this"):
        start(unet_small(normalise="imagenet"), folder, _target_=SMALL)


def test_weights_that_fit_by_chance_are_told(tmp_path: Path, caplog) -> None:
    folder = run_folder(tmp_path / "none", unet_small(normalise="none"), _target_=SMALL, normalise="none")
    start(unet_small(), folder, _target_=SMALL, normalise="per_image")
    assert "fit, but that run has model.normalise=none, this one model.normalise=per_image" in caplog.text


@pytest.mark.parametrize("content", [None, "model: [", "seed: 0\n", "model: {channels: '${gone}'}\n"])
def test_settings_that_cannot_be_read_do_not_hide_the_misfit(tmp_path: Path, caplog, content) -> None:
    folder = run_folder(tmp_path / "old", unet_small(5), _target_=SMALL, channels=5)
    (folder / "config.yaml").unlink()
    if content is not None:
        (folder / "config.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"instead of \(2, 16, 1, 1\)"):
        start(unet_small(), folder, _target_=SMALL)
    assert "the settings of its model are not known" in caplog.text
