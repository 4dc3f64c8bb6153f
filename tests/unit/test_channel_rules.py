"""Channels found without masks, sets of channels and calibrated probabilities: right, blind, storable, mergeable."""

from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from seglab.clicks import check_names, places, read_clicks
from seglab.config import compose
from seglab.identity import identity
from seglab.post.calibrated import Calibrated, features
from seglab.post.channel import Channel
from seglab.post.channel_rules import ChannelRule, contrast_to_border, minus_size, object_channels, outside_largest
from seglab.post.channel_set import ChannelSet
from seglab.post.mixture import logistic, two_gaussians

BLIND = [
    partial(Channel, channel="border"),
    partial(Channel, channel="size"),
    partial(ChannelSet, channel="border"),
    partial(ChannelSet, channel="size"),
    partial(Calibrated, masks="none"),
    partial(Calibrated, masks="none", channel="size"),
]


def centred(*, channels: int = 2, object_channel: int = 1, images: int = 6) -> tuple[Tensor, Tensor]:
    """Logits of small objects in the middle of 16 x 16 pixels, and their masks."""
    random = torch.Generator().manual_seed(3)
    masks = torch.zeros(images, 16, 16, dtype=torch.int64)
    masks[:, 5:11, 4:12] = 1
    logits = torch.randn(images, channels, 16, 16, generator=random)
    logits[:, object_channel] += 5 * masks
    logits[:, (object_channel + 1) % channels] += 4 * (1 - masks)
    return logits, masks


def fit(post, logits: Tensor, masks: Tensor | None):
    post.update(logits[:4], None if masks is None else masks[:4])
    post.update(logits[4:], None if masks is None else masks[4:])
    post.finish()
    return post


@pytest.mark.parametrize(
    ("rule", "channels", "which"),  # by size two channels only: of five the smallest is one that is neither
    [("border", 2, 0), ("border", 2, 1), ("border", 5, 3), ("size", 2, 0), ("size", 2, 1)],
)
def test_a_rule_finds_the_object(rule: str, channels: int, which: int) -> None:
    logits, _ = centred(channels=channels, object_channel=which)
    state = fit(Channel(channel=rule), logits, None).state()
    assert state["channel"] == which
    assert state["rule"] == rule
    assert state["images"] == 6
    assert state["agreement"] == 1
    assert state["margin"] > 0


@pytest.mark.parametrize("kind", BLIND)
def test_masks_are_not_read(kind) -> None:
    """No masks, the masks, exchanged masks and nonsense give one choice and the same maps."""
    logits, masks = centred()
    found = [fit(kind(), logits, given) for given in (None, masks, 1 - masks, torch.full_like(masks, 77))]
    for post in found[1:]:
        assert post.state() == found[0].state()
        assert torch.equal(post(logits), found[0](logits))
    assert not found[0].reads_masks


def test_border_contrast_by_hand() -> None:
    probs = torch.zeros(1, 2, 4, 4)
    probs[0, 0, 1:3, 1:3] = 1  # the four inner pixels
    probs[0, 0, 0, 0] = 0.6
    probs[0, 1] = 1 - probs[0, 0]
    torch.testing.assert_close(contrast_to_border(probs), torch.tensor([[0.95, -0.95]]).double())
    with pytest.raises(ValueError, match="all border"):
        contrast_to_border(torch.zeros(1, 2, 2, 2))


def test_sizes_by_hand() -> None:
    """A channel under 2 % of the pixels is no region; of the two largest each is one, however small."""
    mass = torch.tensor([[0.7, 0.01, 0.29], [0.7, 0.02, 0.28], [0.99, 0.006, 0.004]])
    torch.testing.assert_close(
        minus_size(mass), torch.tensor([[-0.7, -1, -0.29], [-0.7, -0.02, -0.28], [-0.99, -0.006, -1]])
    )


def test_sets_by_hand() -> None:
    scores = torch.tensor([[0.2, -0.5, 0.1, 0.0], [0.0, 0.0, 0.0, 0.0], [0.3, 0.2, 0.1, 0.05]])
    assert object_channels(scores).int().tolist() == [[1, 0, 1, 0], [1, 0, 0, 0], [1, 1, 1, 0]]
    mass = torch.tensor([[0.3, 0.25, 0.25, 0.2], [0.9, 0.06, 0.03, 0.01], [0.25, 0.25, 0.25, 0.25]])
    assert outside_largest(mass).int().tolist() == [[0, 1, 0, 1], [0, 1, 1, 1], [1, 1, 0, 0]]


@pytest.mark.parametrize("rule", ["auto", "border", "size"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_set_of_two_channels_is_the_channel(rule: str, which: int) -> None:
    logits, masks = centred(object_channel=which)
    one, several = (fit(kind(channel=rule), logits, masks) for kind in (Channel, ChannelSet))
    assert several.state()["channels"] == [one.state()["channel"]]
    assert several.state().get("agreement") == one.state().get("agreement")
    assert torch.equal(several(logits), one(logits))


@pytest.mark.parametrize("rule", ["auto", "border", "size"])
def test_equal_channels_give_one_choice(rule: str) -> None:
    logits, masks = torch.zeros(6, 2, 16, 16), centred()[1]
    one, several = (fit(kind(channel=rule), logits, masks) for kind in (Channel, ChannelSet))
    assert several.state()["channels"] == [one.state()["channel"]] == [0]


def test_a_set_joins_the_channels_of_an_object() -> None:
    logits, masks = centred(channels=4, object_channel=1)
    logits[:, 1, :, :8], logits[:, 3, :, :8] = logits[:, 3, :, :8].clone(), logits[:, 1, :, :8].clone()  # in two halves
    for post in (ChannelSet(), ChannelSet(channel="border")):
        fit(post, logits, masks)
        assert {1, 3} <= set(post.state()["channels"])
        assert 2 not in post.state()["channels"]
        assert post(logits)[masks == 1].mean() > 0.8
    assert fit(Channel(), logits, masks)(logits)[masks == 1].mean() < 0.7
    torch.testing.assert_close(ChannelSet(channel=[3, 1])(logits), logits.softmax(1)[:, [1, 3]].sum(1))


def test_agreement_of_a_set_by_hand() -> None:
    """Every channel counts by what it holds: one of three is on the other side in one of two images."""
    probs = torch.full((2, 3, 4, 4), 0.1)
    probs[:, 0, 1:3, 1:3], probs[:, 2, 0] = 0.5, 0.8
    probs[0, 1, 1:3, 1:3] = 0.3
    probs[1, 1] = 0.2
    probs[1, 1, 1:3, 1:3] = 0.1
    rule = ChannelRule("border")
    rule.update(probs)
    assert rule.channels() == [0, 1]
    held = [0.2, (0.15 + 0.175) / 2, 0.275]
    told = rule.told([0, 1], several=True)["agreement"]
    assert told == pytest.approx((held[0] + held[1] / 2 + held[2]) / sum(held))
    assert rule.told([0, 1])["agreement"] == 1
    post = ChannelSet(channel="border")
    post.rule.update(probs)
    post.finish()
    assert post.state()["channels"] == [0, 1]
    assert post.state()["agreement"] == told


def test_far_logits_are_cut() -> None:
    logits = torch.tensor([0.0, 1e6, -1e6]).reshape(1, 3, 1, 1)
    assert features(logits).flatten().tolist() == [50, -50]


def test_maps_of_a_set_stay_below_one() -> None:
    maps = ChannelSet(channel=list(range(8)))(torch.randn(1, 8, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert float(maps.max()) == 1


def test_low_agreement_is_said(caplog: pytest.LogCaptureFixture) -> None:
    logits, _ = centred()
    logits[4:] = logits[4:].flip(1)
    with caplog.at_level(logging.WARNING):
        state = fit(Channel(channel="border"), logits, None).state()
    assert state["agreement"] == pytest.approx(4 / 6)
    assert "only 67 %" in caplog.text


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_clicks_choose_and_are_remembered(tmp_path: Path) -> None:
    logits, _ = centred(object_channel=0)
    file = write(tmp_path / "c.csv", "image,x,y\na.jpg,7,8\nb,6.5,7\n\nb,0,0\n")
    clicks = read_clicks(file)
    assert read_clicks(write(tmp_path / "dots.csv", "Image, x, y\nv1.2,1,1\nv1.2.PNG,1,1\n"))[1].image == "v1.2"
    assert read_clicks(tmp_path / "dots.csv")[0].image == "v1.2"  # a dot is not always a suffix
    where = places(file, clicks, {"a": (16, 16), "b": (32, 16)})
    assert where == {"a": [(7.5 / 16, 8.5 / 16)], "b": [(6.5 / 16, 7.5 / 32), (0.5 / 16, 0.5 / 32)]}
    for kind in (Channel, ChannelSet):
        post = kind(channel="clicks", clicks=file)
        post.click(logits[:2], [[(0.5, 0.5)], [(0.4, 0.4), (0.0, 0.0)]])
        post.finish()
        state = json.loads(json.dumps(post.state()))
        assert (state.get("channel", 0), state.get("channels", [0])) == (0, [0])
        assert (state["count"], state["agreement"]) == (3, pytest.approx(2 / 3))
        again = kind(channel="clicks", clicks=file)
        again.load(state)
        assert again.state() == state
        other = kind(channel="clicks", clicks=write(tmp_path / "d.csv", "image,x,y\na,1,1\n"))
        other.load(state)
        assert other.needs_fit
        (tmp_path / "c.csv").rename(tmp_path / "kept")
        again = kind(channel="clicks", clicks=file)  # its own file is gone: what it said is known
        again.load(state)
        assert not again.needs_fit
        (tmp_path / "kept").rename(tmp_path / "c.csv")


def test_clicks_by_hand() -> None:
    """A click counts by how much its pixel, the one it fell on, exceeds its channel's mean over the image."""
    probs = torch.full((1, 3, 2, 4), 0.1)
    probs[0, 0] = 0.7  # large everywhere, also at the click
    probs[0, 1, 0, 3], probs[0, 2, 1, 0] = 0.6, 0.5
    rule = ChannelRule("clicks", clicks="unread")
    rule.click(probs, [[(0.9, 0.4)]])
    torch.testing.assert_close(rule.scores(), torch.tensor([0.0, 0.5 * 7 / 8, -0.4 / 8]).double())
    assert rule.channels() == [1]


def test_margin_of_a_set_is_that_of_its_worst_channel() -> None:
    probs = torch.full((1, 3, 4, 4), 0.1)
    probs[0, 0, 1:3, 1:3], probs[0, 1, 1:3, 1:3], probs[0, 2, 0] = 0.5, 0.3, 0.8
    rule = ChannelRule("border")
    rule.update(probs)
    assert rule.channels() == [0, 1]
    assert rule.told([0, 1], several=True)["margin"] == pytest.approx(0.2 - (0.1 - (4 * 0.8 + 8 * 0.1) / 12))


def test_a_click_file_that_never_was_is_not_excused(tmp_path: Path) -> None:
    """A stored choice does without its own file, not without another that was asked for."""
    state = {"rule": "clicks", "channel": 1, "clicks": "gone.csv", "digest": "0"}
    Channel(channel="clicks", clicks="gone.csv").load(state)
    with pytest.raises(ValueError, match="cannot be read"):
        Channel(channel="clicks", clicks=str(tmp_path / "typo.csv")).load(state)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "header image,x,y"),
        ("a,1,2\n", "header image,x,y"),
        ("image,x,y\n", "holds no click"),
        ("image,x,y\na,1\n", "line 2"),
        ("image,x,y\na,1,b\n", "line 2"),
        ("image,x,y\na,nan,1\n", "line 2"),
        ("image,x,y\n,1,1\n", "line 2"),
        ("image,x,y\n" + "a" * 200_000 + ",1,1\n", "no CSV"),
    ],
)
def test_wrong_click_files(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=rf"eval\.post\.clicks=.*{said}"):
        read_clicks(write(tmp_path / "c.csv", text))


def test_clicks_that_fit_no_image(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read_clicks(tmp_path / "absent.csv")
    file = write(tmp_path / "c.csv", "image,x,y\ncat_1,15,3\n")
    clicks = read_clicks(file)
    with pytest.raises(ValueError, match=r"line 2: no training image is called 'cat_1'; did you mean 'cat_2'"):
        check_names(file, clicks, ["dog", "cat_2"])
    for size in ((4, 15), (3, 16)):
        with pytest.raises(ValueError, match=r"line 2: x=15, y=3 is outside"):
            places(file, clicks, {"cat_1": size})


@pytest.mark.parametrize("kind", [Channel, ChannelSet, Calibrated])
def test_clicks_and_rule_belong_together(kind) -> None:
    with pytest.raises(ValueError, match=r"eval\.post\.clicks"):
        kind(channel="clicks")
    with pytest.raises(ValueError, match=r"eval\.post\.clicks"):
        kind(channel="border", clicks="c.csv")


@pytest.mark.parametrize("bad", [[], [1, 1], [-1], [True], 1, "first"])
def test_bad_sets(bad: object) -> None:
    with pytest.raises(ValueError, match=r"eval\.post\.channel="):
        ChannelSet(channel=bad)


def test_a_choice_of_another_rule_is_not_taken_over() -> None:
    logits, masks = centred()
    border, auto = fit(Channel(channel="border"), logits, None).state(), fit(Channel(), logits, masks).state()
    assert sorted(auto) == ["channel", "correlations", "images"]  # as before there were rules
    for post, state in ((Channel(), border), (Channel(channel="border"), auto), (Channel(channel="size"), border)):
        post.load(state)
        assert post.needs_fit
    fixed = Channel(channel=0)
    fixed.load(border)
    assert fixed.state()["channel"] == 0
    for kept, taken in ((auto, True), (auto | {"channel": 0}, False), (fixed.state(), False)):
        post = Channel()
        post.load(kept)  # of a number that was typed correlations are known, but they did not choose it
        assert post.needs_fit is not taken
    several = fit(ChannelSet(channel="border"), logits, None).state()
    for post in (ChannelSet(), ChannelSet(channel="size"), ChannelSet(channel=[1])):
        post.load(several)
        assert post.needs_fit is (post.channel != "list")


@pytest.mark.parametrize("kind", [*BLIND, Calibrated, ChannelSet])
def test_state_survives_json(kind) -> None:
    logits, masks = centred(channels=3)
    post, other = fit(kind(), logits, masks), kind()
    other.load(json.loads(json.dumps(post.state())))
    assert not other.needs_fit
    assert other.state() == post.state()
    assert torch.equal(other(logits), post(logits))
    with pytest.raises(ValueError, match="state"):
        kind().load({})
    with pytest.raises(ValueError, match=r"first|before maps"):
        kind()(logits)


def test_calibration_with_masks_says_what_is_true() -> None:
    """Labels drawn with p = sigmoid(0.5 d - 1) are found again, from logits that claim sigmoid(3 d)."""
    random = torch.Generator().manual_seed(0)
    d = torch.randn(40, 32, 32, generator=random)
    masks = (torch.rand(d.shape, generator=random) < (0.5 * d - 1).sigmoid()).long()
    masks[:, :2] = 255
    post = Calibrated(pixels=512)
    post.update(torch.stack([torch.zeros_like(d), 3 * d], 1), masks)
    post.finish()
    assert post.state()["way"] == "logistic"
    assert post.state()["weights"][0] * 3 == pytest.approx(0.5, abs=0.06)
    assert post.state()["bias"] == pytest.approx(-1, abs=0.06)
    with pytest.raises(ValueError, match="without object"):
        fit(Calibrated(), *(x[:6] for x in (centred()[0], torch.zeros_like(masks[:6, :16, :16]))))


@pytest.mark.parametrize("which", [0, 1])
def test_mixture_finds_the_object(which: int) -> None:
    logits, masks = centred(object_channel=which, images=6)
    for post in (fit(Calibrated(masks="none"), logits, None), fit(Calibrated(), logits, None)):
        assert post.state()["way"] == "mixture"
        assert post.state()["choice"]["channels"] == [which]
        assert post.state()["share"] == pytest.approx(float(masks.double().mean()), abs=0.05)
        assert post(logits)[masks == 1].mean() > 0.9 > 0.1 > post(logits)[masks == 0].mean()


def test_calibration_fitted_in_another_way_is_not_taken_over() -> None:
    logits, masks = centred()
    auto, none = fit(Calibrated(), logits, masks).state(), fit(Calibrated(masks="none"), logits, None).state()
    for post, state, taken in (
        (Calibrated(channel="size"), auto, True),  # a rule has no part in a fit to masks
        (Calibrated(masks="none"), auto, False),
        (Calibrated(pixels=64), auto, False),
        (Calibrated(), none, False),
        (Calibrated(masks="none", channel="size"), none, False),
    ):
        post.load(state)
        assert post.needs_fit is not taken


@pytest.mark.parametrize("masks", ["auto", "none"])
def test_pixels_are_drawn_by_the_name_of_an_image(masks: str) -> None:
    """Neither the order of the images nor their batches matter; another name draws others."""
    logits, truth = centred(channels=3)
    names = [f"image {i}" for i in range(6)]

    def shown(order: list[int], size: int, prefix: str = "") -> dict:
        post = Calibrated(masks=masks, pixels=32)
        for at in range(0, 6, size):
            rows = order[at : at + size]
            post.update(logits[rows], truth[rows], [prefix + names[i] for i in rows])
        post.finish()
        return post.state()

    first, again, other = shown([0, 1, 2, 3, 4, 5], 6), shown([4, 2, 0, 5, 1, 3], 1), shown(list(range(6)), 6, "x")
    assert (again["weights"], again["bias"]) == (first["weights"], first["bias"])
    assert other["weights"] != first["weights"]


@pytest.mark.parametrize("channels", [2, 4])
def test_maps_of_one_kind_are_told(channels: int, caplog: pytest.LogCaptureFixture) -> None:
    """Constant maps hold no two components: half everywhere, a warning, no error."""
    for logits in (
        torch.zeros(3, channels, 16, 16),
        torch.full((3, channels, 16, 16), 80.0).index_fill(1, torch.tensor([0]), 0),
    ):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            post = fit(Calibrated(masks="none"), logits, None)
        assert "of one kind" in caplog.text
        assert torch.equal(post(logits), torch.full((3, 16, 16), 0.5))


@pytest.mark.parametrize("apart", [0, 6])
def test_one_cloud_is_told(apart: int, caplog: pytest.LogCaptureFixture) -> None:
    """EM finds halves of anything, with an outlier too; that they are one cloud shows in how unsure it is."""
    d = torch.randn(6, 16, 16, generator=torch.Generator().manual_seed(0))
    d[:, 5:11, 4:12] += apart
    d[0, 0, 0] = 50.0
    with caplog.at_level(logging.WARNING):
        post = fit(Calibrated(masks="none"), torch.stack([torch.zeros_like(d), d], 1), None)
    assert ("of one kind" in caplog.text) is (apart == 0)
    assert bool(torch.isfinite(torch.tensor([*post.state()["weights"], post.state()["bias"]])).all())


def test_a_handful_of_pixels_is_no_component(caplog: pytest.LogCaptureFixture) -> None:
    d = torch.zeros(6, 16, 16)
    d[:, 8, 8] = 30.0
    with caplog.at_level(logging.WARNING):
        post = fit(Calibrated(masks="none", pixels=1024), torch.stack([torch.zeros_like(d), d], 1), None)
    assert 0 < post.state()["share"] < 0.01
    assert "of one kind" in caplog.text


def test_clouds_that_overlap_are_not_taken_for_narrower_ones() -> None:
    """Distance 3, variance 1, odds 1: w = 3; soft members between the means belong to the variance within."""
    random = torch.Generator().manual_seed(4)
    x = torch.cat([torch.randn(20000, 1, generator=random) + m for m in (-1.5, 1.5)]).double()
    weights, bias, share = two_gaussians(x)
    assert abs(float(weights)) == pytest.approx(3, rel=0.05)
    assert (bias, share) == (pytest.approx(0, abs=0.1), pytest.approx(0.5, abs=0.02))


def test_mixture_of_several_channels() -> None:
    """Two clouds in seven dimensions, two of them constant: found, and told apart at every pixel."""
    random = torch.Generator().manual_seed(2)
    member = torch.rand(4000, generator=random) < 0.3
    x = torch.randn(4000, 7, generator=random).double() + 4 * member[:, None]
    x[:, 3:5] = 2.0
    weights, bias, share = two_gaussians(x)
    found = (x @ weights + bias).sigmoid() > 0.5
    assert bool((found == member).all()) or bool((found == ~member).all())
    assert min(share, 1 - share) == pytest.approx(float(member.double().mean()), abs=1e-3)


def test_fits_by_hand() -> None:
    random = torch.Generator().manual_seed(1)
    x = torch.cat([torch.randn(3000, 1, generator=random) - 3, torch.randn(1000, 1, generator=random) + 3]).double()
    weights, bias, share = two_gaussians(x)
    # Means -3 and 3, variance 1, odds 1/3: w = 6, b = log(1/3).
    assert abs(float(weights)) == pytest.approx(6, rel=0.1)
    assert min(share, 1 - share) == pytest.approx(0.25, abs=0.01)
    assert abs(bias) == pytest.approx(1.1, abs=0.3)
    weights, bias = logistic(
        torch.tensor([[-1.0], [1.0]]).double().repeat(50, 1), torch.tensor([False, True]).repeat(50)
    )
    assert float(weights) == pytest.approx(3.36, abs=0.01)  # separable, yet w = 100 sigmoid(-w) by the penalty
    assert bias == pytest.approx(0, abs=1e-6)


def test_read_outs_are_no_part_of_a_run() -> None:
    plain = identity(compose("train"))
    for more in (
        ["eval.post.channel=border"],
        ["eval.post.channel=clicks", "eval.post.clicks=c.csv"],
        ["eval/post=calibrated"],
        ["eval/post=channel_set"],
    ):
        assert identity(compose("train", more)) == plain
    assert "clicks" not in compose("train").eval.post  # so that numbers measured before there were clicks still hold
    with pytest.raises(ValueError, match="clicks"):
        compose("train", ["eval/post=prototype", "eval.post.clicks=c.csv"])
