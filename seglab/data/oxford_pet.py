"""Oxford-IIIT Pet: photos of cats and dogs with trimaps; the pet, the cat or the dog is the object.

A trimap is 1 on the pet, 2 on the background and 3 on the border between them, which neither trains nor scores: the
transfer source of regularized loss (Veksler, ECCV 2020, section 4.2), with its lists as training and test part.

Source: Parkhi, Vedaldi, Zisserman, Jawahar, "Cats and dogs", CVPR 2012. One runnable line: ``python -c
"from seglab.data.oxford_pet import OxfordPet; print(len(OxfordPet('oxford-iiit-pet/images',
masks='oxford-iiit-pet/annotations/trimaps', train_list='oxford-iiit-pet/annotations/trainval.txt').items('train')))"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seglab.data.filepair import FilePair
from seglab.data.pairing import PARTS, Fault, Layout, by_lists, scan
from seglab.data.pairs import compare_counts, data_missing
from seglab.data.photos import Photo
from seglab.words import nearest, some

TRIMAP = {1: 1, 2: 0, 3: 255}
"""Value of a trimap -> label: pet, background, border (ignored)."""

SPECIES = {"cat": 1, "dog": 2}
CATEGORIES = ("pet", *SPECIES)

OTHER = {"cat": "dog", "dog": "cat"}
"""Category -> the one whose photos are its negative images."""


class OxfordPet:
    """Photos and trimaps in folders, parts by lists whose lines are ``stem class species breed``.

    Args:
        images: folder of the photos; those that no list names are passed over.
        masks: folder of the trimaps.
        category: ``pet``: cats and dogs are the object; ``cat`` or ``dog``: the parts hold this species only, and the
            other one of the training list is the part ``negative``.
        train_list: text file of the training part; lines that start with ``#`` are comments. Null = there is none.
        test_list: the same for the test part.
        name: name of the data set in messages.
        about: prose for messages: ``layout``, ``homepage``; ``counts`` (``train``, ``test``) is compared with what is
            found for ``pet``.

    Raises:
        ValueError: an option outside its range.
    """

    has_negatives = True
    """Whether there is a part ``negative``; :meth:`items` says where a category has none."""

    def __init__(
        self,
        images: str,
        *,
        masks: str,
        category: str = "pet",
        train_list: str | None = None,
        test_list: str | None = None,
        name: str = "oxford_pet",
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.images, self.masks, self.category, self.name, self.about = images, masks, str(category), name, about or {}
        self.lists = {"train": train_list, "test": test_list}
        if self.category not in CATEGORIES:
            guess = nearest(self.category, list(CATEGORIES))
            guess = guess if "did you mean" in guess else ""
            raise ValueError(f"data.category={category}: expected one of {', '.join(CATEGORIES)}{guess}")

    def items(self, part: str) -> list[FilePair] | list[Photo]:
        """The photos of ``"train"``, ``"test"`` or ``"negative"`` in the order of their list.

        Negative photos have masks of 255.

        Raises:
            ValueError: no such part; folders, lists or listed files missing; a line of a list that is none.
        """
        if part not in (*PARTS, "negative"):
            raise ValueError(f"part={part!r}: expected 'train', 'test' or 'negative'")
        if part == "negative" and self.category == "pet":
            raise self._error("data.category=pet has no negative images: expected cat or dog, or negatives=other")
        listed = {one: species_in(path, name=self.name, about=self.about) for one, path in self.lists.items() if path}
        source = "train" if part == "negative" else part
        if source not in listed:
            raise self._error(f"has no {part} part (data.source.{source}_list=null)")
        if both := [stem for stem in listed.get("train", {}) if stem in listed.get("test", {})]:
            raise self._error(f"{some(both)} in both '{self.lists['train']}' and '{self.lists['test']}'")
        kind = OTHER[self.category] if part == "negative" else self.category
        wanted = [stem for stem, species in listed[source].items() if kind == "pet" or species == SPECIES[kind]]
        if not wanted:
            raise self._error(f"no {kind} in '{self.lists[source]}': expected lines 'stem class {SPECIES[kind]} breed'")
        matches, faults = scan(Layout(self.images, self.masks), self.images, self.masks, set(wanted))
        parts, absent = by_lists(matches, {source: wanted}, self.lists)
        if faults or absent:
            raise self._refusal([*faults, *absent][0])
        found = parts[source]
        if kind == "pet":
            compare_counts(self.name, self.about, {part: len(found)}, found[0].image)
        if part == "negative":
            return [Photo(m.id, m.image) for m in found]
        return [FilePair(m.id, m.image, m.mask, values=TRIMAP) for m in found]

    def _refusal(self, fault: Fault) -> ValueError:
        names, place = some(fault.names), fault.places[0]
        if fault.kind == "folder":
            return data_missing(
                self.name, self.about, "photo folder" if fault.what == "image" else "trimap folder", place
            )
        messages = {
            "double": f"two {fault.what} files with the stem '{' '.join(fault.names)}': {' and '.join(fault.places)}",
            "bare": f"{names}: photo without a trimap of the same stem in '{place}'",
            "orphan": f"{names}: trimap without a photo of the same stem in '{place}'",
            "absent": f"{names} listed in '{place}', but not in '{self.images}'",
        }
        return self._error(messages[fault.kind] + fault.hint)

    def _error(self, message: str) -> ValueError:
        return ValueError(f"data={self.name}: {message}")


def species_in(path: str, *, name: str, about: Mapping[str, Any]) -> dict[str, int]:
    """Stem -> species (1 cat, 2 dog) of a list, in its order.

    Args:
        path: the text file.
        name: the data set in messages.
        about: its prose.

    Raises:
        ValueError: the list is missing, empty or no text; a line that does not have four columns with species 1 or 2;
            a stem twice.
    """
    where = f"data={name}: list '{path}'"
    if not Path(path).is_file():
        raise data_missing(name, about, "list", path)
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    found: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 4 or words[2] not in ("1", "2"):
            raise ValueError(
                f"{where}, line {number}: {line[:60]!a}: expected 'stem class species breed' with species 1 (cat) or 2 "
                "(dog), e.g. 'Abyssinian_100 1 1 1'"
            )
        if words[0] in found:
            raise ValueError(f"{where}, line {number}: '{words[0]}' more than once")
        found[words[0]] = int(words[2])
    if not found:
        raise ValueError(f"{where} is empty: expected lines 'stem class species breed'")
    return found
