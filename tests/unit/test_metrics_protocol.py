"""The protocol refuses what it cannot mean, and its presets compose from a data config."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from seglab.metrics.protocol import Protocol

CONF = Path(__file__).resolve().parents[2] / "conf"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", ""),
        ("normalise", "mean"),
        ("mae_normalise", "MAX"),
        ("mask_above", 255),
        ("mask_above", float("nan")),
        ("adaptive", "otsu"),
        ("fixed", 1.0),
        ("fixed", True),
        ("beta2", 0),
        ("beta2", "0.3"),
        ("beta2_weighted", -1),
        ("s_alpha", 1.5),
        ("s_centroid", "up"),
        ("e_divisor", "n"),
        ("empty_mask", "one"),
        ("note", 3),
    ],
)
def test_bad_value_is_named(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^eval\.protocol\.{key}="):
        Protocol(**{"name": "x", key: value})


def test_masks_are_cut_strictly_above() -> None:
    grey = np.array([[0, 25, 26, 127], [128, 129, 200, 255]], np.uint8)
    cuts = {c: Protocol(name="x", mask_above=c).binarise(grey).sum() for c in (25.5, 127.5, 128)}
    assert cuts == {25.5: 6, 127.5: 4, 128: 3}
    with pytest.raises(ValueError, match="uint8"):
        Protocol(name="x").binarise(grey.astype(np.int64))


@pytest.fixture
def small_conf(tmp_path: Path) -> Path:
    """A command whose data config pulls the eval group, as the real ones do."""
    (tmp_path / "data").mkdir()
    (tmp_path / "eval").symlink_to(CONF / "eval")
    (tmp_path / "main.yaml").write_text("defaults:\n  - data: d\n  - _self_\n")
    (tmp_path / "data" / "d.yaml").write_text(
        "defaults:\n  - /eval@_global_.eval: saliency\n  - _self_\ntest_sets: [d]\n"
    )
    return tmp_path


@pytest.mark.parametrize("name", ["cas", "sal_eval_toolbox", "pysodmetrics"])
def test_presets_are_chosen_by_name(small_conf: Path, name: str) -> None:
    with initialize_config_dir(str(small_conf), version_base=None):
        config = compose("main", [f"eval/protocol={name}"])
    assert config.eval.sets == ["d"]
    protocol = instantiate(config.eval.protocol)
    assert protocol.name == name
    assert set(protocol.to_dict()) == set(config.eval.protocol) - {"_target_"}, "a preset leaves a key to the default"


def test_default_is_cas_and_post_can_be_swapped(small_conf: Path) -> None:
    with initialize_config_dir(str(small_conf), version_base=None):
        plain, swapped = compose("main", []), compose("main", ["eval/post=prototype", "eval.protocol.beta2=1"])
    assert instantiate(plain.eval.protocol) == Protocol(name="cas", note=plain.eval.protocol.note)
    assert plain.eval.post._target_.endswith("Channel")
    assert swapped.eval.post._target_.endswith("Prototype")
    assert instantiate(swapped.eval.protocol).beta2 == 1
