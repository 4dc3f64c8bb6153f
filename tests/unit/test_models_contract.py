"""Every conf/model/*.yaml: builds, steps, keeps its promises on shapes, freezing, layout and precision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from seglab.models.network import Network

CONF = Path(__file__).resolve().parents[2] / "conf"
NARROW = {name: ["model.width=0.0625"] for name in ("pfan", "basnet", "poolnet")}  # few filters: they are large
OTHERS = ("mlp_10", "segnet_alexnet")  # of points, not images; of a coarse grid, see test_segnet_alexnet.py
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml") if path.stem not in OTHERS)
RESNETS = [name for name in MODELS if "resnet101" in name]
LIGHT = [name for name in MODELS if name not in RESNETS]
PRIMARY = "defaults:\n  - model: unet_small\n  - init: scratch\n  - _self_\neval: {channels: 2}\n"


@pytest.fixture
def composed(tmp_path: Path):
    (tmp_path / "tiny.yaml").write_text(f"hydra:\n  searchpath: ['file://{CONF}']\n{PRIMARY}")

    def make(model: str, *overrides: str) -> DictConfig:
        with initialize_config_dir(str(tmp_path), version_base=None):
            return compose("tiny", [f"model={model}", *NARROW.get(model, []), *overrides])

    return make


def build(config: DictConfig) -> Network:
    torch.manual_seed(0)
    return instantiate(config.model)


def batch(count: int = 2, size: int = 64) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


def test_all_models_are_covered() -> None:
    assert len(MODELS) >= 5
    assert len(RESNETS) == 2


@pytest.mark.parametrize("init", ["scratch", "imagenet", "coco"])
def test_init_reaches_the_model(composed, init: str) -> None:
    config = composed("unet_small", f"init={init}")
    assert config.model.weights == {"scratch": None, "imagenet": "imagenet", "coco": "coco"}[init]
    assert set(config.init) == {"weights", "file", "run"}


def test_init_run_needs_its_run(composed) -> None:
    assert OmegaConf.is_missing(composed("unet_small", "init=run").init, "run")


@pytest.mark.parametrize("name", RESNETS)
def test_resnets_forward_once(composed, name: str) -> None:
    network = build(composed(name, "model.channels=5", "model.freeze_encoder=true"))
    with torch.no_grad():
        out = network(batch())
    assert out.shape == (2, 5, 64, 64)
    assert out.isfinite().all()
    assert not any("aux" in key for key in network.state_dict())
    assert not any(p.requires_grad for p in network.body.backbone.parameters())
    assert all(p.requires_grad for p in network.body.classifier.parameters())


def test_deeplab_explains_a_batch_of_one(composed) -> None:
    network = build(composed("deeplabv3_resnet101", "model.freeze_encoder=true"))
    with pytest.raises(ValueError, match="two images or more per process"):
        network(batch(1, size=32))


@pytest.mark.parametrize("channels", [2, 5])
@pytest.mark.parametrize("name", LIGHT)
def test_step(composed, name: str, channels: int) -> None:
    network = build(composed(name, f"model.channels={channels}", "model.freeze_encoder=false"))
    out = network(batch())
    assert out.shape == (2, channels, 64, 64)
    assert out.dtype == torch.float32
    out.square().mean().backward()
    without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not without, "every weight must take part, or several processes wait for each other"


@pytest.mark.parametrize("name", LIGHT)
def test_frozen_encoder(composed, name: str) -> None:
    network = build(composed(name, "model.freeze_encoder=true"))
    kept = {key: value.clone() for key, value in network.encoder.state_dict().items()}
    network(batch()).square().mean().backward()
    assert all(p.grad is None for p in network.encoder.parameters())
    assert any(p.grad is not None for p in network.parameters())
    assert all(torch.equal(kept[key], value) for key, value in network.encoder.state_dict().items())


@pytest.mark.parametrize("name", LIGHT)
def test_state_dict_round_trip_and_odd_size(composed, name: str) -> None:
    config = composed(name)
    one, other = build(config), instantiate(config.model)
    other.load_state_dict(one.state_dict())
    image = batch(1)[..., :50, :37]
    with torch.no_grad():
        wanted = one.eval()(image)
        assert wanted.shape == (1, 2, 50, 37)
        assert torch.equal(wanted, other.eval()(image))


@pytest.mark.parametrize("name", LIGHT)
def test_channels_last_and_bfloat16(composed, name: str) -> None:
    network = build(composed(name)).eval()
    image = batch()
    with torch.no_grad():
        wanted = network(image)
        network = network.to(memory_format=torch.channels_last)
        torch.testing.assert_close(network(image), wanted, rtol=1e-3, atol=1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        out = network.train()(image.contiguous(memory_format=torch.channels_last))
    assert out.dtype == torch.float32
    assert out.isfinite().all()


@pytest.mark.parametrize("value", [0, "two"])
def test_channels_are_checked(composed, value) -> None:
    with pytest.raises(Exception, match=r"model\.channels"):
        build(composed("unet_small", f"model.channels={value}"))


def test_yaml_has_a_heading_and_a_comment_per_key() -> None:
    for path in [*(CONF / "model").glob("*.yaml"), *(CONF / "init").glob("*.yaml")]:
        heading, *lines = path.read_text().splitlines()
        assert heading.startswith("# "), path
        assert all("  # " in line for line in lines if line and not line.startswith("_target_")), path
