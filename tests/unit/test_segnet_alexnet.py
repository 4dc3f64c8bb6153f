"""SegNet: layers and weights as counted by hand, its grid, freezing, weights from files, messages."""

from __future__ import annotations

import logging
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from seglab.export.numeric import NUMERIC
from seglab.losses.ce import cross_entropy
from seglab.models.across_channels import AcrossChannels
from seglab.models.init import load_run_weights
from seglab.models.segnet_alexnet import FEATURES, SegnetAlexnet, cells, segnet_alexnet

TRUNKS = sorted(FEATURES)
BY_HAND = {
    # filters x (inputs / groups) x side x side + biases
    "trunk.conv1": 96 * 3 * 11 * 11 + 96,
    "trunk.conv2": 256 * 48 * 5 * 5 + 256,
    "trunk.conv3": 384 * 256 * 3 * 3 + 384,
    "trunk.conv4": 384 * 192 * 3 * 3 + 384,
    "trunk.conv5": 256 * 192 * 3 * 3 + 256,
    "new6": 128 * 256 * 3 * 3 + 128,
    "new7": 128 * 128 * 3 * 3 + 128,
    "new8": 21 * 128 * 3 * 3 + 21,
}


def build(trunk: str = "small", *, channels: int = 5, seed: int = 0, **settings) -> SegnetAlexnet:
    torch.manual_seed(seed)
    return segnet_alexnet(channels, trunk=trunk, **{"frozen": False, **settings})


def images(height: int = 71, width: int = 71, *, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, height, width), generator=generator).to(torch.uint8)


def test_caffenet_has_the_weights_counted_by_hand() -> None:
    network = segnet_alexnet(21)
    for name, count in BY_HAND.items():
        assert sum(p.numel() for p in network.get_submodule(name).parameters()) == count, name
    assert sum(p.numel() for p in network.parameters()) == sum(BY_HAND.values()) == 2_800_917
    assert {p for _, p in network.named_parameters() if p.requires_grad} == {
        *network.new6.parameters(),
        *network.new7.parameters(),
        *network.new8.parameters(),
    }


def test_caffenet_goes_through_the_sizes_of_the_paper() -> None:
    network, sides = segnet_alexnet(21).eval(), {}
    for name, layer in network.trunk.named_children():
        layer.register_forward_hook(lambda m, given, out, name=name: sides.__setitem__(name, out.shape[1:]))
    with torch.no_grad():
        assert network(images(227, 227, count=1)).shape == (1, 21, 13, 13)
    assert [tuple(sides[name]) for name in ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5")] == [
        *[(96, 55, 55), (96, 27, 27), (256, 27, 27), (256, 13, 13)],
        *[(384, 13, 13), (384, 13, 13), (256, 13, 13)],
    ]
    assert list(sides)[:4] == ["conv1", "relu1", "pool1", "norm1"], "CaffeNet pools before it normalises"


def test_normalisation_across_channels_is_that_of_caffe_and_of_torch() -> None:
    x = torch.tensor([3.0, -10.0, 20.0, 0.0, 40.0, 5.0]).view(1, 6, 1, 1)
    around = [9 + 100 + 400, 9 + 100 + 400, 9 + 100 + 400 + 1600, 100 + 400 + 1600 + 25, 400 + 1600 + 25, 1600 + 25]
    wanted = [v / (1 + 1e-4 / 5 * s) ** 0.75 for v, s in zip(x.flatten().tolist(), around, strict=True)]
    assert AcrossChannels()(x).flatten().tolist() == pytest.approx(wanted, rel=1e-6)
    wide = 30 * torch.randn(2, 9, 5, 4)
    torch.testing.assert_close(AcrossChannels()(wide), nn.LocalResponseNorm(5, 1e-4, 0.75)(wide))
    huge = torch.full((1, 8, 1, 1), 1000.0, dtype=torch.float16)
    assert AcrossChannels()(huge).isfinite().all(), "squares overflow in half precision"


@pytest.mark.parametrize("trunk", TRUNKS)
def test_grid_follows_the_formula(trunk: str) -> None:
    network = build(trunk).eval()
    lowest = {"caffenet": 23, "alexnet": 31, "small": 23}[trunk]
    assert (cells(227, trunk), cells(lowest, trunk), cells(lowest - 1, trunk)) == (13, 1, 0)
    for length in (lowest, 64, 65, 71, 72, 127, 200, 224, 227, 256, 321):
        with torch.no_grad():
            features = network.features(images(length, lowest, count=1))
        assert features.shape == (1, FEATURES[trunk], cells(length, trunk), 1)
    with torch.no_grad():
        assert network(images(100, 64)).shape == (2, 5, cells(100, trunk), cells(64, trunk))
    with pytest.raises(ValueError, match=rf"needs {lowest} a side or more: expected a larger data\.size"):
        network(images(lowest - 1, 64))


@pytest.mark.parametrize("trunk", TRUNKS)
def test_a_frozen_trunk_stays_as_it_is(trunk: str) -> None:
    network = build(trunk, frozen=True).train()
    kept = {key: value.clone() for key, value in network.trunk.state_dict().items()}
    assert not network.features(images()).requires_grad
    network(images()).square().mean().backward()
    assert all(p.grad is None for p in network.trunk.parameters())
    assert all(p.grad.abs().sum() > 0 for key, p in network.named_parameters() if key.startswith("new"))
    assert all(torch.equal(kept[key], value) for key, value in network.trunk.state_dict().items())
    assert not any(module.training for module in network.trunk.modules())
    assert network.drop.training


@pytest.mark.parametrize("trunk", TRUNKS)
def test_every_weight_of_an_open_trunk_takes_part(trunk: str) -> None:
    network = build(trunk).train()
    network(images()).square().mean().backward()
    assert not [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def test_dropout_comes_before_each_added_layer_and_only_in_training() -> None:
    network, seen = build(dropout=0.5), []
    for name in ("new6", "new7", "new8"):
        network.get_submodule(name).register_forward_pre_hook(lambda m, given: seen.append(given[0]))
    trunk = network.eval().features(images())
    network(images())
    assert torch.equal(seen[0], trunk)
    network.train()
    network.trunk.eval()
    seen.clear()
    network(images())
    kept = seen[0] != 0
    torch.testing.assert_close(seen[0][kept], 2 * trunk[kept])
    for features, least in zip(seen, (0.4, 0.5, 0.5), strict=True):
        assert (features == 0).float().mean() > least, "half is dropped, beside what ReLU sets to zero"


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_caffenet_starts_from_a_file_of_its_trunk(tmp_path: Path, suffix: str) -> None:
    other = build("caffenet", seed=3)
    state = {**other.trunk.state_dict(), "fc8.weight": torch.zeros(10, 4)}  # a classifier's layers are passed over
    path = tmp_path / f"caffenet.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    network = segnet_alexnet(5, weights_file=str(path))
    torch.testing.assert_close(network.trunk.state_dict(), other.trunk.state_dict(), rtol=0, atol=0)
    assert not network.frozen_at_random
    fine = segnet_alexnet(5, weights="imagenet", weights_file=str(path))  # init=imagenet init.file=...
    assert torch.equal(fine.trunk.conv5.weight, other.trunk.conv5.weight)
    del state["conv3.bias"]
    torch.save(state, tmp_path / "short.pth")
    with pytest.raises(ValueError, match=r"does not fit the network; missing \(1\): conv3.bias"):
        segnet_alexnet(5, weights_file=str(tmp_path / "short.pth"))


def test_alexnet_reads_torchvisions_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import alexnet

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    whole = alexnet(weights=None)
    state = {key: tensor for key, tensor in whole.state_dict().items() if tensor.numel() < 2**20}
    torch.save(state, folder / "alexnet-owt-7be5be79.pth")
    network = segnet_alexnet(3, trunk="alexnet", weights="imagenet").eval()
    with torch.no_grad():
        wanted = whole.features[:-1](network.normalise(images()))
        assert torch.equal(network.features(images()), wanted)


def test_weights_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given, **also) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(ValueError, match=r"alexnet-owt.*init\.file.*init=scratch"):
        segnet_alexnet(3, trunk="alexnet", weights="imagenet")
    for trunk in ("caffenet", "small"):
        with pytest.raises(
            ValueError, match=rf"model\.trunk={trunk} to fetch.*init\.file.*trunk=alexnet.*init=scratch"
        ):
            segnet_alexnet(3, trunk=trunk, weights="imagenet")
    with pytest.raises(ValueError, match=r"init=coco: there are no"):
        segnet_alexnet(3, trunk="alexnet", weights="coco")


def test_random_weights_that_are_frozen_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    network = build("caffenet", frozen=True)
    network.eval()
    assert not caplog.records, "an evaluation fills the trunk from a run"
    network.train().train()
    assert len(caplog.records) == 1
    assert "choose init.file=<its weights>, or model.frozen=false" in caplog.text
    caplog.clear()
    build("alexnet", frozen=True).train()
    assert "choose init=imagenet, or model.frozen=false" in caplog.text
    caplog.clear()
    build("small", frozen=False).train()
    going_on = build("caffenet", frozen=True)
    load_run_weights(going_on, network.state_dict())
    going_on.train()
    assert not caplog.records


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"trunk": "vgg"}, r"model\.trunk=vgg: expected one of caffenet, alexnet, small"),
        ({"frozen": "yes"}, r"model\.frozen=yes: expected true or false"),
        ({"hidden": 0}, r"model\.hidden=0: expected a whole number"),
        ({"kernel": 4}, r"model\.kernel=4: expected an odd"),
        ({"dropout": 1}, r"model\.dropout=1: expected a share"),
        ({"dropout": None}, r"model\.dropout=None: expected a share"),
        ({"normalise": "caffe"}, r"model\.normalise='caffe'"),
        ({"channels": 0}, r"model\.channels=0"),
    ],
)
def test_settings_are_checked(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        segnet_alexnet(**{"trunk": "small", **settings})


def test_kernel_and_hidden_shape_the_added_layers() -> None:
    network = build(hidden=16, kernel=1)
    assert [tuple(layer.weight.shape) for layer in (network.new6, network.new7, network.new8)] == [
        (16, 128, 1, 1),
        (16, 16, 1, 1),
        (5, 16, 1, 1),
    ]
    assert network(images()).shape == (2, 5, 4, 4)


def test_half_precision_and_channels_last() -> None:
    network = build("caffenet").eval()
    with torch.no_grad():
        wanted = network(images())
        network = network.to(memory_format=torch.channels_last)
        torch.testing.assert_close(network(images()), wanted, rtol=1e-3, atol=1e-3)
        with torch.autocast("cpu", torch.bfloat16):
            assert network(images()).dtype == torch.float32


def test_a_loss_on_pixels_names_the_losses_on_grids() -> None:
    with pytest.raises(ValueError, match=r"grid of 4 x 4 cells for masks of 71 x 71 pixels.*expected loss=ce_soft"):
        cross_entropy(build()(images()), torch.zeros(2, 71, 71, dtype=torch.int64))


@pytest.mark.parametrize("trunk", TRUNKS)
def test_its_operations_are_those_an_exported_file_may_hold(trunk: str) -> None:
    graph = torch.export.export(build(trunk).eval(), (images(),)).graph
    names = {str(node.target).split(".")[1] for node in graph.nodes if str(node.target).startswith("aten.")}
    assert names
    assert names <= NUMERIC
