"""Any overrides and any config content: composed and usable, or one message; nothing foreign is imported or called."""

from __future__ import annotations

import contextlib
import copy
import functools

from hydra.errors import HydraException
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from support import tripwires, worded

from seglab.config import compose, finalise
from seglab.explain import groups
from seglab.identity import identity
from seglab.run import Run
from seglab.targets import check_targets, instantiate

WORDED = (ValueError, HydraException, OmegaConfBaseException, OSError)
"""What the command line turns into one message without a traceback."""

BASES = (
    [],
    ["data=sod", "loss=ce", "eval/protocol=pysodmetrics"],
    ["data=pairs", "data.images=a", "data.masks=b", "loss=discriminative", "optim=sgd"],
    ["experiment=cas_t1_resnet_cas"],
    ["data=toy_imbalance", "model=mlp_10", "loss=cas"],
)


@functools.cache
def base(number: int) -> DictConfig:
    return compose("train", list(BASES[number]))


def paths(node, prefix: str = "") -> list[str]:
    found = []
    for key in node:
        path = f"{prefix}.{key}" if prefix else str(key)
        found.append(path)
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
            found += paths(child, path)
    return found


def put(cfg: DictConfig, changes: list[tuple[str, object]]) -> None:
    OmegaConf.set_struct(cfg, False)
    for key, value in changes:
        try:
            OmegaConf.update(cfg, key, value, merge=False)
        except TypeError as error:  # an earlier change put a list where this key goes through
            raise ValueError("no such place") from error


KEYS = sorted({path for number in range(len(BASES)) for path in paths(base(number))})
HOSTILE = (
    "os.system", "subprocess.Popen", "builtins.eval", "builtins.exec", "torch.load", "torch.hub.load", "pickle.loads",
    "seglab.cli.os.system", "seglab.run.os.replace", "antigravity.fly", "seglab.data.antigravity", "this.s",
    "seglab.data.files._open", "torch.nn.modules.module.torch.load", "torchvision.models._api.load_state_dict_from_url",
    "torch.nn.Module.__init__.__globals__", "seglab.models..x", ".", "", "..", "seglab.losses.", "torch.nn.Linear",
    "torch.nn.functional.conv2d", "seglab.losses.ce.CrossEntropy", "torch.optim.Adam", "numpy.load", "shutil.rmtree",
    "seglab.data.files", "torch.nn", "os.getcwd", "pathlib.Path", "hydra.utils.get_method", "functools.partial",
)  # fmt: skip
commands = {"command": "touch /tmp/seglab-fuzz-was-here", "_args_": ["touch /tmp/seglab-fuzz-was-here"]}
INTERPOLATIONS = (
    "${seed}", "${nope}", "${data.name}", "${loss}", "${oc.env:HOME}", "${oc.env:NO_SUCH,x}", "${oc.env:NO_SUCH}",
    "${oc.decode:'{_target_: os.getcwd}'}", "${oc.create:{_target_: os.getcwd}}", "${oc.create:{a: 1}}", "${", "${}",
    "${oc.create:{_target_: os.system, command: touch}}", "${oc.create:{x: {_target_: antigravity.fly}}}",
    "${oc.create:[{_target_: os.getcwd}]}", "${hydra:runtime.cwd}", "${now:%Y}", "${oc.select:loss}", "${.}", "${..}",
    "${oc.dict.values:loss}", "${no.such.resolver:1}", "${oc.deprecated:seed}", "${python_version:}", "${loss.${seed}}",
)  # fmt: skip
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 300), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from(HOSTILE), st.sampled_from(INTERPOLATIONS), st.sampled_from(["???", "null", "1e400", "auto", "cpu"]),
)  # fmt: skip
hostile_nodes = st.builds(
    lambda target, extra, flags: {"_target_": target, **extra, **flags},
    st.one_of(st.sampled_from(HOSTILE), scalars),
    st.sampled_from([{}, commands, {"command": "id"}, {"x": {"_target_": "os.getcwd"}}]),
    st.dictionaries(st.sampled_from(["_partial_", "_recursive_", "_convert_", "_args_"]), scalars, max_size=2),
)
keys = st.one_of(st.sampled_from(["_target_", "x", "a", "_args_", "_partial_"]), st.text(max_size=4), st.integers(0, 9))
values = st.recursive(
    st.one_of(scalars, hostile_nodes),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=5,
)


@given(st.integers(0, len(BASES) - 1), st.lists(st.tuples(st.sampled_from(KEYS), values), min_size=1, max_size=3))
def test_any_value_anywhere_in_a_config(number: int, changes: list[tuple[str, object]]) -> None:
    cfg = copy.deepcopy(base(number))
    choices = dict.fromkeys(("data", "model", "loss", "noise", "schedule", "optim", "init", "tracker", "runtime"), "x")
    with tripwires():
        try:
            put(cfg, changes)
            finalise(cfg, choices, [])
            Run.for_config(cfg)
            identity(cfg)
        except WORDED as error:
            worded(error)


@given(
    st.sampled_from(["loss", "model", "optim", "schedule", "noise", "data.source"]),
    hostile_nodes,
    st.integers(0, 4),
    values,
)
def test_a_foreign_node_is_refused_or_built_from_what_is_allowed(key: str, node, number: int, inner) -> None:
    cfg = copy.deepcopy(base(number))
    with tripwires():
        try:
            put(cfg, [(key, {**node, "inner": inner} if number % 2 else node)])
            check_targets(cfg)
        except WORDED:
            pass
        else:
            return
        with contextlib.suppress(*WORDED):
            instantiate(OmegaConf.select(cfg, key))  # a node that reached it without the check


@given(
    st.sampled_from(["loss.alpha", "schedule.epochs", "noise.rate", "optim.lr", "model.width", "loss", "schedule"]),
    values,
)
def test_a_value_reached_through_an_interpolation_is_not_called(key: str, value) -> None:
    cfg = copy.deepcopy(base(0))
    with tripwires():
        try:
            put(cfg, [(key, value)])
            check_targets(cfg)
            made = instantiate(cfg[key.split(".")[0]])
        except WORDED:
            return
    origin = type(made).__module__ if not callable(getattr(made, "func", None)) else made.func.__module__
    assert origin.split(".")[0] in ("seglab", "torch", "builtins", "segmentation_models_pytorch"), origin


SIGNS = st.text("abz=.,:/@+~-_ '\"\\{}[]()$%*!?#\n\t0123é\0", max_size=24)
overrides = st.one_of(
    SIGNS,
    st.builds(
        lambda sign, key, value: f"{sign}{key}={value}",
        st.sampled_from(["", "", "+", "++", "~"]),
        st.one_of(st.sampled_from(KEYS), st.sampled_from([*groups(), "hydra.run.dir", "hydra", "hydra.searchpath"])),
        st.one_of(scalars.map(str), st.sampled_from([*HOSTILE, *INTERPOLATIONS]), SIGNS),
    ),
    st.builds(lambda key: f"~{key}", st.sampled_from([*KEYS, *groups()])),
    st.builds(
        lambda group, option: f"{group}={option}",
        st.sampled_from(groups()),
        st.sampled_from(["null", "ce", "none", "../x", "_pairs", "[ce,cas]", "'a b'", "/etc/passwd", "cas@x"]),
    ),
    st.builds(
        lambda path: f"hydra.searchpath=[{path}]", st.sampled_from(["pkg://antigravity", "pkg://this", "file:///tmp"])
    ),
    st.builds(lambda t: f"+hydra.callbacks.x={{_target_:{t}}}", st.sampled_from(["os.system", "antigravity.fly"])),
    st.builds(lambda n: f"loss.alpha={'[' * n}{']' * n}", st.integers(0, 300)),
)


@settings(max_examples=max(20, settings().max_examples // 5))
@given(st.lists(overrides, min_size=1, max_size=2))
def test_any_overrides(given_overrides: list[str]) -> None:
    with tripwires():
        try:
            cfg = compose("train", given_overrides)
            Run.for_config(cfg)
        except WORDED as error:
            worded(error)
