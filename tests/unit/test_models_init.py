"""Starting weights: read from files made here, refused with a readable reason, never loaded in part."""

from __future__ import annotations

import logging
from collections import OrderedDict
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file

from seglab.models.fcn_resnet101 import fcn_resnet101
from seglab.models.init import differences, load_run_weights, read_state
from seglab.models.unet_mobilenetv2 import unet_mobilenetv2
from seglab.models.unet_resnext import unet_resnext
from seglab.models.unet_small import unet_small


def filled(module: torch.nn.Module, value: float = 0.5) -> OrderedDict[str, torch.Tensor]:
    """The module's state dict with every float tensor replaced by one value."""
    return OrderedDict(
        (key, torch.full_like(tensor, value) if tensor.is_floating_point() else tensor.clone())
        for key, tensor in module.state_dict().items()
    )


def is_filled(module: torch.nn.Module, value: float = 0.5) -> bool:
    return all(bool((t == value).all()) for t in module.state_dict().values() if t.is_floating_point())


@pytest.fixture(scope="module")
def fcn() -> torch.nn.Module:
    return fcn_resnet101(channels=21)


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
    ("build", "weights", "file"),
    [
        (fcn_resnet101, "imagenet", "resnet101-63fe2227.pth"),
        (fcn_resnet101, "coco", "fcn_resnet101_coco-7ecb50ca.pth"),
        (unet_mobilenetv2, "imagenet", "smp-mobilenet_v2-imagenet.safetensors"),
        (unet_resnext, "imagenet", "smp-se_resnext50_32x4d-imagenet.safetensors"),
    ],
)
def test_download_failure_says_what_to_do(hub: Path, build, weights: str, file: str) -> None:
    with pytest.raises(ValueError, match="cannot fetch https://") as caught:
        build(weights=weights)
    for part in (str(hub / file), "init.file", "init=scratch", "no route to host"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "error", [TimeoutError("late"), RuntimeError("invalid hash value"), ConnectionResetError("cut")]
)
def test_other_download_failures(hub: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*args, **kwargs) -> None:
        raise error

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(ValueError, match=str(error)):
        unet_mobilenetv2(weights="imagenet")


def test_download_is_checked_and_kept(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(url: str, path: str, digest: str | None, progress: bool) -> None:
        asked.append((url, digest))
        torch.save({"conv1.weight": torch.zeros(1)}, path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(ValueError, match="does not fit"):
        fcn_resnet101(weights="imagenet")
    assert asked == [("https://download.pytorch.org/models/resnet101-63fe2227.pth", "63fe2227")]


def test_backbone_from_the_hub_folder(hub: Path, fcn) -> None:
    state = filled(fcn.encoder)
    state["fc.weight"], state["fc.bias"] = torch.zeros(1000, 2048), torch.zeros(1000)
    state = {key: value for key, value in state.items() if "num_batches_tracked" not in key}  # as in old files
    torch.save(state, hub / "resnet101-63fe2227.pth")
    network = fcn_resnet101(weights="imagenet")
    assert is_filled(network.encoder)
    assert not is_filled(network.body.classifier)


@pytest.mark.parametrize("channels", [2, 21])
def test_whole_network_gets_a_fresh_last_layer(hub: Path, fcn, channels: int, caplog) -> None:
    state = filled(fcn.body)
    state["aux_classifier.0.weight"] = torch.zeros(3)
    torch.save(state, hub / "fcn_resnet101_coco-7ecb50ca.pth")
    with caplog.at_level(logging.INFO, "seglab.models.init"):
        network = fcn_resnet101(channels, weights="coco")
    assert is_filled(network.encoder)
    assert is_filled(network.body.classifier[0])
    assert is_filled(network.body.classifier[4]) == (channels == 21)
    assert network.body.classifier[4].weight.shape[0] == channels
    assert ("replaced by fresh" in caplog.text) == (channels == 2)


@pytest.mark.parametrize(
    ("build", "unused"), [(unet_mobilenetv2, "classifier.1.weight"), (unet_resnext, "last_linear.bias")]
)
def test_unet_encoder_from_a_file(tmp_path: Path, build, unused: str) -> None:
    state = filled(build().encoder)
    state[unused] = torch.zeros(3)
    save_file(state, tmp_path / "encoder.safetensors")
    network = build(weights="imagenet", weights_file=str(tmp_path / "encoder.safetensors"))
    assert is_filled(network.encoder)
    assert not is_filled(network.body.decoder)


def test_unet_small_body_and_encoder_from_files(tmp_path: Path) -> None:
    torch.save(filled(unet_small(5).body), tmp_path / "body.pth")
    torch.save(filled(unet_small().encoder), tmp_path / "encoder.pth")
    assert is_filled(unet_small(5, weights_file=tmp_path / "body.pth").body)
    network = unet_small(2, weights_file=tmp_path / "body.pth")
    assert is_filled(network.body.decoder)
    assert not is_filled(network.body.head)
    network = unet_small(weights_file=tmp_path / "encoder.pth")
    assert is_filled(network.encoder)
    assert not is_filled(network.body.decoder)


def test_misfits_are_listed(tmp_path: Path) -> None:
    state = filled(unet_small().encoder)
    state["0.0.0.weight"] = torch.zeros(7)
    state["extra.weight"] = state.pop("1.0.0.weight")
    torch.save(state, tmp_path / "encoder.pth")
    with pytest.raises(ValueError, match=r"init\.file=.*encoder\.pth") as caught:
        unet_small(weights_file=tmp_path / "encoder.pth")
    for part in (
        "missing (1): 1.0.0.weight",
        "unexpected (1): extra.weight",
        "0.0.0.weight (7,) instead of (16, 3, 3, 3)",
    ):
        assert part in str(caught.value)


def test_long_lists_are_cut() -> None:
    own = {f"layer{i}": torch.zeros(1) for i in range(9)}
    assert differences(own, {}) == ["missing (9): layer0, layer1, layer2, layer3, layer4 and 4 more"]
    assert differences(own, own) == []


@pytest.mark.parametrize(
    ("build", "weights", "offer"),
    [
        (unet_small, "imagenet", "no published weights"),
        (unet_mobilenetv2, "coco", "offers init=imagenet;"),
        (fcn_resnet101, "places", "init=imagenet, init=coco"),
    ],
)
def test_weights_not_on_offer(build, weights: str, offer: str) -> None:
    with pytest.raises(ValueError, match=f"init.weights='{weights}'.*{offer}"):
        build(weights=weights)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"init\.file=.*no such file"):
        unet_small(weights_file=tmp_path / "absent.pth")
    for name in ("broken.pth", "broken.safetensors"):
        (tmp_path / name).write_bytes(b"not weights")
        with pytest.raises(ValueError, match=rf"init\.file=.*{name}.*not readable"):
            read_state(tmp_path / name)
    torch.save({"model": {"weight": torch.zeros(1)}, "epoch": 3}, tmp_path / "checkpoint.pth")
    with pytest.raises(ValueError, match="found model, epoch"):
        read_state(tmp_path / "checkpoint.pth")


def test_no_code_is_run_from_a_file(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(1, 1), tmp_path / "module.pth")
    with pytest.raises(ValueError, match="not readable"):
        read_state(tmp_path / "module.pth")


def test_frozen_random_encoder_warns(caplog) -> None:
    unet_small(freeze_encoder=True)
    assert "frozen at random weights" in caplog.text


def test_run_weights_are_strict() -> None:
    state = filled(unet_small())
    network = unet_small()
    load_run_weights(network, state)
    assert is_filled(network)
    with pytest.raises(ValueError, match=r"init\.run.*body\.head\.weight \(2, 16, 1, 1\) instead of \(5, 16, 1, 1\)"):
        load_run_weights(unet_small(5), state)
    with pytest.raises(ValueError, match=r"missing \(2\): normalise\.mean, normalise\.deviation"):
        load_run_weights(unet_small(normalise="imagenet"), state)
