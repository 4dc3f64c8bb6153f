"""Pixels drawn from regions: only labelled ones, evenly, from each region, whatever its name and its neighbours."""

import numpy as np
import pytest
import torch

from seglab.losses.sampling import draw_samples, take


def scene(B, N, H, W, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, N, (B, H, W), generator=generator)
    labels[torch.rand(B, H, W, generator=generator) < 0.2] = 255
    return labels


def draw(labels, samples, *, seed=0, **options):
    return draw_samples(labels, samples, generator=torch.Generator().manual_seed(seed), **options)


def test_every_region_gives_pixels_of_its_own_and_no_ignored_one():
    labels = scene(4, 6, 13, 11)
    labels[1][labels[1] != 255] = 254
    labels[2] = 255
    drawn = draw(labels, 5)
    assert drawn.pixel_BRD.shape == (4, 6, 5)
    for b in range(4):
        rows = labels[b].flatten()[drawn.pixel_BRD[b]][drawn.present_BR[b]]
        assert (rows == rows[:, :1]).all()
        assert sorted(rows[:, 0].tolist()) == [int(v) for v in labels[b].unique() if v != 255]
        present = drawn.present_BR[b]
        assert (present[:-1] >= present[1:]).all()  # regions first


def test_no_pixel_twice_where_there_is_room_and_all_of_a_small_region():
    labels = torch.zeros(1, 40, 50, dtype=torch.int64)
    labels[0, 3, 4:7] = 9
    for seed in range(20):
        drawn = draw(labels, 4, seed=seed)
        assert len(set(drawn.pixel_BRD[0, 0].tolist())) == 4
        assert set(drawn.pixel_BRD[0, 1].tolist()) <= {154, 155, 156}
    assert set(draw(labels, 6).pixel_BRD[0, 1].tolist()) == {154, 155, 156}


def test_every_pixel_of_a_region_is_as_likely_as_the_others():
    labels = torch.full((1, 1, 20), 255)
    labels[0, 0, 3:16] = 1  # 13 pixels, 5 drawn: parts do not fall on whole pixels
    counts = np.zeros(20)
    for seed in range(4000):
        np.add.at(counts, draw(labels, 5, seed=seed).pixel_BRD.flatten().numpy(), 1)
    expected = 4000 * 5 / 13
    assert (counts[:3] == 0).all()
    assert (counts[16:] == 0).all()
    assert (abs(counts[3:16] - expected) < 5 * np.sqrt(expected)).all()


def test_one_region_or_none_and_one_row_of_points():
    drawn = draw(torch.full((2, 3, 3), 255), 4)
    assert drawn.pixel_BRD.shape == (2, 1, 4)
    assert not drawn.present_BR.any()
    points = torch.cat([torch.zeros(1, 1, 10000), torch.ones(1, 1, 10)], 2).long()
    drawn = draw(points, 8)
    assert (drawn.pixel_BRD[0, 0] < 10000).all()
    assert (drawn.pixel_BRD[0, 1] >= 10000).all()


def test_the_draw_knows_neither_names_nor_neighbours():
    labels = scene(5, 7, 20, 15)
    drawn = draw(labels, 6)
    names = torch.cat([torch.randperm(255, generator=torch.Generator().manual_seed(1))[:7], torch.full((249,), 255)])
    renamed = draw(names[labels], 6)
    assert torch.equal(renamed.pixel_BRD, drawn.pixel_BRD)
    order = torch.tensor([3, 1, 4, 0, 2])
    assert torch.equal(draw(labels[order], 6).pixel_BRD, drawn.pixel_BRD[order])
    assert torch.equal(draw(labels[2:3], 6).pixel_BRD, drawn.pixel_BRD[2:3])


def test_seeded_by_torch_or_by_a_generator():
    labels = scene(2, 3, 30, 30)
    torch.manual_seed(7)
    one = draw_samples(labels, 4)
    other = draw_samples(labels, 4)
    torch.manual_seed(7)
    again = draw_samples(labels, 4)
    assert torch.equal(one.pixel_BRD, again.pixel_BRD)
    assert not torch.equal(one.pixel_BRD, other.pixel_BRD)
    before = torch.get_rng_state()
    draw(labels, 4)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("regions", [None, 3])
def test_off_the_cpu_the_same_pixels_in_more_rows(monkeypatch, regions):
    labels = scene(3, 6, 12, 12)
    drawn = draw(labels, 4, regions=regions)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    wide = draw(labels, 4, regions=regions)
    rows = drawn.present_BR.shape[1]
    assert wide.present_BR.shape[1] == (regions or 255)
    assert torch.equal(wide.pixel_BRD[:, :rows], drawn.pixel_BRD)
    assert torch.equal(wide.present_BR[:, :rows], drawn.present_BR)
    assert not wide.present_BR[:, rows:].any()


def test_a_few_regions_of_many_take_turns():
    labels = torch.arange(40).repeat(2, 6, 1)
    labels[1] = labels[1] % 2
    met = set()
    for seed in range(60):
        drawn = draw(labels, 2, regions=5, seed=seed)
        assert drawn.present_BR.tolist() == [[True] * 5, [True, True, False, False, False]]
        rows = labels[0].flatten()[drawn.pixel_BRD[0]][:, 0].tolist()
        assert len(set(rows)) == 5
        met |= set(rows)
    assert len(met) == 40


def test_values_are_taken_from_any_layout_and_give_gradients_back():
    labels = scene(3, 4, 9, 8)
    labels[2] = labels[2].clamp(max=1)
    values = torch.randn(3, 5, 9, 8)
    drawn = draw(labels, 3)
    flat = values.flatten(2).gather(2, drawn.pixel_BRD.flatten(1)[:, None].expand(-1, 5, -1)).transpose(1, 2)
    expected = flat.view(3, 4, 3, 5) * drawn.present_BR[..., None, None]
    for layout in (values, values.to(memory_format=torch.channels_last), values.mT.contiguous().mT):
        leaf = layout.detach().requires_grad_()
        taken = take(leaf, drawn)
        assert torch.equal(taken, expected)
        taken.sum().backward()
        assert leaf.grad.sum() == 5 * 3 * drawn.present_BR.sum()
        assert (leaf.grad.permute(0, 2, 3, 1)[labels == 255] == 0).all()
    assert take(values.half(), drawn).dtype == torch.float32


def test_values_of_ignored_pixels_do_not_matter():
    labels = scene(2, 2, 6, 6)
    labels[:, 0, 0] = 255
    labels[1] = torch.where(labels[1] == 255, 255, 0)
    values = torch.randn(2, 3, 6, 6)
    values.permute(0, 2, 3, 1)[labels == 255] = float("nan")
    assert take(values, draw(labels, 4)).isfinite().all()


@pytest.mark.parametrize("wrong", [0, -3, 2.5, True, None])
def test_wrong_numbers_are_named(wrong):
    with pytest.raises(ValueError, match=rf"loss\.samples={wrong}: expected a whole number"):
        draw_samples(torch.zeros(1, 2, 2, dtype=torch.int64), wrong)
    if wrong is not None:
        with pytest.raises(ValueError, match=rf"loss\.regions={wrong}"):
            draw_samples(torch.zeros(1, 2, 2, dtype=torch.int64), 2, regions=wrong)
