"""Schedules in phases: pure functions of the epoch."""

from __future__ import annotations

import math
import re

import pytest

from seglab.config import compose
from seglab.phases import Phases, Ramp, stretched
from seglab.schedule import Snapshots
from seglab.targets import instantiate

TWO = {"anneal": {"epochs": 3, "set": {"sigma": {"from": 0.0, "to": 3.0}, "sparse_crf": 1}}, "normal": {"epochs": 2}}


def test_both_readings_of_the_annealing() -> None:
    printed = [Ramp(0.05, 0.15).at(i, 15) for i in range(15)]
    assert printed[0] == pytest.approx(0.05 + 0.1 / 15)  # Eq. 8 with i = 1
    assert printed[-1] == pytest.approx(0.15)
    released = [Ramp(0.05, 0.15, "both").at(i, 15) for i in range(15)]
    assert (released[0], released[-1]) == pytest.approx((0.05, 0.15))
    assert released[7] == pytest.approx(0.05 + 0.1 * 7 / 14)
    assert [Ramp(1, 16, curve="geometric").at(i, 4) for i in range(4)] == pytest.approx([2, 4, 8, 16])
    assert Ramp(0.05, 0.15, "both").at(0, 1) == 0.15  # a phase of one epoch ends where it should


def test_settings_follow_from_the_epoch_alone() -> None:
    schedule = Phases(phases=TWO)
    assert schedule.epochs == 5
    assert [schedule.settings(e) for e in (4, 0, 2)] == [
        {},
        {"sigma": 1.0, "sparse_crf": 1.0},
        {"sigma": 3.0, "sparse_crf": 1.0},
    ]


def test_the_published_stages() -> None:
    schedule = instantiate(compose("train", ["schedule=anneal"]).schedule)
    assert schedule.epochs == 65
    assert [schedule.fresh(e) for e in (0, 14, 15, 16)] == [False, False, True, False]
    assert not any(schedule.negatives(e) for e in range(65))
    longer = instantiate(compose("train", ["schedule=anneal", "schedule.phases.negative.epochs=200"]).schedule)
    assert longer.epochs == 265
    assert longer.negatives(65)
    every = instantiate(compose("train", ["schedule=anneal", "schedule.phases.anneal.fresh_optimizer=epoch"]).schedule)
    assert all(every.fresh(e) for e in range(15))


@pytest.mark.parametrize(
    ("lengths", "total", "expected"),
    [
        ([15, 50], 65, [15, 50]),
        ([15, 50], 13, [3, 10]),
        ([15, 50, 0], 2, [1, 1, 0]),
        ([15, 50], 1, [0, 1]),
        ([1, 99], 10, [1, 9]),
        ([15, 50], 130, [30, 100]),
        ([3, 5, 0, 1], 10**9, [333333333, 555555556, 0, 111111111]),
        ([15, 50], 0, [0, 0]),
    ],
)
def test_phases_are_stretched_in_proportion(lengths: list[int], total: int, expected: list[int]) -> None:
    assert stretched(lengths, total) == expected


def test_phases_without_epochs_cannot_be_stretched() -> None:
    with pytest.raises(ValueError, match=r"schedule.epochs=5: all phases have 0 epochs.*schedule.epochs=null"):
        Phases(5, phases={"a": {"epochs": 0}, "b": {"epochs": 0}})
    assert Phases(phases={"a": {"epochs": 0}}).epochs == 0


def test_dealing_out_at_once_is_dealing_out_one_by_one() -> None:
    lengths = [1, 40, 0, 3, 2, 700]
    for total in range(1, 300):
        found = [min(1, n) for n in lengths] if total >= 5 else stretched(lengths, total)
        while sum(found) < total:
            lacking = [total * n / sum(lengths) - now if n else -1e9 for n, now in zip(lengths, found, strict=True)]
            found[lacking.index(max(lacking))] += 1
        assert stretched(lengths, total) == found, total


def test_snapshots_grow_from_the_first_step_to_the_last() -> None:
    kept = sorted(Snapshots(30, count=20).snapshots([12] * 30))
    assert len(kept) == 20
    assert (kept[0], kept[-1]) == (1, 360)
    assert sorted(Snapshots(2, count=20).snapshots([10, 10])) == list(range(1, 21))
    with pytest.raises(ValueError, match=r"schedule.count=20: the whole training has 6 optimiser steps"):
        Snapshots(1, count=20).snapshots([6])


def test_snapshots_beyond_the_training_are_told(caplog) -> None:
    assert Phases(phases=TWO, snapshot_epochs=[1, 5]).snapshots([4, 4, 4, 7, 7]) == {4, 26}
    assert not caplog.records
    assert Phases(phases=TWO, snapshot_epochs=[1, 7, 9]).snapshots([4, 4, 4, 7, 7]) == {4}
    assert [r.getMessage() for r in caplog.records] == [
        "schedule.snapshot_epochs: the training has 5 epochs, there is no [7, 9]"
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"phases": {}}, "schedule.phases is empty"),
        ({"phases": {"a": 3}}, "schedule.phases.a=3: expected keys"),
        ({"phases": {"a": {"epoch": 3}}}, "unknown key 'epoch', did you mean 'epochs'"),
        ({"phases": {"a": {"epochs": -1}}}, "schedule.phases.a.epochs=-1: expected a whole number"),
        ({"phases": {"a": {"epochs": 1, "set": {"sigma": "x"}}}}, "set.sigma=x: expected a number"),
        ({"phases": {"a": {"epochs": 1, "set": {"sigma": {"from": 1}}}}}, "expected a number, or from and to"),
        ({"phases": {"a": {"epochs": 1, "set": {"s": {"from": 1, "to": 2, "ends": "no"}}}}}, "ends=no: expected upper"),
        (
            {"phases": {"a": {"epochs": 1, "set": {"s": {"from": 0, "to": 2, "curve": "geometric"}}}}},
            "above 0 for curve",
        ),
        ({"phases": {"a": {"epochs": 1, "fresh_optimizer": True}}}, "fresh_optimizer=True: expected never, start"),
        ({"phases": {"a": {"epochs": 1, "negatives": 1}}}, "negatives=1: expected true or false"),
        ({"phases": TWO, "epochs": -3}, "schedule.epochs=-3"),
        ({"phases": 3}, "schedule.phases=3: expected phases by their names"),
        ({"phases": {"a": {"epochs": 1, "set": {"sigma": math.nan}}}}, "set.sigma=nan: expected a number"),
        ({"phases": {"a": {"epochs": 1, "set": {"s": {"from": 1, "to": math.inf}}}}}, "from and to, two numbers"),
        ({"phases": {"a": {"epochs": 1, "set": {"sigma": 10**400}}}}, "expected a number"),
        ({"phases": TWO, "snapshot_epochs": [0]}, "snapshot_epochs=[0]: expected a list of epochs counted from 1"),
        ({"phases": TWO, "snapshot_epochs": 3}, "snapshot_epochs=3: expected a list of epochs counted from 1, e.g. ["),
        ({"phases": TWO, "snapshot_epochs": "13"}, "snapshot_epochs=13: expected a list of epochs"),
    ],
)
def test_bad_phases_are_named(changed: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Phases(**changed)
