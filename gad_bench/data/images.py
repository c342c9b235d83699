"""Reading image files.

OpenCV decodes, from memory: of the maintained decoders (OpenCV, Pillow, torchvision.io; all give
equal pixels for 8-bit PNG and JPEG) it is the quickest, and from memory it refuses a file that is
cut short, where `cv2.imread` returns what there is of it. It releases the GIL, so threads decode
in parallel.

What becomes of each kind of file:

- 8 bits a sample are kept; of 16 bits the upper 8 are kept, so that one picture gives the same
  pixels as PNG and as TIFF (OpenCV rounds a TIFF's instead, which differs by at most 1). Other
  samples (float, 32 bits) are an error: which of their values is white is anyone's guess.
- Grey is repeated in red, green and blue; a palette and CMYK become RGB.
- Alpha is dropped. (OpenCV composes an 8-bit TIFF that has alpha on black instead.)
- EXIF orientation is applied: the image is seen as the camera was held. A mask has the size of
  the image so turned.
- Of several pages or frames the first is read.
- An image of more than 100 megapixels is an error, by its file's head, before it is decoded: a PNG
  of 4 MB can be one of 32000 x 32000 pixels, and take 7 GB. The environment variable
  GAD_BENCH_MAX_MEGAPIXELS sets another limit; no number depends on it.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.base.files import open_regular, read_regular
from gad_bench.data.image_head import head_size

LIMIT = "GAD_BENCH_MAX_MEGAPIXELS"
MAX_MEGAPIXELS = 100.0

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})

_ORIENTATION = 0x0112  # the EXIF tag, and its values for a camera held on its side
_SIDEWAYS = (5, 6, 7, 8)

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # errors are raised here


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Read an image as RGB.

    Returns:
        uint8 array of shape [height, width, 3].

    Raises:
        UserError: the file is missing, empty, damaged, cut short, too large or not such an image.
    """
    return decode_image(read_bytes(Path(path)), str(path))


def decode_image(content: bytes, name: str) -> NDArray[np.uint8]:
    """Decode an image file's content as RGB.

    Args:
        content: of the file.
        name: for the error.

    Returns:
        uint8 array of shape [height, width, 3].

    Raises:
        UserError: it is damaged, cut short, too large or not such an image.
    """
    image = _decode_bytes(content, name)
    return (image if image.dtype == np.uint8 else image >> 8).astype(np.uint8, copy=False)


def image_shape(path: str | Path) -> tuple[int, int]:
    """Return an image's height and width, by the file's head where Pillow can read it.

    Raises:
        UserError: as `read_image`.
    """
    from PIL import Image

    try:
        with open_regular(Path(path)) as file, Image.open(file) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION, 1) in _SIDEWAYS
    except (OSError, Image.DecompressionBombError):
        height, width = read_image(path).shape[:2]
        return height, width
    return (width, height) if turned else (height, width)


def read_mask(path: str | Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Read a defect's mask: every pixel that is not black is defective.

    Args:
        path: an image file, or a folder of them, whose defective pixels are put together; in 16
            bits, small label numbers count like any other.
        shape: height and width of the image that the mask belongs to.

    Returns:
        bool array of that shape.

    Raises:
        UserError: a file cannot be read, or a mask is of another size than its image.
    """
    mask = np.zeros(shape, bool)
    for file in mask_files(path):
        mask |= _read_mask_file(file, shape)
    return mask


def mask_files(path: str | Path) -> list[Path]:
    """Return the files of a mask: itself, or the images in it where it is a folder."""
    mask = Path(path)
    if not mask.is_dir():
        return [mask]
    return sorted(file for file in mask.iterdir() if file.suffix.lower() in SUFFIXES)


def is_black(path: Path) -> bool:
    """Tell whether an image, such as a mask of nothing, is all black.

    Raises:
        UserError: the file cannot be read.
    """
    return not _decode(path).any()


def _read_mask_file(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = np.asarray(_decode(path).any(axis=2))
    if mask.shape != tuple(shape):
        (height, width), (image_height, image_width) = mask.shape, shape
        raise UserError(
            f"mask {path} is {width} x {height} pixels, its image {image_width} x {image_height}: "
            "a mask must have its image's size"
        )
    return mask


def _decode(path: str | Path) -> NDArray[Any]:
    return _decode_bytes(read_bytes(Path(path)), str(path))


def _decode_bytes(content: bytes, path: str) -> NDArray[Any]:
    """Decode as BGR and swap: OpenCV 5.0.0 returns garbage for a 16-bit TIFF asked for as RGB."""
    if not content:
        raise UserError(f"{path} is empty: replace it or take it out of the data set")
    _check_size(content, path)
    encoded = np.frombuffer(content, np.uint8)
    try:
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:  # too many pixels for OpenCV, among others
        raise UserError(f"{path} cannot be decoded: {error.err}") from error
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise _not_readable(path)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _check_size(content: bytes, path: str) -> None:
    size = head_size(content)
    if size is None:
        raise _not_readable(path)
    (width, height), limit = size, max_megapixels()
    if width * height > 1e6 * limit:
        raise UserError(
            f"{path} is {width} x {height} pixels, more than {limit:g} megapixels: make it "
            f"smaller, or set {LIMIT}={math.ceil(width * height / 1e6)} if memory allows"
        )


def max_megapixels() -> float:
    """Return how large an image may be, in millions of pixels.

    Raises:
        UserError: the environment variable holds no number above 0.
    """
    named = os.environ.get(LIMIT, "")
    try:
        limit = float(named or MAX_MEGAPIXELS)
    except ValueError:
        limit = math.nan
    if not limit > 0:
        raise UserError(f"{LIMIT}={named} must be a number above 0")
    return limit


def _not_readable(path: str) -> UserError:
    return UserError(
        f"{path} cannot be read as an image: it is damaged, cut short, or not of 8 or 16 bits "
        "(PNG, JPEG, BMP, TIFF, WebP); replace it or take it out of the data set"
    )


def read_bytes(path: str | Path) -> bytes:
    """Return a file's content.

    Raises:
        UserError: it cannot be read, or is no regular file.
    """
    try:
        return read_regular(Path(path))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def small_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Return height and width of a picture whose longer side is brought to some pixels."""
    longest = max(height, width)
    return max(1, round(side * height / longest)), max(1, round(side * width / longest))


def shrink(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return a picture [height, width, 3] whose longer side has that many pixels."""
    height, width = small_size(image.shape[0], image.shape[1], side)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def shrink_mask(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Return a small mask [height, width], in which no defect is lost."""
    height, width = small_size(mask.shape[0], mask.shape[1], side)
    size = (width, height)
    return np.asarray(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0)
