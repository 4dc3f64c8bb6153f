"""Read-outs without masks from training to an exported file, with nothing held out, and over two processes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from PIL import Image
from torch import multiprocessing

from seglab.config import compose
from seglab.data import arrays
from seglab.evaluate import evaluate, merged
from seglab.post.calibrated import Calibrated
from seglab.post.channel import Channel
from seglab.post.channel_set import ChannelSet
from seglab.run import Run
from seglab.train import train

KINDS = {
    "border": lambda: Channel(channel="border"),
    "size": lambda: ChannelSet(channel="size"),
    "logistic": Calibrated,
    "mixture": lambda: Calibrated(masks="none"),
}


def one_click(cfg_tiny: list[str], path: Path) -> str:
    from seglab.post.shown import training_images

    name = training_images(compose("train", cfg_tiny)).ids[3]
    path.write_text(f"image,x,y\n{name},16,15\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("way", ["channel=border", "channel=clicks", "channel_set", "calibrated"])
def test_trained_with_nothing_held_out(way: str, tiny: list[str], tmp_path: Path, command) -> None:
    """Trains, predicts and exports; the masks of the training images play no part in the choice."""
    group = [f"eval/post={way}"] if "=" not in way else [f"eval.post.{way}"]
    if way == "channel=clicks":
        group.append(f"eval.post.clicks={one_click(tiny, tmp_path / 'c.csv')}")
    if way == "channel_set":
        group += ["eval.post.channel=border", "model.channels=4"]
    path = train(compose("train", [*tiny, "val=0", "schedule.epochs=1", *group]))
    state = json.loads((path / "post.json").read_text())
    assert state["images"] == (1 if way == "channel=clicks" else 24)
    Image.fromarray(np.zeros((20, 30, 3), np.uint8) + np.arange(30, dtype=np.uint8)[:, None]).save(tmp_path / "a.png")
    if way not in ("channel=border", "calibrated"):  # an export costs seconds; the other two are a sum of the same
        return
    done = command("predict", f"run={path}", f"input={tmp_path / 'a.png'}", "runtime.device=cpu", "export=torch_export")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("maps/a.png"))
    assert list(tmp_path.rglob("*.pt2"))


def test_evaluate_reads_a_run_out_anew_without_masks(tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = train(compose("train", tiny))
    kept = (path / "post.json").read_bytes()

    def scored(name: str, *more: str) -> dict:
        overrides = [f"run={path}", *(o for o in tiny if o.startswith(("runtime", "data"))), *more]
        evaluate(compose("evaluate", [*overrides, f"eval.protocol.name={name}"]))
        return Run(path).read_json(f"eval/shapes-{name}.json")

    rules = {rule: scored(rule, f"eval.post.channel={rule}") for rule in ("border", "size")}
    plain = arrays.ArrayDataset.__getitems__

    def without(self, indices):
        """Held-out masks are nonsense; those of the test images stay."""
        batch = plain(self, indices)
        return batch if len(self) == 8 else {**batch, "mask": torch.full_like(batch["mask"], 77)}

    monkeypatch.setattr(arrays.ArrayDataset, "__getitems__", without)
    for rule, content in rules.items():
        again = scored(f"{rule}2", f"eval.post.channel={rule}")
        assert again["post"] == content["post"]
        assert again["metrics"] == content["metrics"]
        assert content["post"]["rule"] == rule
    with pytest.raises(ValueError, match="77"):
        scored("auto2", "eval/post=channel_set")
    assert (path / "post.json").read_bytes() == kept
    own = merged(Run(path).config(), compose("evaluate", [f"run={path}", *tiny[:4]]))
    assert dict(own.eval.post) == {"_target_": "seglab.post.channel.Channel", "channel": "auto"}


def seen(kind: str, rows: list[int], *, sync: bool) -> dict:
    random = torch.Generator().manual_seed(5)
    masks = torch.zeros(7, 16, 16, dtype=torch.int64)
    masks[:, 4:12, 3:11] = 1
    logits = torch.randn(7, 2, 16, 16, generator=random)
    logits[:, 1] += 3 * masks - 1
    post = KINDS[kind]()
    for row in rows:
        names = ([f"name {row}"],) if getattr(post, "wants_names", False) else ()
        post.update(logits[row : row + 1], masks[row : row + 1], *names)
    if sync:
        post.sync(dist.all_reduce)
    post.finish()
    return post.state()


def worker(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for kind in KINDS:
        for first in (3, 0):
            shares = [list(range(first))[::-1], list(range(first, 7))]
            Path(folder, f"{kind}-{first}-{rank}.json").write_text(json.dumps(seen(kind, shares[rank], sync=True)))
    dist.destroy_process_group()


def numbers(state: dict) -> list[float]:
    flat: list[float] = []
    for value in state.values():
        if isinstance(value, dict):
            flat += numbers(value)
        else:
            flat += [v for v in (value if isinstance(value, list) else [value]) if not isinstance(v, str)]
    return flat


def test_two_processes_choose_as_one(tmp_path: Path) -> None:
    multiprocessing.spawn(worker, args=(str(tmp_path),), nprocs=2)
    for kind in KINDS:
        alone = seen(kind, list(range(7)), sync=False)
        for first in (3, 0):
            for rank in (0, 1):
                joined = json.loads((tmp_path / f"{kind}-{first}-{rank}.json").read_text())
                assert joined.keys() == alone.keys()
                np.testing.assert_allclose(numbers(joined), numbers(alone), rtol=1e-9, atol=1e-12)
