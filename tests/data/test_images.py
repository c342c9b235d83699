from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from gad_bench.base.errors import UserError
from gad_bench.data.images import read_image, read_mask

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
GREY = RGB[..., 0]
ALPHA = np.full((20, 30, 1), 60, np.uint8)
LOSSLESS = ["png", "bmp", "tif", "webp"]
EXACT: dict[str, dict[str, Any]] = {"webp": {"lossless": True, "exact": True}}


def saved(folder: Path, suffix: str, picture: Image.Image, **options: object) -> Path:
    path = folder / f"image.{suffix}"
    picture.save(path, **EXACT.get(suffix, {}), **options)
    return path


def written(folder: Path, suffix: str, pixels: np.ndarray) -> Path:
    """Write with OpenCV, which takes BGR, what Pillow cannot write."""
    path = folder / f"image.{suffix}"
    cv2.imwrite(str(path), pixels)
    return path


def as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_rgb_is_read_as_it_was_written(suffix: str, tmp_path: Path) -> None:
    image = read_image(saved(tmp_path, suffix, Image.fromarray(RGB)))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, RGB)


def test_a_jpeg_is_read_as_pillow_reads_it(tmp_path: Path) -> None:
    smooth = np.asarray(Image.fromarray(RGB[:4, :6]).resize((30, 20)))
    path = saved(tmp_path, "jpg", Image.fromarray(smooth), quality=95)
    with Image.open(path) as picture:
        expected = np.asarray(picture)
    assert np.abs(read_image(path).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_grey_is_repeated_in_every_channel(suffix: str, tmp_path: Path) -> None:
    path = saved(tmp_path, suffix, Image.fromarray(GREY))
    np.testing.assert_array_equal(read_image(path), as_rgb(GREY))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_a_palette_becomes_its_colours(suffix: str, tmp_path: Path) -> None:
    picture = Image.fromarray(RGB).quantize(8)
    path = saved(tmp_path, suffix, picture)
    np.testing.assert_array_equal(read_image(path), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_one_bit_becomes_black_and_white(suffix: str, tmp_path: Path) -> None:
    path = saved(tmp_path, suffix, Image.fromarray(GREY > 100))
    np.testing.assert_array_equal(read_image(path), as_rgb((GREY > 100) * np.uint8(255)))


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_alpha_is_dropped(suffix: str, tmp_path: Path) -> None:
    path = saved(tmp_path, suffix, Image.fromarray(np.concatenate([RGB, ALPHA], axis=2)))
    np.testing.assert_array_equal(read_image(path), RGB)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_upper_8_of_16_bits_are_kept(suffix: str, channels: int, tmp_path: Path) -> None:
    shape = (20, 30, channels)
    wide = np.random.default_rng(1).integers(0, 2**16, shape).astype(np.uint16)
    image = read_image(written(tmp_path, suffix, wide))
    expected = as_rgb(wide[..., 0]) if channels == 1 else wide[..., 2::-1]
    np.testing.assert_array_equal(image, expected >> 8)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    flat = np.full((16, 16, 3), [200, 30, 90], np.uint8)
    path = saved(tmp_path, "jpg", Image.fromarray(flat).convert("CMYK"), quality=100)
    assert np.abs(read_image(path).astype(int) - flat).max() <= 4


def test_the_first_of_several_pages_is_read(tmp_path: Path) -> None:
    other = Image.fromarray(255 - RGB)
    path = saved(tmp_path, "tif", Image.fromarray(RGB), save_all=True, append_images=[other])
    np.testing.assert_array_equal(read_image(path), RGB)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", [1, 2, 3, 6, 8])
def test_exif_orientation_is_applied(suffix: str, orientation: int, tmp_path: Path) -> None:
    picture = Image.fromarray(np.kron(RGB[:2, :3], np.ones((16, 16, 1), np.uint8)))
    exif = picture.getexif()
    exif[ExifTags.Base.Orientation] = orientation
    path = saved(tmp_path, suffix, picture, exif=exif)
    with Image.open(path) as turned:
        expected = np.asarray(ImageOps.exif_transpose(turned))
    image = read_image(path)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= (2 if suffix == "jpg" else 0)


@pytest.mark.parametrize("suffix", [*LOSSLESS, "jpg"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.95])
def test_an_image_cut_short_is_named(suffix: str, kept: float, tmp_path: Path) -> None:
    path = saved(tmp_path, suffix, Image.fromarray(RGB))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(UserError, match=rf"image\.{suffix} cannot be read as an image"):
        read_image(path)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32])
def test_samples_without_a_known_white_are_refused(kind: type, tmp_path: Path) -> None:
    path = written(tmp_path, "tif", GREY.astype(kind))
    with pytest.raises(UserError, match=r"image\.tif cannot be read as .* not of 8 or 16 bits"):
        read_image(path)


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "image.png").touch()
    with pytest.raises(UserError, match=r"image\.png is empty: replace it or take it out"):
        read_image(tmp_path / "image.png")


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_text("not an image")
    with pytest.raises(UserError, match=r"image\.png cannot be read as an image"):
        read_image(tmp_path / "image.png")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"image\.png cannot be read: No such file"):
        read_image(tmp_path / "image.png")


def test_the_decoder_itself_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "image.tif").write_bytes(
        saved(tmp_path, "tif", Image.fromarray(RGB)).read_bytes()[:99]
    )
    with pytest.raises(UserError):
        read_image(tmp_path / "image.tif")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("level", [1, 255, 256, 65535])
def test_every_pixel_of_a_mask_that_is_not_black_is_defective(level: int, tmp_path: Path) -> None:
    kind = np.uint8 if level < 256 else np.uint16
    path = written(tmp_path, "png", (GREY > 100).astype(kind) * kind(level))
    np.testing.assert_array_equal(read_mask(path, GREY.shape), GREY > 100)


def test_a_mask_of_another_size_than_its_image_is_named_with_both_sizes(tmp_path: Path) -> None:
    path = saved(tmp_path, "png", Image.fromarray(GREY))
    message = r"image\.png is 30 x 20 pixels, its image 40 x 20: a mask must have its image's size"
    with pytest.raises(UserError, match=message):
        read_mask(path, (20, 40))
