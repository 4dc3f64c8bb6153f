"""What a run trains on and what it is scored on: refused where a loss would read the masks that are scored.

Cosegmentation trains and scores on the same photos, which is fair as long as the loss reads no mask (Veksler,
"Regularized loss for weakly supervised single class semantic segmentation", ECCV 2020, section 4.4).

One runnable line: ``python -c "from seglab.config import compose; from seglab.data.scored import check_scored;
check_scored(compose('train'), reads_masks=True)"``.
"""

from __future__ import annotations

import logging

from omegaconf import DictConfig

from seglab.data.build import test_sets
from seglab.targets import instantiate

log = logging.getLogger(__name__)


def check_scored(cfg: DictConfig, *, reads_masks: bool) -> None:
    """Refuse a training on the masks that are scored; warn of masks for a test that is not asked for.

    Args:
        cfg: finalised config of ``conf/train.yaml``.
        reads_masks: whether the loss does.

    Raises:
        ValueError: the data's own set is scored, and its test part is its training part, masks included.
    """
    from seglab.stages import choice

    own = cfg.data.name in test_sets(cfg)
    if own and reads_masks and getattr(instantiate(cfg.data.source), "trains_on_test", False):
        raise ValueError(
            f"data={cfg.data.name}: split=both trains on the photos that are scored, and loss={choice(cfg)} reads "
            "masks: expected a loss without masks, or data.source.split=8:2"
        )
    if cfg.data.get("test_masks") and not own:
        log.warning(
            "data=%s: data.test_masks=%s is given, and nothing is scored by it: data.test_sets has no 'self'; add "
            "data.test_sets=[self]",
            cfg.data.name, cfg.data.test_masks,
        )  # fmt: skip
