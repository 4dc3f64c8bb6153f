"""The name of changed masks: another one whenever the masks may be others."""

from __future__ import annotations

import numpy as np
import pytest

from seglab.data.arrays import ArrayDataset
from seglab.data.noise import Ambiguous, Boundary, Drop, Region
from seglab.data.noise.store import RULE, changed_masks

NOISES = {
    **{kind: Boundary(rate=1.0, kind=kind, size=0.2) for kind in ("dilate", "erode", "polygonise")},
    **{kind: Region(rate=1.0, kind=kind) for kind in ("merge", "split")},
    **{f"many {kind}": Region(rate=1.0, kind=kind) for kind in ("merge", "split", "permute")},
    "drop": Drop(rate=1.0),
    "ambiguous": Ambiguous(rate=0.3),
    "many ambiguous": Ambiguous(rate=0.3),
}
PAIR = np.zeros((48, 64), np.uint8)
PAIR[6:30, 5:25] = PAIR[20:44, 36:60] = 1
PAIR[6:12, 5:12] = 0
MANY = PAIR * (1 + np.arange(64, dtype=np.uint8) // 32)
MANY[44:] = 3


def test_whatever_decides_about_the_masks_is_in_their_name() -> None:
    masks = np.stack([PAIR, MANY % 2, PAIR, MANY % 2])
    images = np.zeros((4, 3, 48, 64), np.uint8)

    def name(*, noise=NOISES["drop"], ids="abcd", masks=masks, chosen=(1, 1, 0, 0), counts=None, **options) -> str:
        n = len(ids)
        data = ArrayDataset(images[:n], masks, list(ids), [None] * n, counts=counts)
        return changed_masks(data, np.array(chosen[:n], dtype=bool), noise, **options).content

    others = [
        name(),
        name(ids="abce"),
        name(ids="bacd"),
        name(masks=masks[::-1]),
        name(chosen=(1, 0, 1, 0)),
        name(chosen=(1, 1, 1, 0)),
        name(classes=0),
        name(classes=3),
        name(classes=3, background=0),
        name(ids="abc", counts=[2, 1, 1]),
        name(noise=Drop(rate=0.5)),
        name(noise=Drop(rate=1.0, seed=1)),
        name(noise=Drop(rate=1.0, share=0.6)),
        name(noise=Drop(rate=1.0, smallest=0.1)),
        name(noise=Drop(rate=1.0, keep_one=True)),
        *(name(noise=noise) for key, noise in NOISES.items() if "many" not in key and key != "drop"),
        name(noise=Ambiguous(rate=0.3, width=None)),
        name(noise=Ambiguous(rate=0.3, grain=0)),
        name(noise=Ambiguous(rate=0.3, ceiling=0.6)),
        name(noise=Region(rate=1.0, kind="split", size=0.2)),
        name(noise=Region(rate=1.0, kind="split", share=0.2)),
    ]
    assert name() == others[0]
    assert len(set(others)) == len(others)


PINNED = {
    "dilate": [1376, 23.17, 29.71],
    "erode": [802, 25.39, 32.57],
    "polygonise": [79, 16.81, 11.38],
    "merge": [119, 34.40, 31.61],
    "split": [119, 40.97, 48.01],
    "many merge": [438, 18.36, 15.12],
    "many split": [488, 36.81, 17.27],
    "many permute": [694, 28.37, 21.16],
    "drop": [438, 18.36, 15.12],
    "ambiguous": [922, 26.49, 34.15],
    "many ambiguous": [922, 27.64, 32.92],
}


@pytest.mark.parametrize("name", PINNED)
def test_a_noise_that_changes_masks_in_another_way_has_another_rule(name) -> None:
    """Where this fails after a change on purpose: raise RULE in store.py (old files must not be read), then write anew.

    Numbers of the wrong pixels, their mean row and column; rounding of another machine may move single pixels.
    """
    assert RULE == "noise 1"
    mask, classes = (MANY, 0) if "many" in name else (PAIR, 2)
    wrong = np.argwhere(NOISES[name].change(mask, id="photo", classes=classes) != mask)
    assert [len(wrong), *wrong.mean(0)] == pytest.approx(PINNED[name], rel=0.03)
