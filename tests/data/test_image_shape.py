"""An image's size without its pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from gad_bench.base.errors import UserError
from gad_bench.data.images import image_shape, read_image

PICTURE = np.zeros((20, 30, 3), np.uint8)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tiff", "webp"])
def test_the_shape_is_height_and_width(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image.{suffix}"
    cv2.imwrite(str(path), PICTURE)
    assert image_shape(path) == (20, 30)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_shape_is_that_of_the_image_turned_upright(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "image.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PICTURE).save(path, exif=exif)
    assert image_shape(path) == read_image(path).shape[:2]


def test_what_is_no_image_is_refused_as_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(b"no image")
    with pytest.raises(UserError, match="cannot be read as an image"):
        image_shape(path)
