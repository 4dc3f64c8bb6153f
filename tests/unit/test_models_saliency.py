"""PFAN, BASNet and PoolNet: published sizes, side outputs, what they share, and that every way to run them works."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seglab.config import compose
from seglab.forward import forward
from seglab.models import basnet, pfan, poolnet
from seglab.models.init import load_run_weights
from seglab.models.saliency_map import Shortcut, as_channels, filters
from seglab.targets import instantiate

NAMES = ("pfan", "basnet", "poolnet")
SIZES = {"pfan": pfan.PARAMETERS, "basnet": basnet.PARAMETERS, "poolnet": poolnet.PARAMETERS}
NARROW = ["model.width=0.0625", "model.normalise=per_image"]
EDGES = {"edge_1", "edge_2", "edge_3"}
MAPS = {"bridge", "coarse", *(f"decoder_{number}" for number in range(2, 7))}


def build(model: str, loss: str, *extra: str) -> tuple[nn.Module, nn.Module]:
    """A network of few filters and its loss, as a run builds them."""
    cfg = compose("train", [f"model={model}", f"loss={loss}", *NARROW, *extra])
    torch.manual_seed(0)
    return instantiate(cfg.model), instantiate(cfg.loss)


def sample(size: int = 64) -> dict:
    """Two images and their masks, with ignored pixels."""
    generator = torch.Generator().manual_seed(1)
    mask = torch.zeros(2, size, size, dtype=torch.int64)
    mask[:, 10:40, 20:50] = 1
    mask[0, :4] = 255
    return {"image": torch.randint(0, 256, (2, 3, size, size), generator=generator).to(torch.uint8), "mask": mask}


def run(network: nn.Module, batch: dict, precision: str = "fp32") -> tuple[torch.Tensor, dict]:
    """A batch through the network as the trainer puts it through."""
    runtime = compose("train", [f"runtime.precision={precision}"]).runtime
    return forward(network, batch, runtime=runtime, device=torch.device("cpu"))


@pytest.mark.parametrize("name", NAMES)
def test_full_size_has_the_published_number_of_weights(name: str) -> None:
    cfg = compose("train", [f"model={name}", f"loss={name}"])
    with torch.device("meta"):
        found = sum(p.numel() for p in instantiate(cfg.model).parameters())
    assert found == pytest.approx(SIZES[name], rel=0.02)


@pytest.mark.parametrize(
    ("model", "loss", "extra", "handed_on"),
    [
        ("pfan", "pfan", [], set()),
        ("basnet", "basnet", [], MAPS),
        ("basnet", "basnet", ["loss.side_maps=false"], set()),
        ("poolnet", "poolnet", [], set()),
        ("poolnet", "poolnet", ["model.edge=true"], EDGES),
        ("poolnet", "poolnet", ["model.edge=true", "loss.side_edges=false"], set()),
        *((name, "cas", [], set()) for name in NAMES),
        ("poolnet", "basnet", ["model.edge=true"], set()),
        ("basnet", "poolnet", [], set()),
        ("unet_small", "basnet", [], set()),
    ],
)
def test_side_outputs_are_there_where_the_loss_reads_them(
    model: str, loss: str, extra: list[str], handed_on: set[str]
) -> None:
    network, criterion = build(model, loss, *extra) if model != "unet_small" else small(loss)
    batch = sample()
    logits, moved = run(network, batch)
    assert set(moved.get("aux", {})) == handed_on
    assert all(side.shape == (2, 1, 64, 64) and side.dtype == torch.float32 for side in moved.get("aux", {}).values())
    sum(criterion(logits, moved).values()).backward()
    without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not without, "every weight must take part, or several processes wait for each other"
    assert isinstance(network.eval()(batch["image"]), torch.Tensor)


def small(loss: str) -> tuple[nn.Module, nn.Module]:
    """A network that hands nothing on, and a loss that would read it."""
    cfg = compose("train", [f"loss={loss}"])
    return instantiate(cfg.model), instantiate(cfg.loss)


@pytest.mark.parametrize("name", NAMES)
def test_the_map_is_channel_1(name: str) -> None:
    network, _ = build(name, name)
    with torch.no_grad():
        logits = network.eval()(sample()["image"])
    assert (logits[:, 0] == 0).all()
    torch.testing.assert_close(logits.softmax(1)[:, 1], torch.sigmoid(logits[:, 1]))
    assert as_channels(torch.ones(1, 5, 2, 2), channels=5).shape == (1, 5, 2, 2)


@pytest.mark.parametrize("name", ["basnet", "poolnet"])
def test_side_outputs_of_another_size_and_of_bfloat16(name: str) -> None:
    network, loss = build(name, name, *(["model.edge=true"] if name == "poolnet" else []))
    batch = sample(70)
    logits, moved = run(network, batch, "bf16")
    assert logits.shape == (2, 2, 70, 70)
    assert all(side.shape == (2, 1, 70, 70) for side in moved["aux"].values())
    assert all(value.isfinite() for value in loss(logits, moved).values())


@pytest.mark.parametrize("name", NAMES)
def test_one_graph_for_the_compiler(name: str) -> None:
    network, _ = build(name, name)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    found = compiled(sample()["image"])
    assert isinstance(found, dict) == (name == "basnet")


@pytest.mark.parametrize(("name", "classifier"), [("pfan", "vgg16"), ("basnet", "resnet34"), ("poolnet", "resnet50")])
def test_published_classifiers_fit_the_encoder(name: str, classifier: str) -> None:
    import torchvision.models as zoo

    with torch.device("meta"):
        whole = getattr(zoo, classifier)().state_dict()
        encoder = instantiate(compose("train", [f"model={name}"]).model).encoder.state_dict()
    left_out = {"classifier", "fc"} | ({"conv1", "bn1"} if name == "basnet" else set())
    assert {key: tuple(v.shape) for key, v in encoder.items()} == {
        key: tuple(v.shape) for key, v in whole.items() if key.partition(".")[0] not in left_out
    }


def test_a_file_of_a_resnet_fills_the_stages(tmp_path) -> None:
    whole = {key: torch.full_like(v, 2) for key, v in basnet.basnet(width=0.0625).encoder.state_dict().items()}
    path = tmp_path / "resnet34.pth"
    torch.save({**whole, "conv1.weight": torch.zeros(64, 3, 7, 7), "fc.bias": torch.zeros(1000)}, path)
    network = basnet.basnet(width=0.0625, weights_file=str(path))
    assert all(torch.equal(value, whole[key]) for key, value in network.encoder.state_dict().items())


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("inputs", [4, 12, 64])
def test_the_shortcut_is_the_strided_convolution(inputs: int, channels_last: bool) -> None:
    torch.manual_seed(0)
    shortcut = Shortcut(inputs, 8, stride=2)
    x = torch.randn(2, inputs, 33, 32)
    wanted = nn.functional.conv2d(x, shortcut.weight, stride=2)
    (gradient,) = torch.autograd.grad(wanted.square().sum(), shortcut.weight)
    found = shortcut(x.contiguous(memory_format=torch.channels_last) if channels_last else x)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(
        torch.autograd.grad(found.square().sum(), shortcut.weight)[0], gradient, rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("name", NAMES)
def test_no_strided_1x1_convolution_of_few_channels(name: str) -> None:
    """Their gradient corrupts memory on a CPU, see `Shortcut`; a crash cannot be asked for, so their absence is."""
    network, _ = build(name, name)
    assert not [
        key
        for key, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.stride != (1, 1)
    ]


@pytest.mark.parametrize(("name", "extra"), [("basnet", []), ("poolnet", ["model.edge=true"])])
def test_a_run_of_another_loss_starts_a_run(name: str, extra: list[str], caplog) -> None:
    """Only the layers that serve the other loss are left out, or stay as they are; all others are the run's."""
    with_heads, without = build(name, name, *extra)[0], build(name, "cas", *extra)[0]
    for target, source, said in ((without, with_heads, "left out"), (with_heads, without, "start at random")):
        given = {key: torch.full_like(v, 3) for key, v in source.state_dict().items()}
        caplog.clear()
        with caplog.at_level("INFO"):
            load_run_weights(target, given)
        assert said in caplog.text
        assert all((value == 3).all() for key, value in target.state_dict().items() if key in given)
    given["body.encoder.unheard_of"] = torch.zeros(1)
    with pytest.raises(ValueError, match="unheard_of"):
        load_run_weights(without, given)


@pytest.mark.parametrize("width", [0, -1, 1.5, True, "half"])
def test_width_is_checked(width) -> None:
    with pytest.raises(ValueError, match=r"model\.width=.*above 0 and up to 1"):
        pfan.pfan(width=width)


def test_published_weights_are_for_the_published_width() -> None:
    with pytest.raises(ValueError, match=r"pfan with model\.width=0\.5 offers no published weights"):
        pfan.pfan(width=0.5, weights="imagenet")
    assert filters(64, 1.0) == 64
    assert filters(16, 0.01) == 4
