"""One figure of the HTML report: words and markup, nothing else.

Example::

    Figure(id="cas-t3-small-noise", title="Noise", caption="...", html="<svg ...", kind="noise", table="cas_t3-small")
"""

from __future__ import annotations

import re
from dataclasses import dataclass

KINDS = (
    "noise",
    "alpha",
    "pr",
    "loss_profile",
    "sparse_outputs",
    "training",
    "annealing",
    "iou_uoi",
    "samples",
    "other",
)


@dataclass(frozen=True)
class Figure:
    """What a page places.

    Attributes:
        id: unique on the page, of the characters [a-z0-9-].
        title: a few words, plain text.
        caption: what is shown, from which runs, at which scale; plain text.
        html: inline ``<svg>`` whose colours are CSS variables, or ``<img>`` with a picture as data URI; no script.
        kind: one of :data:`KINDS`.
        table: stem of the table the figure belongs to, ``cas_t3-small``; empty = none.
    """

    id: str
    title: str
    caption: str
    html: str
    kind: str
    table: str = ""


def figure_id(*words: str) -> str:
    """An id made of words: small letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-") or "figure"
