"""Parts of the predict command that need no network: what is meant by an input, and what is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from seglab.predict import complete
from seglab.predicting.inputs import find_photos
from seglab.predicting.overlay import _grown, overlay
from seglab.words import quoted


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_names_count_from_the_folder_that_was_named(tmp_path) -> None:
    folder = touched(tmp_path, "a.jpg", "b.c.PNG", ".hidden.jpg", "notes.txt", "x/y/d.tif", ".git/e.jpg")
    assert [p.name for p in find_photos(str(folder))] == ["a", "b.c"]
    assert [p.name for p in find_photos(str(folder), recursive=True)] == ["a", "b.c", "x/y/d"]
    assert [p.name for p in find_photos(f"{folder}/*/y/*")] == ["x/y/d"]
    assert [p.name for p in find_photos(f"{folder}/**/*.tif")] == ["x/y/d"]
    assert [p.name for p in find_photos([f"{folder}/x/y", str(folder)])] == ["d", "a", "b.c"]
    assert [p.name for p in find_photos(str(folder / "notes.txt"))] == ["notes"]


def test_inputs_that_hold_no_photo_are_refused(tmp_path) -> None:
    folder = touched(tmp_path, "notes.txt", "deeper/a.jpg")
    with pytest.raises(ValueError, match=r"no image in this folder .*recursive=true"):
        find_photos(str(folder))
    with pytest.raises(ValueError, match=r"no image fits this pattern .*folders"):
        find_photos(f"{folder}/*")
    with pytest.raises(ValueError, match="no such file or folder"):
        find_photos(f"{folder}/a.jpg")
    with pytest.raises(ValueError, match=r"input=\[\]"):
        find_photos([])


def test_two_photos_of_one_name_are_refused(tmp_path) -> None:
    for other in ("a.png", "A.JPEG"):
        folder = touched(tmp_path / other, "a.jpg", other)
        with pytest.raises(ValueError, match="would be written under one name"):
            find_photos(str(folder))
    apart = touched(tmp_path / "apart", "x/a.jpg", "y/a.jpg")
    assert len(find_photos(str(apart), recursive=True)) == 2
    with pytest.raises(ValueError, match="would be written under one name"):
        find_photos([f"{apart}/x", f"{apart}/y"])


def test_names_are_taken_as_typed() -> None:
    typed = ["run=a/b-c", "input=my photo (1), new.jpg", "output=o'clock", "flip=true", "input=[a,b]"]
    assert complete(typed) == [
        "run=a/b-c",
        "input='my photo (1), new.jpg'",
        "output='o\\'clock'",
        "flip=true",
        "input=[a,b]",
    ]
    with pytest.raises(ValueError, match="run is missing"):
        complete(["input=a"])


@pytest.mark.parametrize(
    "value",
    [
        "[0-9]*.jpg", "[x] dir", "'tis.jpg", '"q"x', "'a' and 'b'", "it's", "'", '"', "[", "a\\b c", "a\\",
        "a\\'b", "12e5", "~/x", "a$b", "(x){y}=z",
    ],
)  # fmt: skip
def test_a_quoted_value_is_the_text_that_was_typed(value: str) -> None:
    read = OverridesParser.create().parse_override(quoted(f"input={value}"))
    assert read.value() == value


def test_lists_and_quoted_values_stay_and_a_file_of_that_name_wins(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for argument in ("input=[a,b]", "input='my a'", 'input="my a"', "run=${x}", "input=[x]"):
        assert quoted(argument) == argument
    (tmp_path / "[x]").mkdir()
    assert quoted("input=[x]") == "input='[x]'"


def test_overlay_shows_on_any_ground() -> None:
    mask = np.zeros((60, 80), dtype=bool)
    mask[20:40, 30:60] = True
    for ground in (0, 128, 255):
        image = np.full((60, 80, 3), ground, dtype=np.uint8)
        drawn = overlay(image, mask)
        assert (drawn[:15] == image[:15]).all()
        edge = drawn[19:21, 45].astype(int)
        assert np.abs(edge[0] - edge[1]).max() == 255
        assert np.abs(drawn[30, 45].astype(int) - ground).max() >= 50
    assert (overlay(image, np.zeros_like(mask)) == image).all()


@pytest.mark.parametrize(("width", "shape"), [(1, (1, 9)), (1, (20, 30)), (2, (40, 50)), (7, (60, 61)), (16, (70, 90))])
def test_outline_is_as_wide_as_asked(width: int, shape: tuple[int, int]) -> None:
    from scipy.ndimage import maximum_filter

    mask = np.random.default_rng(width).random(shape) > 0.99
    expected = maximum_filter(mask.astype(np.uint8), 2 * width + 1, mode="constant").astype(bool)
    assert (_grown(mask, width) == expected).all()
