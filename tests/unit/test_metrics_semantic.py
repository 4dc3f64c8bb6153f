"""Mean IoU over classes against scikit-learn; classes from scores and from embeddings; what does not fit together."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch.nn import functional as F

from seglab.config import compose
from seglab.data.palette import class_palette, in_class_colours
from seglab.evaluator import read_out
from seglab.metrics.pooled import Pooled
from seglab.metrics.semantic import SemanticMetrics
from seglab.post import classes as classes_module
from seglab.post.class_prototypes import ClassPrototypes
from seglab.post.classes import Classes, largest

NAMES = ["background", "cow", "bus", "cat", "sofa"]
VOC = Pooled(name="voc_miou", classes=5)


def drawn(images: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes 0, 1, 2 in the masks, 0 to 3 in the predictions, 4 in neither."""
    generator = torch.Generator().manual_seed(1)
    masks = torch.randint(0, 3, (images, 8, 6), generator=generator)
    found = torch.where(torch.rand(images, 8, 6, generator=generator) < 0.6, masks, 3)
    masks[torch.rand(images, 8, 6, generator=generator) < 0.2] = 255
    return found, masks


def filled() -> SemanticMetrics:
    found, masks = drawn()
    metric = SemanticMetrics(VOC, classes=NAMES)
    metric.update(found[3:], masks[3:], [3, 4])
    metric.update(found[:3], masks[:3], torch.arange(3))
    return metric


def test_mean_iou_leaves_out_what_is_nowhere_and_counts_what_is_only_found() -> None:
    found, masks = drawn()
    valid = masks != 255
    iou = 100 * sk.jaccard_score(masks[valid], found[valid], average=None, labels=range(4))
    assert iou[3] == 0
    values = filled().compute()
    assert values["miou"] == pytest.approx(iou.mean(), abs=1e-9)
    assert [values[f"iou_{name}"] for name in NAMES[:4]] == pytest.approx(iou, abs=1e-9)
    assert math.isnan(values["iou_sofa"])
    assert values["accuracy"] == pytest.approx(100 * sk.accuracy_score(masks[valid], found[valid]), abs=1e-9)
    assert list(values)[:2] == ["miou", "accuracy"]


def test_rows_are_those_of_each_image_alone() -> None:
    found, masks = drawn()
    rows = filled().rows()
    for i, row in enumerate(rows):
        valid = masks[i] != 255
        there = np.union1d(masks[i][valid], found[i][valid])
        iou = 100 * sk.jaccard_score(masks[i][valid], found[i][valid], average=None, labels=there)
        assert row == pytest.approx({"index": i, "miou": iou.mean(), "accuracy": row["accuracy"]})


def test_names_and_protocols_that_do_not_fit_are_refused() -> None:
    for names in (NAMES[:4], [*NAMES[:4], "cow"]):
        with pytest.raises(ValueError, match=r"data\.classes"):
            SemanticMetrics(VOC, classes=names)
    with pytest.raises(ValueError, match="expected voc_miou"):
        SemanticMetrics(Pooled(name="regularized_paper"), classes=NAMES)
    with pytest.raises(ValueError, match="outputs with values"):
        SemanticMetrics(VOC, classes=NAMES).update(torch.full((1, 2, 2), 5), torch.zeros(1, 2, 2).long(), [0])


def test_scores_are_resized_before_the_largest_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.randn(6, 5, 5, generator=torch.Generator().manual_seed(2))
    expected = F.interpolate(scores[None], (11, 23), mode="bilinear", align_corners=False)[0].argmax(0)
    assert torch.equal(Classes().at_size(scores, (11, 23)), expected)
    stairs = F.interpolate(scores.argmax(0)[None, None].float(), (11, 23), mode="nearest-exact")[0, 0].long()
    assert not torch.equal(expected, stairs)
    for planes in (1, 2 * 11 * 23, 5 * 11 * 23):  # a few classes at a time, as for a large photo
        monkeypatch.setattr(classes_module, "_PLANES", planes)
        assert torch.equal(largest(scores, (11, 23)), expected)
    assert torch.equal(largest(torch.zeros(3, 2, 2), (4, 4)), torch.zeros(4, 4).long())
    assert torch.equal(Classes()(scores[None])[0], scores.argmax(0))


def test_scores_that_are_none_are_told() -> None:
    with pytest.raises(ValueError, match="2 channels or more"):
        Classes()(torch.zeros(1, 1, 4, 4))
    with pytest.raises(ValueError, match="NaN"):
        Classes()(torch.full((1, 2, 4, 4), float("nan")))


@pytest.mark.parametrize("unit_norm", [False, True])
def test_embeddings_take_the_class_of_the_nearest_prototype(unit_norm: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    centres = F.normalize(torch.randn(4, 6, generator=generator), dim=1)
    masks = torch.randint(0, 3, (4, 9, 9), generator=generator)
    embedding = centres[masks].movedim(-1, 1) + 0.02 * torch.randn(4, 6, 9, 9, generator=generator)
    shown = masks.clone()
    shown[:, :2] = 255
    post = ClassPrototypes(classes=4, unit_norm=unit_norm)
    assert post.needs_fit
    post.update(embedding[:1], shown[:1])
    post.update(embedding[1:], shown[1:])
    post.finish()
    assert torch.equal(post(embedding), masks)
    assert torch.equal(post.at_size(embedding[0], (9, 9)), masks[0])
    assert post.state()["prototypes"][3] is None
    again = ClassPrototypes(classes=4, unit_norm=unit_norm)
    again.load(post.state())
    assert torch.equal(again(-embedding), post(-embedding))
    assert int(again(-embedding).max()) < 3  # the class that nobody showed is never found
    direct = torch.cdist(post._embedding(embedding).movedim(1, -1).flatten(0, 2).double(), post.prototypes_KD[:3])
    assert torch.equal(direct.argmin(1), post(embedding).flatten())


def test_prototypes_that_cannot_be_had_are_told() -> None:
    post = ClassPrototypes(classes=3)
    with pytest.raises(ValueError, match="without validation images"):
        post.finish()
    with pytest.raises(ValueError, match="masks with values"):
        post.update(torch.zeros(1, 2, 4, 4), torch.full((1, 4, 4), 3))
    post.update(torch.zeros(1, 2, 4, 4), torch.ones(1, 4, 4).long())
    with pytest.raises(ValueError, match="fewer than two classes"):
        post.finish()
    with pytest.raises(ValueError, match="without 3 prototypes"):
        ClassPrototypes(classes=3).load({"prototypes": [[0.0], [1.0]]})


def test_wrong_pairs_of_read_out_and_task_are_refused() -> None:
    with pytest.raises(ValueError, match=r"gives maps, and eval\.task=semantic is scored on classes: expected classes"):
        read_out(compose("train", ["data=fabrics", "loss=ce", "eval/post=channel"]))
    with pytest.raises(ValueError, match=r"gives regions, and eval\.task=semantic is scored on classes"):
        read_out(compose("train", ["data=fabrics", "loss=ce", "eval/post=kmeans"]))
    with pytest.raises(ValueError, match=r"gives classes, and eval\.task=saliency is scored on maps: .*eval=semantic"):
        read_out(compose("train", ["loss=ce", "eval/post=classes"]))
    with pytest.raises(ValueError, match=r"gives classes, and eval\.task=regions is scored on regions"):
        read_out(compose("train", ["loss=ce", "eval=regions", "eval/post=classes"]))


def test_classes_that_do_not_fit_are_refused() -> None:
    assert read_out(compose("train", ["data=fabrics", "loss=ce"])).gives == "classes"
    with pytest.raises(ValueError, match=r"it has 7 classes, and the network has model\.channels=5"):
        read_out(compose("train", ["data=fabrics", "loss=ce", "model.channels=5"]))
    with pytest.raises(ValueError, match=r"the classes of data=camvid_semantic are .*, those of data=fabrics"):
        read_out(compose("train", ["data=fabrics", "loss=ce", "eval.sets=[self,camvid_semantic]"]))
    with pytest.raises(ValueError, match=r"the classes of data=sod are \[\]"):
        read_out(compose("train", ["data=fabrics", "loss=ce", "eval.sets=[sod]"]))


def test_a_loss_on_embeddings_meets_classes() -> None:
    cfg = compose("train", ["data=fabrics", "loss=triplet"])
    post = read_out(cfg)
    assert (type(post), post.classes, post.unit_norm) == (ClassPrototypes, 7, cfg.eval.descriptor.unit_norm)


def test_data_without_classes_are_told() -> None:
    with pytest.raises(Exception, match=r"data\.classes=None: expected a list; data=shapes has none"):
        _ = compose("train", ["eval=semantic"]).model.channels


def test_the_palette_is_that_of_pascal_voc() -> None:
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128)}
    assert {k: tuple(class_palette()[k].tolist()) for k in known} == known
    assert tuple(class_palette()[255].tolist()) == (224, 224, 192)
    assert in_class_colours(np.array([[0, 255]])).tolist() == [[[0, 0, 0], [224, 224, 192]]]
