"""Every YAML file in conf/ is a test case: it composes, binds, instantiates and, where it can, steps."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
import torch
from omegaconf import OmegaConf

from seglab.config import compose, conf_dir
from seglab.explain import groups
from seglab.identity import identity
from seglab.targets import instantiate

OF_OTHER_COMMANDS = ("runtime", "table", "scale", "launch", "download", "listing", "protocol")
OPTIONS = [
    (group, path.stem)
    for group in groups()
    for path in sorted((conf_dir() / group).glob("*.yaml"))
    if not path.stem.startswith("_") and group not in OF_OTHER_COMMANDS
]
TABLE_OPTIONS = [(g, p.stem) for g in ("scale", "launch") for p in sorted((conf_dir() / g).glob("*.yaml"))]
NEEDED = {("data", "pairs"): ["data.images=a", "data.masks=b"]}
OF_CLASSES = [("eval", "semantic"), ("eval/post", "class_prototypes"), ("eval/protocol", "voc_miou")]
OF_CLASSES += [
    (group, name) for group in ("eval", "eval/protocol") for name in ("rerank", "rerank_miou", "rerank_curve")
]
NEEDED |= {key: ["data=fabrics"] for key in OF_CLASSES}  # they ask the data how many classes there are


def composed(group: str, option: str, *extra: str):
    return compose("train", [f"{group}={option}", *NEEDED.get((group, option), []), *extra])


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_binds(group: str, option: str, tmp_path) -> None:
    extra = []
    if (group, option) == ("init", "run"):
        (tmp_path / "config.yaml").write_text("seed: 0\n")
        extra = [f"init.run={tmp_path}"]
    assert identity(composed(group, option, *extra))


@pytest.mark.parametrize(("group", "option"), TABLE_OPTIONS)
def test_every_option_of_the_table_command_composes(group: str, option: str) -> None:
    from seglab.launch.engine import check_launch
    from seglab.tables.scale import scale_for
    from seglab.tables.spec import load_table

    cfg = compose("table", ["tables=[cas_t1]", f"{group}={option}"])
    check_launch(cfg.launch)
    spec = load_table("cas_t1")
    scale = scale_for(cfg, spec)
    assert scale.columns(spec)
    known = {path.stem for path in (conf_dir() / "data").glob("*.yaml")}
    assert {name for names in (scale.data or {}).values() for name in names} <= known
    models = {path.stem for path in (conf_dir() / "model").glob("*.yaml")}
    assert set((scale.models or {}).values()) | set(scale.models or {}) <= models


def test_help_of_the_table_command_shows_its_options() -> None:
    from seglab.help import help_page

    page = help_page("table")
    for _, option in TABLE_OPTIONS:
        assert re.search(rf"^  {option} ", page, flags=re.MULTILINE), f"{option} missing"
    for key in ("only", "seeds", "render", "status", "scale.seeds", "launch.slots", "runtime.data_root", "cas_t3"):
        assert key in page, f"{key} missing"
    assert "eval=..." not in page


@pytest.mark.parametrize("option", [o for g, o in OPTIONS if g == "loss"])
def test_every_loss_steps_on_its_model(option: str) -> None:
    cfg = composed("loss", option)
    torch.manual_seed(0)
    model, loss = instantiate(cfg.model), instantiate(cfg.loss)
    image = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    mask = torch.zeros(2, 32, 32, dtype=torch.int64)
    mask[:, 8:24, 8:24] = 1
    terms = loss(model(image), {"image": image, "mask": mask, "id": ["a", "b"]})
    assert terms
    assert all(t.ndim == 0 and t.dtype == torch.float32 for t in terms.values())
    sum(terms.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    post = instantiate(cfg.eval.post)
    post.update(model(image).detach(), mask)
    post.finish()
    maps = post(model(image).detach(), image)
    assert maps.shape == (2, 32, 32)
    assert maps.min() >= 0
    assert maps.max() <= 1


@pytest.mark.parametrize(("group", "option"), [o for o in OPTIONS if o[0] in ("optim", "schedule", "noise", "eval")])
def test_every_other_option_instantiates(group: str, option: str) -> None:
    cfg = composed(group, option)
    if group == "optim":
        weight = torch.nn.Parameter(torch.ones(2))
        optimizer = instantiate(cfg.optim)([weight])
        weight.grad = torch.ones(2)
        optimizer.step()
        assert (weight < 1).all()
    elif group == "schedule":
        schedule = instantiate(cfg.schedule)
        factors = [schedule.lr_factor(epoch) for epoch in range(schedule.epochs)]
        assert factors[0] == 1
        assert all(0 < b <= a for a, b in pairwise(factors))
    elif group == "noise":
        assert instantiate(cfg.noise).choose(10).sum() == round(10 * cfg.noise.rate)
    else:
        metrics, post, masks = instantiate(cfg.eval.metrics), instantiate(cfg.eval.post), torch.eye(8).long()[None]
        logits, image = torch.stack([1 - masks, masks], 1).float(), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
        post.update(logits, masks)
        post.finish()
        found = post(logits, image)
        maps = found.labels_BTHW[:, 0] if cfg.eval.task == "regions" else found
        metrics.update(maps, masks, torch.zeros(1))
        assert set(cfg.eval.watch) <= set(metrics.compute())
        assert cfg.eval.samples >= 0


@pytest.mark.parametrize("option", [o for g, o in OPTIONS if g == "data"])
def test_every_data_set_chooses_the_evaluation_of_its_task(option: str) -> None:
    cfg = composed("data", option)
    assert cfg.data.task == cfg.eval.task
    assert cfg.data.name.split("/")[0] == option


def test_every_yaml_has_a_heading_and_commented_keys() -> None:
    from seglab.help import first_comment

    for path in conf_dir().rglob("*.yaml"):
        assert first_comment(path), f"{path.name}: no heading"


def test_environment_is_read_in_runtime_only() -> None:
    for path in conf_dir().rglob("*.yaml"):
        if "oc.env" in path.read_text(encoding="utf-8"):
            assert path.parent.name == "runtime", f"{path}: an environment variable would change a run's identity"


def test_help_shows_every_option_and_documented_key() -> None:
    from seglab.help import help_page

    page = help_page("train")
    for group, option in OPTIONS:
        if "/" not in group:
            assert re.search(rf"^  {option} ", page, flags=re.MULTILINE), f"{group}={option} missing"
    keys = "batch_size seed val data.size optim.lr schedule.epochs loss.alpha noise.rate runtime.data_root"
    keys += " runtime.device runtime.workers runtime.outputs runtime.precision"
    for key in keys.split():
        assert f" {key}=" in page, f"{key} missing"


def test_stable_keys_are_there() -> None:
    cfg = compose("train")
    keys = "runtime.data_root data.size batch_size seed val optim.lr schedule.epochs loss.alpha noise.rate init"
    keys += " runtime.device runtime.workers runtime.outputs runtime.precision"
    for key in keys.split():
        assert OmegaConf.select(cfg, key, throw_on_missing=True) is not None, key
