"""The noise transition T of a loss correction: T[i][j] is the probability that a pixel of class i is labelled j.

    python -c "from seglab.losses.transition import transition_of as f; print(f({'type': 'flip', 'rate': 0.3}))"

Legend: K classes.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger(__name__)

NEARLY_SINGULAR = 0.1
"""Smallest singular value below which noisy labels say next to nothing of the clean ones; ours."""


def checked_transition(matrix: Any, *, key: str = "loss.matrix") -> Tensor:
    """A transition as float64 [K, K].

    Args:
        matrix: K rows of K numbers, none negative, each row adding up to 1 (to 1e-3; it is then made exact).
        key: where it comes from, for the message.

    Raises:
        ValueError: it is none.
    """
    rows = [list(row) if _listed(row) else [] for row in matrix] if _listed(matrix) else []
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) and v >= 0 for row in rows for v in row)
    fits = len(rows) >= 2 and all(len(row) == len(rows) for row in rows) and numbers
    if not fits or not all(math.isclose(sum(row), 1, abs_tol=1e-3) for row in rows):
        raise ValueError(
            f"{key}={matrix}: expected K rows of K numbers, row i the shares of class i's pixels that carry each "
            "label, adding up to 1, such as [[0.7,0.3],[0.3,0.7]]"
        )
    found = torch.tensor(rows, dtype=torch.float64)
    return found / found.sum(1, keepdim=True)


def transition_of(report: Mapping[str, Any]) -> Tensor | None:
    """The transition of the noise that a run's ``noise.json`` describes.

    Args:
        report: the content of ``noise.json``. ``transition`` counts where it is there. Without it ``flip`` gives
            [[1-r, r], [r, 1-r]], r being the share of images whose mask was exchanged (``achieved``).

    Returns:
        Float64 [K, K]; None where no mask was changed, whatever K is.

    Raises:
        ValueError: the report does not tell.
    """
    told, rate = report.get("transition"), report.get("rate", 1)
    if not rate:
        return None
    if told is not None:
        return checked_transition([_row(i, row) for i, row in enumerate(told)], key="transition in noise.json")
    if report.get("type") == "flip":
        share = float(report.get("achieved", rate))
        return torch.tensor([[1 - share, share], [share, 1 - share]], dtype=torch.float64)
    raise ValueError(
        f"noise={report.get('type')}: its noise.json tells no transition: expected loss.matrix=[[..],[..]], row i the "
        "shares of class i's pixels that carry each label, or loss=forward_estimated"
    )


def _listed(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _row(number: int, row: Sequence[float]) -> list[float]:
    """A row as it is, or that of an unchanged class where no pixel has the class."""
    return list(row) if any(row) else [float(number == j) for j in range(len(row))]


def warn_if_lost(matrix_KK: Tensor) -> None:
    """Say so where the noisy labels do not tell the classes apart."""
    smallest = float(torch.linalg.svdvals(matrix_KK)[-1])
    if smallest < NEARLY_SINGULAR:
        log.warning(
            "loss (forward): with this noise a pixel's label says next to nothing of its class (smallest singular "
            "value of the transition %.3f), so no correction can tell them apart: %s",
            smallest,
            shown(matrix_KK),
        )


def shown(matrix_KK: Tensor) -> str:
    """The rows on one line."""
    return "[" + ", ".join("[" + ", ".join(f"{v:.3f}" for v in row) + "]" for row in matrix_KK.tolist()) + "]"
