"""What the fuzz tests found, each as a plain case, so that it stays found. See docs/results/fuzz.md."""

from __future__ import annotations

import inspect
import io
import sys

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from seglab.config import compose
from seglab.data.files import read_image, read_mask
from seglab.data.lists import read_list
from seglab.tables.expression import Number, Undecided, evaluate, parse
from seglab.tables.spec import load_table, parse_table
from seglab.targets import check_targets, instantiate


def test_a_flipped_bit_of_a_png_is_noticed(tmp_path) -> None:
    """Pillow does not compare the checksum of the pixels; of a small mask it reads some damaged copies otherwise."""
    mask = np.zeros((40, 40), np.uint8)
    mask[10:20, 10:20] = 255
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    content, refused = file.getvalue(), 0
    for place in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        (tmp_path / "a.png").write_bytes(damaged)
        try:
            found = read_mask(tmp_path / "a.png")
        except ValueError:
            refused += 1
        else:
            np.testing.assert_array_equal(found * 255, mask)
    assert refused == 8 * len(content)


def test_only_kinds_of_images_are_opened(tmp_path) -> None:
    """Pillow would start a program for EPS; whatever the suffix says, only the content counts."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(ValueError, match=r"cannot be read .*cannot identify"):
        read_image(tmp_path / "a.png")
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "b.gif")
    (tmp_path / "b.gif").rename(tmp_path / "b.png")
    assert read_image(tmp_path / "b.png").shape == (2, 2, 3)


def test_masks_of_more_than_16_bits(tmp_path) -> None:
    """Their values were an index beside the table of labels, and 8-bit grades in them were all cut away."""
    path = tmp_path / "a.tif"
    for value in (-1, 70_000):
        Image.fromarray(np.array([[0, value]], np.int32)).save(path)
        with pytest.raises(ValueError, match=rf"has the values \[{value}\]"):
            read_mask(path, values={0: 0, 65535: 7})
    Image.fromarray(np.array([[0, 255]], np.int32)).save(path)
    with pytest.raises(ValueError, match="grades of 8 bits"):
        read_mask(path, threshold=0.5)
    np.testing.assert_array_equal(read_mask(path), [[0, 1]])


@pytest.mark.parametrize("sign", ["\u2028", "\u2029"])
def test_names_are_cut_at_line_ends_only(tmp_path, sign) -> None:
    (tmp_path / "a.txt").write_text(f"a{sign}b\r\nc\rd\n", encoding="utf-8", newline="")
    assert read_list(tmp_path / "a.txt") == [f"a{sign}b", "c", "d"]


@pytest.mark.parametrize("line", ["a\0b", "a\x1b[31mb", "a\x0bb", "a\x85b", "x" * 5000])
def test_lines_that_are_no_names(tmp_path, line) -> None:
    (tmp_path / "a.txt").write_text(f"ok\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.txt', line 2: .* is no file name") as error:
        read_list(tmp_path / "a.txt")
    assert len(str(error.value)) < 500
    assert "\x1b" not in str(error.value)


@pytest.mark.parametrize("target", [None, 3, ["os.system"], {"a": 1}])
def test_a_target_that_is_no_name(target) -> None:
    cfg = OmegaConf.create({"loss": {"_target_": target}})
    with pytest.raises(ValueError, match=r"loss\._target_=.*expected the dotted name"):
        check_targets(cfg)


def test_switches_of_hydra_are_refused() -> None:
    for switch in ("_args_", "_recursive_", "_convert_"):
        cfg = OmegaConf.create({"optim": {"_target_": "torch.optim.Adam", "_partial_": True, switch: None}})
        with pytest.raises(ValueError, match=switch):
            check_targets(cfg)
        with pytest.raises(ValueError, match=switch):
            instantiate(cfg.optim)
    cfg = OmegaConf.create({"optim": {"_target_": "torch.optim.Adam", "_partial_": "yes"}})
    with pytest.raises(ValueError, match="_partial_=yes: expected true or false"):
        check_targets(cfg)


@pytest.mark.parametrize("node", [{}, {"a": 1}, "ce"])
def test_nothing_to_build(node) -> None:
    with pytest.raises(ValueError, match="expected a node with _target_"):
        instantiate(OmegaConf.create({"loss": node}).loss)


def test_a_config_that_contains_itself() -> None:
    cfg = OmegaConf.create({"a": {"x": "${b}"}, "b": {"y": "${a}"}})
    with pytest.raises(ValueError, match="contains itself"):
        check_targets(cfg)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("noise.rate=null", "noise.rate=None: expected"),
        ("seed=null", "seed=None: expected"),
        ("runtime.sync_batchnorm=[1]", "runtime.sync_batchnorm"),
        ("runtime.outputs=5", "runtime.outputs=5: expected text"),
        ("init.run=true", "init.run=True: expected"),
        ("init.run=1234567890", "no such run folder, name or id"),
        ("init.run=12e4567890", "run=12e4567890: no such run folder, name or id"),
        ("init.run=0e12345678", "run=0e12345678: no such run folder, name or id"),
        ("init.run=false", "init.run=False: expected"),
        ("schedule.epochs=1.5", "schedule.epochs=1.5: expected a whole number, 0 or more"),
        ("schedule.epochs=null", "schedule.epochs=None: expected"),
        ("eval.protocol=pysodmetrics", "expected one of the options of eval/protocol"),
        ("eval.protocol=pysodmetrics", "write eval/protocol=pysodmetrics"),
        ("eval.protocol=null", "write eval/protocol=cas"),
        ("eval.protocol=[1]", "eval.protocol=[1]: expected"),
        ("eval.post=agreement", "write eval/post=agreement"),
    ],
)
def test_values_of_another_kind(override, words) -> None:
    with pytest.raises(ValueError, match=r"expected|no such") as error:
        compose("train", [override])
    assert words in str(error.value)


@pytest.mark.parametrize("content", [None, [], "text", 5])
def test_a_table_that_is_no_table(content) -> None:
    with pytest.raises(ValueError, match=r"my\.yaml: expected keys and values"):
        parse_table(content, "my.yaml")


@pytest.mark.parametrize(
    "change",
    [
        {"id": 5},
        {"id": []},
        {"rows": 5},
        {"rows": {"a": 1}},
        {"claims": "A"},
        {"misprints": [1]},
        {"misprints": {"A": 3}},
        {"scales": {5: {}}},
        {"scales": "small"},
        {"notes": "one"},
        {"figures": ["x"]},
        {"title": {}},
    ],
)
def test_values_of_a_table_that_are_of_another_kind(change) -> None:
    content = {"id": "x", "paper": "p", "title": "t", "source": "s", "protocol": "q"}
    with pytest.raises(ValueError, match=r"my\.yaml"):
        parse_table({**content, **change}, "my.yaml")


@pytest.mark.parametrize("text", ["- name: a\n", "!!binary x", "? a\n", "1", "[" * 2000])
def test_a_table_file_that_is_no_table(tmp_path, text) -> None:
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"my\.yaml: "):
        load_table(str(tmp_path / "my.yaml"))


def test_a_table_file_without_its_keys(tmp_path) -> None:
    (tmp_path / "my.yaml").write_text("id: my\nrows: [{name: A}]\n")
    with pytest.raises(ValueError, match=r"my\.yaml: rows\[0\]: missing kind: expected a value$"):
        load_table(str(tmp_path / "my.yaml"))
    (tmp_path / "my.yaml").write_text("id: my\n")
    with pytest.raises(ValueError, match=r"my\.yaml: missing paper, title, source, protocol: expected values$"):
        load_table(str(tmp_path / "my.yaml"))


def test_numbers_of_a_claim_that_are_too_large() -> None:
    with pytest.raises(ValueError, match="is not a number"):
        parse(f"[A] > {'9' * 400}")
    tree, _ = parse("mean([A], [A]) > 0")
    with pytest.raises(Undecided, match="too large"):
        evaluate(tree, {0: Number(1.7e308, "higher"), 1: Number(1.7e308, "higher")}, "higher")


def test_a_claim_that_is_too_deep() -> None:
    tree, _ = parse(f"{'-' * 150}[A] > 0")
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 120)
    try:
        with pytest.raises(Undecided, match="too deep"):
            evaluate(tree, {0: Number(1, "higher")}, "higher")
    finally:
        sys.setrecursionlimit(before)
