"""Re-ranking image by image: who is chosen, what is counted, what is learned, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from seglab.coarse import class_shares
from seglab.metrics.pooled import confusion_matrix, pooled_metrics
from seglab.rerank.coarse_outputs import has_shared_trunk, kept, on_grid, trunk_features
from seglab.rerank.images import Look, judge, judge_all
from seglab.rerank.learn import Learned, Learner, epsilons_of
from seglab.rerank.outcome import Outcome
from seglab.rerank.settings import RerankSettings

K, SIZE, GRID = 3, (40, 56), (5, 7)
KL = RerankSettings(folds=0, rankers={"kl": "kl"})


class Item:
    """An image with its mask in memory."""

    def __init__(self, id: str, image: np.ndarray, mask: np.ndarray) -> None:
        self.id, self.image, self.mask = id, image, mask

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        return self.image, self.mask


def scene(number: int) -> Item:
    """A grey photo with one rectangle of class 1 or 2; every third is background everywhere."""
    rng = np.random.default_rng(number)
    mask = np.zeros(SIZE, np.uint8)
    if number % 3:
        top, left = rng.integers(0, 20, 2)
        mask[top : top + 16, left : left + 24] = number % 3
    image = np.repeat((60 + 70 * mask + rng.integers(0, 20, SIZE)).astype(np.uint8)[..., None], 3, 2)
    return Item(f"photo{number}", image, mask)


def write_maps(folder: Path, item: Item, maps: list[np.ndarray]) -> None:
    (folder / item.id).mkdir(parents=True)
    for number, labels in enumerate(maps):
        Image.fromarray(labels.astype(np.uint8)).save(folder / item.id / f"{number}.png")


def wrong(item: Item) -> list[np.ndarray]:
    """Two label maps that are worse than the mask."""
    return [
        np.full(SIZE, 2, np.uint8),
        np.where(np.arange(SIZE[1]) < 28, 1, 0).astype(np.uint8) + np.zeros_like(item.mask),
    ]


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    """Six photos, the true mask among the proposals at another place in each."""
    found = [scene(number) for number in range(6)]
    for number, item in enumerate(found):
        maps = wrong(item)
        maps.insert(number % 3, item.mask)
        write_maps(tmp_path / "maps", item, maps)
    return found


@pytest.fixture
def look(tmp_path: Path) -> Look:
    return Look(
        store=str(tmp_path / "maps"), part="test", classes=K, count=None, epsilons=(1e-3,), background=0.02,
        upsampled=(20, 10.0), cache=str(tmp_path / "cache"),
    )  # fmt: skip


def perfect(item: Item) -> np.ndarray:
    return class_shares(item.mask, classes=K, grid=GRID)[0][None]


def outcome_of(look: Look, items: list[Item], settings: RerankSettings = KL) -> Outcome:
    outcome, learned = Outcome(["background", "red", "blue"], ["kl"], found={}), Learned(look.epsilons[0])
    for place, image in judge_all(look, items, lambda n: perfect(items[n]), workers=0):
        if image is not None:
            outcome.add(place, image, learned.choices(image, settings, image_F=None))
    return outcome.finish()


def test_a_perfect_network_finds_the_true_map_and_so_does_the_oracle(look: Look, items: list[Item]) -> None:
    outcome = outcome_of(look, items)
    values = outcome.metrics()
    assert values["miou_kl"] == values["miou_oracle"] == values["kl_accuracy"] == values["oracle_accuracy"] == 100
    assert [row["chosen_kl"] for row in outcome.rows] == [0, 1, 2, 0, 1, 2]
    taken = [item.mask if n % 3 == 0 else wrong(item)[0] for n, item in enumerate(items)]
    first = sum(confusion_matrix(labels, item.mask, classes=K) for labels, item in zip(taken, items, strict=True))
    assert values["miou_first"] == pytest.approx(pooled_metrics(first, beta2=1)["miou"])
    assert values["miou_first"] < values["miou_oracle"]
    assert 0 < values["miou_naive"] < 100
    assert values["miou_random"] == pytest.approx(pooled_metrics(outcome.matrices["random"], beta2=1)["miou"])
    assert outcome.matrices["random"].sum() == pytest.approx(6 * 40 * 56)


def test_the_oracle_rises_with_the_number_of_proposals(look: Look, items: list[Item]) -> None:
    curves = outcome_of(look, items).curves()
    assert list(curves) == ["m", "miou_oracle", "accuracy_oracle"]
    assert curves["m"].tolist() == [1, 2, 3]
    assert (np.diff(curves["accuracy_oracle"]) >= 0).all()
    assert curves["miou_oracle"][-1] == 100


def test_images_may_have_different_numbers_of_proposals(look: Look, items: list[Item], tmp_path: Path) -> None:
    single = scene(7)
    write_maps(tmp_path / "maps", single, [wrong(single)[0]])
    both = outcome_of(look, [single, *items]), outcome_of(look, [*items, single])
    for outcome in both:
        assert outcome.curves()["m"].tolist() == [1, 2, 3]
        assert outcome.oracle_MKK.sum((1, 2)).tolist() == [7 * 40 * 56] * 3
    np.testing.assert_array_equal(both[0].oracle_MKK, both[1].oracle_MKK)
    assert both[0].metrics()["miou_oracle"] == pytest.approx(both[0].curves()["miou_oracle"][-1])
    assert outcome_of(look, [single]).metrics()["miou_kl"] == outcome_of(look, [single]).metrics()["miou_first"]


def test_an_image_without_labels_is_left_out_and_a_set_of_them_is_refused(look: Look, items: list[Item]) -> None:
    items[1].mask = np.full(SIZE, 255, np.uint8)
    assert [row["index"] for row in outcome_of(look, items).rows] == [0, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="no image was scored"):
        outcome_of(look, [items[1]])


def test_what_does_not_fit_is_refused(look: Look, items: list[Item], tmp_path: Path) -> None:
    p = perfect(items[0])
    with pytest.raises(ValueError, match=r"eval\.rerank\.count=4: the image 'photo0' has 3 proposals"):
        judge(replace(look, count=4), items[0], p)
    assert len(judge(replace(look, count=2), items[0], p).accuracy_M) == 2
    write_maps(tmp_path / "maps", Item("small", items[0].image, items[0].mask), [np.zeros((8, 8))])
    with pytest.raises(ValueError, match=r"small/0\.png' have 8 x 8 pixels.*expected those of the image, 56 x 40"):
        judge(look, Item("small", items[0].image, items[0].mask), p)
    with pytest.raises(ValueError, match="none for the image 'nowhere'"):
        judge(look, Item("nowhere", items[0].image, items[0].mask), p)
    write_maps(tmp_path / "maps", Item("odd", items[0].image, items[0].mask), [np.full(SIZE, 9)])
    with pytest.raises(ValueError, match=r"hold the labels \[9\]"):
        judge(look, Item("odd", items[0].image, items[0].mask), p)


def test_features_are_read_from_their_file_and_never_stale(look: Look, items: list[Item], tmp_path: Path) -> None:
    wanted = replace(look, groups=("network", "classification", "proposal"), filters=True)
    p = perfect(items[1])
    first = judge(wanted, items[1], p)
    files = list((tmp_path / "cache").rglob("*.npz"))
    assert len(files) == 1
    again = judge(wanted, items[1], p)
    np.testing.assert_array_equal(first.proposal_MD, again.proposal_MD)
    np.testing.assert_array_equal(first.image_F, again.image_F)
    files[0].write_bytes(b"half")
    np.testing.assert_array_equal(judge(wanted, items[1], p).proposal_MD, first.proposal_MD)
    Image.fromarray(wrong(items[1])[1]).save(tmp_path / "maps/photo1/0.png")  # somebody changed a proposal
    changed = judge(wanted, items[1], p)
    assert not np.array_equal(changed.proposal_MD, first.proposal_MD)
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 2


def test_rankers_learn_what_the_network_knows(look: Look, items: list[Item]) -> None:
    settings = RerankSettings(folds=2, C=1.0, rankers={"kl": "kl", "svm": ["network", "classification", "proposal"]})
    wanted = replace(look, groups=settings.groups(), filters=True, epsilons=epsilons_of(settings))
    learner = Learner(settings, wanted.epsilons)
    for place, image in judge_all(wanted, items, lambda n: perfect(items[n]), workers=0):
        learner.add(image, fold=place % 2, image_F=None)
    learned = learner.learn(["background", "red", "blue"])
    assert learned.epsilon in wanted.epsilons
    now = replace(wanted, epsilons=(learned.epsilon,))
    for place, image in judge_all(now, items, lambda n: perfect(items[n]), workers=0):
        assert learned.choices(image, settings, image_F=image.image_F) == {"kl": place % 3, "svm": place % 3}
    assert set(learned.told()) == {"epsilon", "C"}


def test_several_outputs_of_one_image_are_judged_at_once(look: Look, items: list[Item]) -> None:
    even = np.full((1, K, *GRID), 1 / K)
    image = judge(look, items[2], np.concatenate([even, perfect(items[2])]))
    assert image.distance_TEM.shape == (2, 1, 3)
    assert image.distance_TEM[1, 0].argmin() == 2
    assert image.upsampled["naive"].shape == (2, K, K)


def test_finer_outputs_are_averaged_onto_the_grid() -> None:
    probs = torch.rand(2, 3, 26, 13, dtype=torch.float64)
    found = on_grid(probs, 13)
    assert found.shape == (2, 3, 13, 13)
    torch.testing.assert_close(found, ((probs[:, :, ::2] + probs[:, :, 1::2]) / 2).float())
    assert on_grid(probs[:, :, :4, :5], 13).shape == (2, 3, 4, 5)
    odd = on_grid(torch.ones(1, 2, 30, 17) / 2, 13)
    torch.testing.assert_close(odd, torch.full((1, 2, 13, 13), 0.5))


def test_what_is_kept_is_made_once_and_again_where_it_is_damaged(tmp_path: Path) -> None:
    calls = []
    path = tmp_path / "x" / "a.npz"

    def make() -> np.ndarray:
        calls.append(1)
        return np.arange(3.0)

    for _ in range(2):
        np.testing.assert_array_equal(kept(path, make), np.arange(3.0))
    assert len(calls) == 1
    path.write_bytes(path.read_bytes()[:40])
    np.testing.assert_array_equal(kept(path, make), np.arange(3.0))
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("count", 0), ("grid", 0), ("epsilon", 0), ("epsilon", "much"), ("background", -1), ("folds", 1),
        ("folds", True), ("C", 0), ("rankers", {}), ("rankers", {"oracle": "kl"}), ("rankers", {"svm": []}),
        ("rankers", {"svm": ["colour"]}), ("rankers", {"svm": ["network", "network"]}),
    ],
)  # fmt: skip
def test_a_setting_outside_its_range_is_named(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"eval\.rerank\.{key}"):
        RerankSettings(**{"rankers": {"kl": "kl"}, key: value})


def test_without_folds_nothing_is_learned() -> None:
    settings = RerankSettings(folds=0, rankers={"kl": "kl", "svm": ["proposal", "network"]})
    assert (settings.learners(), settings.groups(), settings.needs_training_images) == ({}, (), False)
    assert epsilons_of(settings) == (0.001,)
    assert replace(settings, folds=2).learners() == {"svm": ("network", "proposal")}
    assert not replace(settings, folds=2, epsilon=0.1, rankers={"kl": "kl"}).needs_training_images


def test_a_long_line_of_the_log_leaves_out_single_classes() -> None:
    from seglab.words import told

    assert told({"miou": 1.0, "iou_cow": 2.0}) == "miou 1.0000  iou_cow 2.0000"
    assert told({"miou_kl": 1.0, **{f"iou_kl_{k}": 1.0 for k in range(50)}}) == "miou_kl 1.0000"


def test_features_of_a_fixed_trunk_are_means_and_largest_values() -> None:
    class Model(torch.nn.Module):
        frozen = True

        def features(self, image: torch.Tensor) -> torch.Tensor:
            return image.float()

    images = torch.arange(24).reshape(2, 3, 2, 2)
    batches = [{"image": images[i : i + 1], "index": torch.tensor([i])} for i in (1, 0)]
    evaluator = SimpleNamespace(model=Model(), device=torch.device("cpu"), batches=lambda dataset, desc: batches)
    found = trunk_features(evaluator, None, desc="x")
    np.testing.assert_allclose(found[0], [1.5, 5.5, 9.5, 3, 7, 11])
    assert found.shape == (2, 6)
    assert has_shared_trunk(evaluator.model)
    assert not has_shared_trunk(torch.nn.Conv2d(1, 1, 1))
