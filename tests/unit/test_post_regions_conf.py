"""The read-outs of regions as their YAML files build them."""

from __future__ import annotations

import pytest
import torch

from seglab.post.absorb import Absorb
from seglab.post.dense_crf import DenseCRF


@pytest.mark.parametrize("option", ["kmeans", "meanshift", "argmax"])
def test_the_configs_build_what_they_say(option: str) -> None:
    from omegaconf import OmegaConf

    from seglab.config import conf_dir
    from seglab.targets import check_targets, instantiate

    folder = conf_dir() / "eval" / "post"
    node = OmegaConf.merge(*(OmegaConf.load(folder / f"{name}.yaml") for name in ("_regions", option)))
    node.pop("defaults", None)
    around = {"post": node, "clusters": [2, 5], "descriptor": {"softmax": True, "unit_norm": False}}
    cfg = OmegaConf.create({"eval": around})
    check_targets(cfg)
    post = instantiate(cfg.eval.post)
    assert vars(post.absorb.crf) == vars(DenseCRF())
    assert vars(post.absorb) | {"crf": None} == vars(Absorb()) | {"crf": None}
    logits, image = torch.rand(1, 4, 16, 16), torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    assert post(logits, image).labels_BTHW.shape[1] == (2 if option == "kmeans" else 1)
