"""The metrics of ``eval=rerank``: those of classes while a network is trained, those of re-ranking on a test set.

Numbers: ``miou_<name>``, ``<name>_accuracy`` and ``iou_<name>_<class>`` for ``naive`` and ``superpixel`` (label maps
made of the coarse output itself), ``first`` (1-best), ``random``, ``oracle``, and every ranker of
``eval.rerank.rankers``. Source: Cogswell et al. 2014, tables 1 and 2 and section 4.

One runnable line: ``python -m seglab.evaluate run=<run of eval=semantic> eval=rerank``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from seglab.metrics.pooled import Pooled
from seglab.metrics.semantic import SemanticMetrics
from seglab.rerank.settings import RerankSettings
from seglab.run import Run

if TYPE_CHECKING:
    from seglab.data.arrays import ArrayDataset
    from seglab.evaluator import Evaluator
    from seglab.rerank.outcome import Outcome


class Rerank(SemanticMetrics):
    """Until ``measure`` is called: the metrics of the network's own label maps (validation).

    Args:
        protocol: ``classes`` says how many there are.
        classes: their names, in the order of their numbers.
        settings: of ``eval.rerank``; what they leave to the classes is settled here, so that a report has the value.

    Raises:
        ValueError: as :class:`seglab.metrics.semantic.SemanticMetrics`.
    """

    def __init__(self, protocol: Pooled, *, classes: Sequence[str], settings: RerankSettings) -> None:
        super().__init__(protocol, classes=classes)
        self.rerank = settings.of_classes(classes)
        self.outcome: Outcome | None = None

    def check_config(self, cfg: DictConfig) -> None:
        """Refuse what cannot be re-ranked, before anything is read.

        Raises:
            ValueError: naming the key.
        """
        if cfg.eval.resolution != "original":
            raise ValueError(f"eval.resolution={cfg.eval.resolution}: expected original with eval=rerank")
        if not cfg.eval.descriptor.softmax:
            raise ValueError(
                "eval=rerank needs the probability of every class, and this loss gives embeddings: expected loss=ce, "
                "ce_soft, iou, uoi or uoi_ce"
            )
        if cfg.get("proposals") is None:
            raise ValueError("eval=rerank: the config has no proposals: expected proposals=divmbest, or a folder")

    def check_training(self, cfg: DictConfig) -> None:
        """Refuse a training whose test images could not be re-ranked at its end, before it starts.

        Raises:
            ValueError: fold networks are missing, with the commands that train them; or what makes proposals is wrong,
                or a given folder of them lacks images.
        """
        from seglab.fold_lists import training_ids
        from seglab.proposals.make import check_proposals
        from seglab.rerank.coarse_outputs import finished_folds

        if not list(cfg.eval.sets):
            return
        check_proposals(cfg, training=self.rerank.needs_training_images)
        if self.rerank.needs_training_images:
            finished_folds(Run.for_config(cfg), of=self.rerank.folds, ids=training_ids(cfg.data))

    def settings_of(self, cfg: DictConfig, run: Run | None) -> dict[str, Any]:
        """What the numbers depend on besides the run: settings, proposals and the fold networks, plain types."""
        from seglab.rerank.coarse_outputs import finished_folds

        proposals = OmegaConf.to_container(cfg.proposals, resolve=True)
        folder = proposals.get("folder")
        found = {"rerank": self.rerank.to_dict(), "proposals": {"folder": str(folder)} if folder else proposals}
        if run is not None and self.rerank.needs_training_images:
            found["folds"] = [fold.path.name for fold in finished_folds(run, of=self.rerank.folds)]
        return found

    def measure(self, evaluator: Evaluator, run: Run, dataset: ArrayDataset, name: str) -> None:
        """Re-rank a test set; every process must call it.

        Args:
            evaluator: the run's network, with its config.
            run: the run folder.
            dataset: the test images.
            name: of the set.

        Raises:
            ValueError: as :func:`seglab.rerank.measure.measure`.
        """
        from seglab.rerank.measure import measure

        self.outcome = measure(evaluator, run, dataset, name, self.rerank)

    @property
    def found(self) -> dict[str, Any]:
        """What was chosen or learned on the way, for the report."""
        return {} if self.outcome is None else self.outcome.found

    def compute(self) -> dict[str, float]:
        """Metrics of the set in percent, see the module; of the network's own label maps before ``measure``."""
        return super().compute() if self.outcome is None else self.outcome.metrics()

    def rows(self) -> list[dict[str, float]]:
        """One dict an image: ``chosen_<ranker>``, counted from 0, and ``accuracy_<name>`` in percent."""
        return super().rows() if self.outcome is None else self.outcome.rows

    def curves(self) -> dict[str, np.ndarray]:
        """The oracle against the number of proposals."""
        return {} if self.outcome is None else self.outcome.curves()
