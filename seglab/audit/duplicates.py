"""Findings about images that are there twice: the same pixels, or nearly the same picture, in a part and across parts.

One runnable line: ``python -c "from seglab.audit.duplicates import duplicates; help(duplicates)"``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seglab.audit.finding import Example, Finding, finding
from seglab.audit.hashes import CANDIDATES, near_pairs
from seglab.audit.look import Seen


def duplicates(seen: Sequence[Seen], *, within: bool = True) -> list[Finding]:
    """Pairs of images that show the same, exact ones and near ones apart, leaks across parts first.

    Args:
        seen: what the files hold; entries that share a file are one image.
        within: whether images of one part are compared with each other; False looks for leaks only.
    """
    images = list({one.entry.image: one for one in seen if one.image is not None and not one.image.error}.values())
    cases: dict[tuple[str, str], list[Example]] = {}
    groups: dict[bytes, list[Seen]] = {}
    for one in images:
        groups.setdefault(one.image.digest, []).append(one)
    for group in groups.values():
        for other in group[1:]:
            if within or group[0].entry.part != other.entry.part:
                _add(cases, ("leak", "copies"), group[0], other, "the same pixels")
    cut = False
    if len(images) > 1:
        hashes, mirrors = (np.array([getattr(o.image, k) for o in images], dtype=np.uint64) for k in ("hash", "mirror"))
        thumbs, parts = np.stack([one.image.thumb for one in images]), [one.entry.part for one in images]
        pairs, cut = near_pairs(hashes, mirrors, thumbs, parts, within=within)
        for pair in pairs:
            first, second = images[pair.first], images[pair.second]
            if first.image.digest != second.image.digest:
                detail = f"{'mirrored, ' if pair.mirrored else ''}correlation {pair.correlation:.3f}"
                _add(cases, ("near-leak", "near-copies"), first, second, detail)
    order = ("leak", "near-leak", "copies", "near-copies")
    found = [
        finding(check, examples, part=part)
        for (check, part), examples in sorted(cases.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    ]
    most = f"the first {CANDIDATES} candidates of a part, and of two parts, were looked at; a film?"
    return [*found, finding("not-compared", [Example("pairs", most)])] if cut else found


def _add(
    cases: dict[tuple[str, str], list[Example]], checks: tuple[str, str], first: Seen, second: Seen, detail: str
) -> None:
    parts = tuple(dict.fromkeys((first.entry.part, second.entry.part)))
    key = (checks[0] if len(parts) > 1 else checks[1], "+".join(part or "alone" for part in parts))
    ids = f"{first.entry.id} = {second.entry.id}"
    cases.setdefault(key, []).append(Example(ids, detail, (first.entry, second.entry)))
