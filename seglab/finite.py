"""Stop before a step whose loss or gradient is not a finite number; the saved state stays as it is.

One runnable line: ``python -c "from seglab.finite import NumberWatch; print(NumberWatch(fp16=False).overflows)"``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

MAX_SKIPPED = 20
"""fp16 steps in a row that may overflow before the run is given up."""


class NumberWatch:
    """Looks at the numbers of every step.

    Args:
        fp16: gradients are scaled; where they overflow, the scaler leaves the step out and lowers its scale.

    Attributes:
        overflows: steps left out in a row.
        skipped: steps left out in this epoch.
    """

    def __init__(self, *, fp16: bool) -> None:
        self.fp16 = fp16
        self.overflows = self.skipped = 0

    def check(self, values: Mapping[str, float], *, epoch: int, step: int, ids: Sequence[str], last: Path) -> None:
        """Look at the loss terms, their sum and the gradient's norm of a step that is about to be made.

        Args:
            values: name -> number; ``grad_norm`` among them.
            epoch: counted from 0.
            step: counted from 0.
            ids: images of the step.
            last: the run's checkpoint, there or not.

        Raises:
            ValueError: naming epoch, step, values, image ids and the last good checkpoint.
        """
        finite = {k: math.isfinite(v) for k, v in values.items()}
        if all(finite.values()):
            self.overflows = 0
            return
        row = ""
        if self.fp16 and all(v for k, v in finite.items() if k != "grad_norm"):
            self.overflows, self.skipped = self.overflows + 1, self.skipped + 1
            if self.overflows <= MAX_SKIPPED:
                return
            row = f", the last of {self.overflows} fp16 steps in a row that overflowed"
        shown = ", ".join(f"{k}={v:g}" for k, v in values.items())
        kept = f"the last good checkpoint is {last}" if last.exists() else "no checkpoint was written yet"
        raise ValueError(
            f"loss or gradient not finite in epoch {epoch + 1}, step {step + 1} ({shown}){row}; stopped before the "
            f"step, {kept}. Images of this step: {', '.join(ids)}. Try a smaller optim.lr or runtime.precision=fp32"
        )
