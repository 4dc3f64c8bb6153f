"""Settings of re-ranking as they are typed: the weight of the background, and rankers of one's own."""

from __future__ import annotations

from typing import Any

import pytest

from seglab.config import compose
from seglab.targets import instantiate


@pytest.mark.parametrize(("data", "expected"), [("camvid_semantic", 0.0), ("voc_aug", 0.02)])
@pytest.mark.parametrize("option", ["rerank", "rerank_curve"])
def test_the_background_counts_where_there_is_one_unless_a_weight_is_set(
    data: str, expected: float, option: str
) -> None:
    metrics = instantiate(compose("train", [f"data={data}", f"eval={option}"]).eval.metrics)
    assert metrics.rerank.to_dict()["background"] == expected
    changed = compose("train", [f"data={data}", f"eval={option}", "eval.rerank.background=0.5"])
    assert instantiate(changed.eval.metrics).rerank.background == 0.5


def rankers(*typed: str) -> dict[str, Any]:
    cfg = compose("evaluate", ["run=x", "data=voc_aug", "eval=rerank", *typed])
    return instantiate(cfg.eval.rerank).to_dict()["rankers"]


def test_a_ranker_of_ones_own_is_typed() -> None:
    ours = rankers()
    for sign in ("", "+", "++"):
        found = rankers(f"{sign}eval.rerank.rankers.mine=[proposal,network]", "eval.rerank.rankers.svm=[network]")
        assert found == ours | {"mine": ["proposal", "network"], "svm": ["network"]}
    for sign in ("", "+"):
        assert rankers(f"{sign}eval.rerank.rankers={{kl: kl, mine: [network]}}") == {"kl": "kl", "mine": ["network"]}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("eval.rerank.rankers.mine=[netwrk]", r"^eval\.rerank\.rankers\.mine=\['netwrk'\]: expected kl, or a list of"),
        ("eval.rerank.rankers={a: [netwrk]}", r"^eval\.rerank\.rankers\.a=\['netwrk'\]: expected kl, or a list of"),
        ("eval.rerank.rankers={}", r"^eval\.rerank\.rankers=\{\}: expected name -> kl"),
        ("eval.rerank.rankes.mine=kl", r"unknown key 'eval\.rerank\.rankes\.mine'"),
    ],
)
def test_what_no_ranker_can_look_at_is_told_once(typed: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        rankers(typed)


@pytest.mark.parametrize("typed", ["eval.rerank.rankers.mine=[network]", "eval.rerank.rankers={mine: kl}"])
def test_rankers_belong_to_re_ranking(typed: str) -> None:
    with pytest.raises(ValueError, match=r"unknown key 'eval\.rerank\.rankers.*belongs to eval=rerank"):
        compose("evaluate", ["run=x", "data=voc_aug", "eval=semantic", typed])
