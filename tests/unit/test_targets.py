"""A config can call only what is on the allowlist."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from seglab.targets import check_targets, instantiate, locate


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "subprocess.Popen",
        "torch.load",
        "torch.hub.load",
        "torchvision.datasets.VOCDetection",
        "seglab.cli.os.system",
        "seglab.run.json.loads",
        "torch.nn.modules.module.torch.load",
        "torch.optim.optimizer.pickle.loads",
        "pathlib.Path",
        "seglab.environment.git_state",
        "seglab.models.init._anything",
        "segmentation_models_pytorch.from_pretrained",
    ],
)
def test_forbidden_targets_are_refused(target: str) -> None:
    with pytest.raises(ValueError, match=r"not allowed|no such object"):
        locate(target, key="loss._target_")
    with pytest.raises(ValueError, match=r"config\._target_"):
        instantiate(OmegaConf.create({"_target_": target}))


def test_nested_forbidden_target_is_refused() -> None:
    cfg = OmegaConf.create({"loss": {"_target_": "seglab.schedule.Constant", "epochs": {"_target_": "os.getcwd"}}})
    with pytest.raises(ValueError, match=r"loss\.epochs\._target_=os\.getcwd"):
        check_targets(cfg)


def test_unknown_and_missing_arguments_name_the_key() -> None:
    cfg = OmegaConf.create({"schedule": {"_target_": "seglab.schedule.Poly", "epochs": 3, "powr": 2}})
    with pytest.raises(ValueError, match=r"'schedule\.powr', did you mean 'schedule\.power'"):
        check_targets(cfg)
    with pytest.raises(ValueError, match=r"missing key 'schedule\.epochs'"):
        check_targets(OmegaConf.create({"schedule": {"_target_": "seglab.schedule.Poly"}}))


def test_positional_arguments_cannot_be_smuggled_in() -> None:
    cfg = OmegaConf.create({"schedule": {"_target_": "seglab.schedule.Constant", "_args_": [3]}})
    with pytest.raises(ValueError, match=r"unknown key 'schedule\._args_'"):
        check_targets(cfg)


def test_plugins_extend_the_allowlist(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="not allowed"):
        locate("fractions.Fraction", key="x")
    monkeypatch.setenv("SEGLAB_ALLOW", "fractions")
    assert locate("fractions.Fraction", key="x")(1, 2) == 0.5


def test_constructor_errors_come_through_unwrapped() -> None:
    with pytest.raises(ValueError, match=r"schedule\.epochs=-1: expected"):
        instantiate(OmegaConf.create({"_target_": "seglab.schedule.Constant", "epochs": -1}))
