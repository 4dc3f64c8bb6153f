"""Make proposals of a data set: ``python -m seglab.proposals data=voc_aug launch=local launch.slots=2``.

A graphical model on superpixels gives a few diverse segmentations of every image; a network then picks among them
(``python -m seglab.evaluate run=<id> eval=rerank``). Stopped at any moment, the same command goes on. The last line on
stdout is the folder.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from omegaconf import DictConfig, ListConfig

from seglab.cli import run_command
from seglab.proposals import complete

log = logging.getLogger(__name__)


def proposals(cfg: DictConfig) -> Path:
    """Make what is missing of the proposals of ``cfg.data``, or look through somebody's folder.

    Args:
        cfg: finalised config of ``conf/proposals.yaml``.

    Returns:
        The folder of the proposals.

    Raises:
        ValueError: data missing, of another task, or a share could not be made.
    """
    from seglab.proposals.make import proposals_of
    from seglab.proposals.place import Place

    check(cfg)
    store = proposals_of(cfg, parts=list(cfg.parts), launch=cfg.launch, thorough=True)
    for name in others(cfg):
        proposals_of(cfg, parts=["test"], launch=cfg.launch, test_set=name, thorough=True)
    if cfg.preview:
        from seglab.proposals.picture import draw

        place = Place.of(cfg)
        path = draw(place, store, part=list(cfg.parts)[-1], count=cfg.preview)
        log.info("picture: %s", path)
    return store.folder


def others(cfg: DictConfig) -> list[str]:
    """Test sets of the data set other than its own test part."""
    names = [name for name in cfg.data.test_sets if name not in ("self", cfg.data.name)]
    return names if "test" in cfg.parts else []


def check(cfg: DictConfig) -> None:
    """Check the keys of this command.

    Raises:
        ValueError: naming the key, its value and what is expected.
    """
    from seglab.launch.engine import check_launch

    check_launch(cfg.launch)
    parts = [cfg.parts] if isinstance(cfg.parts, str) else cfg.parts
    listed = sorted(map(str, parts)) if isinstance(parts, list | ListConfig) else None
    if listed not in (["test", "train"], ["test"], ["train"]):
        raise ValueError(f"parts={'null' if parts is None else parts}: expected [train, test], [train] or [test]")
    cfg.parts = list(parts)
    if isinstance(cfg.preview, bool) or not isinstance(cfg.preview, int) or cfg.preview < 0:
        raise ValueError(f"preview={cfg.preview}: expected a number of images, 0 = no picture")


if __name__ == "__main__":
    sys.exit(run_command("proposals", proposals, prepare=complete))
