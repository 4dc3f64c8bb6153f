"""The way of re-ranking from outputs to numbers: hand-made cases in which every wrong turn changes what comes out."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from seglab.checkpoint import save_weights
from seglab.metrics.pooled import pooled_metrics
from seglab.rerank import curve, learn, measure
from seglab.rerank.coarse_outputs import on_grid, probabilities
from seglab.rerank.images import Judged, Look, judge
from seglab.rerank.learn import Learned, Learner
from seglab.rerank.outcome import Outcome
from seglab.rerank.settings import RerankSettings

NAMES = ["background", "red"]


def judged(accuracy: list[float], distance_EM: list[list[float]], **more: Any) -> Judged:
    """An image of which only this is known; the label maps have 4 pixels."""
    accuracy_M = np.array(accuracy)
    counts_MKK = np.stack([np.diag([2, 2]) if a == 1 else np.array([[2, 0], [1, 1]]) for a in accuracy])
    truth_K, digest = np.array([0.5, 0.5]), b""
    return Judged(accuracy_M, counts_MKK, np.array([distance_EM], float), truth_K, digest, **more)


# What is learned


class Spy:
    """Stands for a ranking machine: remembers what it is given."""

    chosen_C = 1.0

    def __init__(self, C: float | None = None) -> None:
        self.features: list[np.ndarray] = []

    def fit(self, features: list[np.ndarray], accuracies: list[np.ndarray]) -> Spy:
        self.features = features
        return self

    def score(self, features_MD: np.ndarray) -> np.ndarray:
        self.features = [features_MD]
        return -np.arange(len(features_MD))


@pytest.mark.parametrize("best", [0, 1, 2])
def test_epsilon_is_the_one_whose_choices_are_most_accurate_and_features_are_of_it(
    monkeypatch: pytest.MonkeyPatch, best: int
) -> None:
    monkeypatch.setattr(learn, "RankingSvm", Spy)
    settings = RerankSettings(folds=2, rankers={"kl": "kl", "svm": ["network"]})
    learner = Learner(settings, (1e-4, 1e-2, 1e-1))
    distance_EM = [[0.0, 1.0]] * 3
    distance_EM[best] = [1.0, 0.0]
    network_EMD = np.broadcast_to(np.arange(3)[:, None, None], (3, 2, 6)).astype(np.float32)
    for fold in (0, 1):
        learner.add(judged([0.2, 1.0], distance_EM, network_EMD=network_EMD), fold=fold, image_F=None)
    learned = learner.learn(NAMES)
    assert learned.epsilon == (1e-4, 1e-2, 1e-1)[best]
    assert learned.told()["epsilon"] == learned.epsilon
    assert [set(one.ravel()) for one in learned.machines["svm"][0].features] == [{best}] * 2


def test_of_equally_good_epsilons_the_first_is_taken_and_nothing_to_learn_from_is_told() -> None:
    learner = Learner(RerankSettings(folds=2, rankers={"kl": "kl"}), (1e-4, 1e-2))
    with pytest.raises(ValueError, match=r"no training image has a labelled pixel.*eval\.rerank\.folds=0"):
        learner.learn(NAMES)
    learner.add(judged([0.2, 1.0], [[1.0, 0.0]] * 2), fold=0, image_F=None)
    assert learner.learn(NAMES).epsilon == 1e-4


class Watched:
    """Stands for the image classifiers: the number of an image is its only feature."""

    made: ClassVar[list[Watched]] = []

    def __init__(self) -> None:
        self.saw: list[int] = []
        self.judged: list[int] = []
        Watched.made.append(self)

    def fit(self, features_NF: np.ndarray, shares_NK: np.ndarray, *, names: list[str]) -> Watched:
        self.saw, self.shares_NK, self.names = features_NF[:, 0].astype(int).tolist(), shares_NK, list(names)
        self.thresholds = np.full((shares_NK.shape[1] - 1, 4), 0.5)
        return self

    def scores(self, features_NF: np.ndarray) -> np.ndarray:
        self.judged += features_NF[:, 0].astype(int).tolist()
        return np.ones((len(features_NF), 5 * (len(self.names) - 1)))


def watched(monkeypatch: pytest.MonkeyPatch, names: list[str], *, fold: list[int]) -> tuple[Learned, list[Watched]]:
    """What is learned from images 0, 1, ... of these folds, and all the classifiers that were fitted."""
    monkeypatch.setattr(learn, "RankingSvm", Spy)
    monkeypatch.setattr(learn, "Classification", Watched)
    monkeypatch.setattr(Watched, "made", [])
    settings = RerankSettings(folds=3, epsilon=0.01, rankers={"svm": ["classification"]})
    learner = Learner(settings, (0.01,))
    for n, one in enumerate(fold):
        image = judged([0.2, 1.0], [[1.0, 0.0]], shares_MK=np.array([[1.0, 0.0], [0.25, 0.75]]))
        learner.add(image, fold=one, image_F=np.array([float(n)]))
    return learner.learn(names), Watched.made


def test_a_training_image_is_judged_by_classifiers_of_the_other_folds_a_test_image_by_those_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fold = [0, 1, 2, 0, 1, 2, 2]
    learned, made = watched(monkeypatch, NAMES, fold=fold)
    assert sorted(n for one in made for n in one.judged) == list(range(7))
    for one in made:
        if one.judged:
            (left_out,) = {fold[n] for n in one.judged}
            assert one.saw == [n for n in range(7) if fold[n] != left_out]
    assert learned.classification.saw == list(range(7))


def test_classifiers_ask_for_class_0_where_it_is_no_background(monkeypatch: pytest.MonkeyPatch) -> None:
    with_it, _ = watched(monkeypatch, NAMES, fold=[0, 1])
    assert with_it.classification.names == NAMES
    without, _ = watched(monkeypatch, ["sky", "road"], fold=[0, 1])
    assert without.classification.names == ["background", "sky", "road"]
    np.testing.assert_array_equal(without.classification.shares_NK, [[0, 0.5, 0.5]] * 2)
    image = judged([0.2, 1.0], [[1.0, 0.0]], shares_MK=np.array([[1.0, 0.0], [0.25, 0.75]]))
    # Presence of either class, then four sizes of the first and four of the second, all of them a half here.
    found = without.groups(image, np.zeros(1))["classification"]
    np.testing.assert_array_equal(found, [[1, 0, *[1] * 4, *[0] * 4], [1, 1, *[0] * 4, *[1] * 4]])
    assert with_it.groups(image, np.zeros(1))["classification"].shape == (2, 5)


# From label maps to the choice on test images

CELLS, SIZE = 17, (40, 68)
SMALL = np.zeros(SIZE, np.uint8)  # wrong by a little in sixteen of seventeen cells
LARGE = np.zeros(SIZE, np.uint8)  # right but for one cell, which is quite wrong
LARGE[:8], LARGE[:, :4] = 1, 1
P_KGG = np.stack([np.array([[1.0] + [0.8] * 16]), np.array([[0.0] + [0.2] * 16])])


def photo(id: str, mask_HW: np.ndarray) -> SimpleNamespace:
    image_HW3 = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    return SimpleNamespace(id=id, read=lambda: (image_HW3, mask_HW))


def part_of(ids: list[str], mask_HW: np.ndarray, trunk_NF: np.ndarray | None = None) -> measure.Part:
    items = [photo(id, mask_HW) for id in ids]
    return measure.Part(SimpleNamespace(ids=ids), items, np.stack([P_KGG] * len(ids)), trunk_NF)


@pytest.fixture
def look_at(tmp_path: Path) -> Callable[..., Look]:
    """Proposals of six photos, LARGE first."""
    for id in ("a", "b", "c", "d", "e", "f"):
        (tmp_path / id).mkdir()
        for number, labels in enumerate((LARGE, SMALL)):
            Image.fromarray(labels).save(tmp_path / id / f"{number}.png")
    usual = {"epsilons": (1e-6, 1e-3, 1e-1), "background": 0.0, "upsampled": (20, 10.0)}
    return lambda **more: Look(store=str(tmp_path), part="test", classes=2, count=None, **(usual | more))


CFG = OmegaConf.create({"data": {"classes": NAMES}, "runtime": {"workers": 0, "progress": False}})


@pytest.mark.parametrize(("mask", "epsilon", "chosen"), [(LARGE, 1e-6, 0), (SMALL, 1e-1, 1)])
def test_test_images_are_ranked_by_the_epsilon_that_was_learned(
    look_at: Callable[..., Look], mask: np.ndarray, epsilon: float, chosen: int
) -> None:
    settings = RerankSettings(folds=2, rankers={"kl": "kl"})
    learned = measure.learn_from(part_of(["a", "b", "c"], mask), CFG, settings, look_at())
    assert learned.epsilon == epsilon
    outcome = measure.choose_on(part_of(["d"], mask), CFG, settings, look_at(), learned)
    assert [row["chosen_kl"] for row in outcome.rows] == [chosen]
    assert outcome.metrics()["miou_kl"] == 100
    assert outcome.found["epsilon"] == epsilon


def test_classifiers_look_at_the_trunk_features_of_the_very_image(
    look_at: Callable[..., Look], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learn, "RankingSvm", Spy)
    monkeypatch.setattr(learn, "Classification", Watched)
    monkeypatch.setattr(Watched, "made", [])
    settings = RerankSettings(folds=2, epsilon=0.01, rankers={"svm": ["classification"]})
    look = look_at(epsilons=(0.01,), groups=("classification",))
    train = part_of(["a", "b", "c", "d"], LARGE, np.array([[11.0], [12.0], [13.0], [14.0]]))
    learned = measure.learn_from(train, CFG, settings, look)
    assert learned.classification.saw == [11, 12, 13, 14]
    measure.choose_on(part_of(["e", "f"], LARGE, np.array([[21.0], [22.0]])), CFG, settings, look, learned)
    assert learned.classification.judged == [21, 22]


def test_the_background_term_decides_between_equally_distant_proposals(look_at: Callable[..., Look]) -> None:
    even = np.full((1, 2, 1, CELLS), 0.5)
    flat = np.stack([np.zeros(SIZE, np.uint8), np.ones(SIZE, np.uint8)])
    look = look_at(epsilons=(0.01,), background=0.02, upsampled=None)
    for number, labels in enumerate(flat):
        Image.fromarray(labels).save(Path(look.store) / "a" / f"{number}.png")
    found = judge(look, photo("a", LARGE), even)
    x = 1.01 / 1.02
    both = CELLS * ((0.5 - x) * log(0.5 / x) + (x - 0.5) * log(0.5 / (1 - x)))
    np.testing.assert_allclose(found.distance_TEM[0, 0], [both + 0.02 * CELLS, both])


def test_random_counts_what_a_proposal_has_on_the_mean() -> None:
    image = judged([1.0, 0.5, 0.5], [[0.0, 1.0, 2.0]])
    image.upsampled = {"naive": np.eye(2)[None], "superpixel": np.eye(2)}
    outcome = Outcome(NAMES, ["kl"], found={})
    for index in range(2):
        outcome.add(index, image, {"kl": 1})
    np.testing.assert_allclose(outcome.matrices["random"], 2 / 3 * np.array([[6, 0], [2, 4]]))
    np.testing.assert_array_equal(outcome.matrices["kl"], 2 * np.array([[2, 0], [1, 1]]))
    assert outcome.rows[0]["accuracy_random"] == pytest.approx(100 * 2 / 3)


# Outputs of networks


def test_outputs_are_the_softmax_over_the_classes_in_the_order_of_the_images() -> None:
    logits = torch.randn(3, 4, 13, 13, generator=torch.Generator().manual_seed(0)) * 3
    batches = [({"index": torch.tensor([2, 0])}, logits[[2, 0]]), ({"index": torch.tensor([1])}, logits[[1]])]
    found = probabilities(SimpleNamespace(logits=lambda dataset, desc: batches), None, grid=13, desc="x")
    powers = np.exp(logits.numpy().astype(float))
    np.testing.assert_allclose(found, powers / powers.sum(1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("length", [14, 15, 19, 25, 26, 40])
def test_finer_outputs_are_averaged_by_the_area_of_overlap(length: int) -> None:
    probs = np.random.default_rng(length).dirichlet(np.ones(3), (1, length, 16)).transpose(0, 3, 1, 2)
    # Cut so finely that no piece lies in two cells; then a cell is the mean of its pieces.
    pieces = probs.repeat(13, 2).repeat(13, 3)
    exact = pieces.reshape(1, 3, 13, length, 13, 16).mean((3, 5))
    found = on_grid(torch.from_numpy(probs), 13)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), exact, atol=1e-7)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)


def test_the_curve_takes_the_nearest_proposal_at_every_snapshot() -> None:
    outcome = curve.CurveOutcome(np.array([10, 20, 30]), 2, epsilon=0.01)
    naive = np.stack([np.diag([1, 1]), np.array([[1, 0], [1, 0]]), np.diag([1, 1])])
    image = judged([1.0, 0.4, 0.4], [[0.0, 0.0, 0.0]], upsampled={"naive": naive})
    image.distance_TEM = np.array([[[2, 1, 3]], [[1, 2, 3]], [[3, 2, 1]]], float)
    outcome.add(0, image)
    outcome.finish()
    wrong = pooled_metrics(np.array([[2, 0], [1, 1]]), beta2=1.0)["miou"]
    curves = outcome.curves()
    assert curves["miou_kl"].tolist() == pytest.approx([wrong, 100, wrong])
    assert curves["miou_naive"].tolist() == pytest.approx([100, 25, 100])
    assert outcome.rows == [{"index": 0, "chosen_kl": 2, "accuracy_kl": 40.0}]


def test_every_snapshot_judges_with_its_own_weights_and_the_network_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = torch.nn.Conv2d(1, 1, 1, bias=False)
    before = model.weight.detach().clone()
    found = []
    for step in (1, 2, 3):
        save_weights(tmp_path / f"{step}.safetensors", {"weight": torch.full((1, 1, 1, 1), float(step))})
        found.append((step, tmp_path / f"{step}.safetensors"))

    def says(evaluator: Any, run: Any, dataset: Any, *, weights: Path, **_: Any) -> np.ndarray:
        assert float(weights.stem) == evaluator.model.weight.item()  # what is kept is named by the file
        return np.full((1, 2, 1, 1), evaluator.model.weight.item())

    monkeypatch.setattr(curve, "own_outputs", says)
    probs_TNKGG = curve.outputs_at(found, SimpleNamespace(model=model), None, None, name="x", grid=13)
    assert probs_TNKGG[:, 0, 0, 0, 0].tolist() == [1, 2, 3]
    torch.testing.assert_close(model.weight.detach(), before)
