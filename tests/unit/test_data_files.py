"""Reading single image and mask files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from seglab.data.filepair import FilePair
from seglab.data.files import read_image, read_mask


def red_top(height=20, width=30):
    image = np.zeros((height, width, 3), np.uint8)
    image[0, :, 0] = 255
    return image


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".jpg"])
def test_image_is_upright_rgb(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    image = np.zeros((20, 30, 3), np.uint8)
    image[:10, :, 0] = 255
    Image.fromarray(image).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    read = read_image(path)
    assert read.shape == (20, 30, 3)
    assert read.dtype == np.uint8
    assert read[2, :, 0].min() > 240
    assert read[17].max() < 16


@pytest.mark.parametrize("mode", ["L", "1", "LA", "RGBA", "CMYK", "P", "I;16"])
def test_every_mode_becomes_the_same_rgb(tmp_path, mode):
    image = np.zeros((8, 6, 3), np.uint8)
    image[:4] = 255
    if mode == "I;16":
        stored = Image.fromarray(image[..., 0].astype(np.uint16) * 257)
    else:
        stored = Image.fromarray(image).convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    stored.save(path)
    np.testing.assert_array_equal(read_image(path), image)


def test_sixteen_bits_keep_the_upper_eight(tmp_path):
    Image.fromarray(np.array([[0, 255, 256, 40000, 65535]], np.uint16)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0, :, 0], [0, 0, 1, 156, 255])


def test_exif_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # turn by 90 degrees clockwise to show
    Image.fromarray(red_top()).save(tmp_path / "a.png", exif=exif)
    read = read_image(tmp_path / "a.png")
    assert read.shape == (30, 20, 3)
    assert (read[:, -1, 0] == 255).all()
    assert (read[:, 0, 0] == 0).all()


@pytest.mark.parametrize("content", [b"", b"not an image", None])
def test_broken_images_are_named(tmp_path, content):
    path = tmp_path / "a.jpg"
    if content is None:
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)).save(path)
        content = path.read_bytes()[:900]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"image '.*a\.jpg' cannot be read \({len(content)} bytes") as error:
        read_image(path)
    assert "expected a whole" in str(error.value)


def test_pixel_limit(tmp_path, monkeypatch):
    Image.fromarray(red_top()).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match="cannot be read"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("top", [1, 255])
def test_two_valued_masks(tmp_path, top):
    mask = np.zeros((4, 5), np.uint8)
    mask[0] = 1
    Image.fromarray(mask * top).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), mask)
    Image.fromarray(mask * 255).convert("1").save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "b.png"), mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "b.png", threshold=0.5), mask)
    Image.fromarray(np.repeat(mask[..., None] * top, 3, 2)).save(tmp_path / "c.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "c.png"), mask)


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (1, 1), (255, 1)])
def test_constant_masks(tmp_path, value, expected):
    Image.fromarray(np.full((3, 3), value, np.uint8)).save(tmp_path / "a.png")
    assert (read_mask(tmp_path / "a.png") == expected).all()


def test_graded_mask_needs_a_threshold(tmp_path):
    Image.fromarray(np.array([[0, 127, 128, 255]], np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png' has 4 values \(0, 127, 128, 255\).*threshold=0\.5"):
        read_mask(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", threshold=0.5), [[0, 0, 1, 1]])


def test_labels_are_not_cut_by_a_threshold(tmp_path):
    Image.fromarray(np.array([[0, 1]], np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"labels, not grades.*threshold=null"):
        read_mask(tmp_path / "a.png", threshold=0.5)


def test_palette_is_explicit(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2, 255]], np.uint8), mode="P")
    image.putpalette([v for i in range(256) for v in (i, 255 - i, 7)])
    image.save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"palette image with the indices \[0, 1, 2, 255\].*mask_values"):
        read_mask(tmp_path / "a.png")
    read = read_mask(tmp_path / "a.png", values={0: 0, 1: 1, 2: 1, 255: 255})
    np.testing.assert_array_equal(read, [[0, 1, 1, 255]])
    with pytest.raises(ValueError, match=r"has the values \[2, 255\]"):
        read_mask(tmp_path / "a.png", values={0: 0, 1: 1})


def test_coloured_mask_is_refused(tmp_path):
    Image.fromarray(red_top()).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="is coloured"):
        read_mask(tmp_path / "a.png")


def test_pair_sizes_must_agree(tmp_path):
    Image.fromarray(red_top(20, 30)).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((30, 20), np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match=r"is 30x20 .*is 20x30"):
        FilePair("a", tmp_path / "a.png", tmp_path / "m.png").read()


def test_fingerprint_follows_content_and_rule(tmp_path):
    image, mask = tmp_path / "a.png", tmp_path / "m.png"
    Image.fromarray(red_top()).save(image)
    Image.fromarray(red_top()[..., 0]).save(mask)
    first = FilePair("a", image, mask).fingerprint()
    assert FilePair("a", image, mask).fingerprint() == first
    assert FilePair("a", image, mask, threshold=0.5).fingerprint() != first
    Image.fromarray(255 - red_top()[..., 0]).save(mask)
    assert FilePair("a", image, mask).fingerprint() != first
    image.unlink()
    with pytest.raises(ValueError, match=r"a\.png' cannot be read"):
        FilePair("a", image, mask).fingerprint()
