"""An image's size by its file's head, and what is refused by it before anything is decoded."""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from gad_bench.base.errors import UserError
from gad_bench.base.files import sha256_of
from gad_bench.data.folders import list_images
from gad_bench.data.image_head import head_size
from gad_bench.data.images import decode_image, image_shape, read_image, read_mask
from gad_bench.data.table import ImageList

WIDTH, HEIGHT = 301, 167
RGB = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
FILES = [
    ("PNG", {}),
    ("PNG", {"pnginfo": None, "interlace": 1}),
    ("JPEG", {}),
    ("JPEG", {"progressive": True, "comment": b"\xff\xc0 no frame"}),
    ("JPEG", {"exif": Image.Exif()}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"big_tiff": True}),
    ("WEBP", {"lossless": True}),
    ("WEBP", {"quality": 80}),
    ("WEBP", {"quality": 80, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}),
]


def content_of(kind: str, options: dict[str, object]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, kind, **options)
    return buffer.getvalue()


def large_png(side: int) -> bytes:
    """A PNG that says it is of so many pixels a side, of a few bytes."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@pytest.mark.parametrize(("kind", "options"), FILES, ids=lambda value: str(value)[:30])
def test_the_head_tells_the_size_that_decoding_gives(kind: str, options: dict[str, object]) -> None:
    content = content_of(kind, options)
    assert head_size(content) == (WIDTH, HEIGHT)
    assert decode_image(content, "it").shape[:2] == (HEIGHT, WIDTH)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_so_it_is_with_what_opencv_writes(suffix: str, depth: type[np.generic]) -> None:
    if depth == np.uint16 and suffix not in (".png", ".tif"):
        pytest.skip(f"{suffix} has no 16 bits")
    assert head_size(cv2.imencode(suffix, RGB.astype(depth))[1].tobytes()) == (WIDTH, HEIGHT)


@pytest.mark.parametrize(("kind", "options"), FILES, ids=lambda value: str(value)[:30])
def test_a_head_that_is_cut_short_or_damaged_raises_nothing(
    kind: str, options: dict[str, object]
) -> None:
    content = content_of(kind, options)
    for end in range(40):
        head_size(content[:end])
    noise = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content)
        damaged[noise.integers(2, min(len(content), 200))] = noise.integers(256)
        head_size(bytes(damaged))


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"P6 9 9 255 ", b"no image", b"BM", b"RIFF"])
def test_what_is_no_such_image_has_no_size(content: bytes) -> None:
    assert head_size(content) is None


def test_an_image_beyond_the_limit_is_refused_by_its_head(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(large_png(32000))
    told = r"huge.png is 32000 x 32000 pixels, more than 100 megapixels.*MAX_MEGAPIXELS=1024"
    for read in (read_image, lambda path: read_mask(path, (9, 9))):
        with pytest.raises(UserError, match=told):
            read(path)


def test_the_limit_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    content = content_of("PNG", {})
    monkeypatch.setenv("GAD_BENCH_MAX_MEGAPIXELS", "0.05")
    with pytest.raises(UserError, match=r"301 x 167 pixels, more than 0\.05 megapixels"):
        decode_image(content, "it")
    monkeypatch.setenv("GAD_BENCH_MAX_MEGAPIXELS", "0.06")
    assert decode_image(content, "it").shape == RGB.shape
    for value in ("0", "-1", "nan", "many"):
        monkeypatch.setenv("GAD_BENCH_MAX_MEGAPIXELS", value)
        with pytest.raises(UserError, match=f"GAD_BENCH_MAX_MEGAPIXELS={value} must be a number"):
            decode_image(content, "it")


@pytest.fixture(params=["fifo", "socket", "device"])
def no_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    if request.param == "fifo":
        os.mkfifo(path)
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(str(path))
    else:
        path.symlink_to("/dev/zero")
    return path


def test_what_is_no_regular_file_is_refused_and_never_waited_for(no_file: Path) -> None:
    for read in (read_image, image_shape, lambda path: read_mask(path, (9, 9))):
        with pytest.raises(UserError, match=r"image.png cannot be read: it is no regular file"):
            read(no_file)
    with pytest.raises(OSError, match="no regular file"):
        sha256_of(no_file)
    with pytest.raises(UserError, match="no regular file"):
        list_images(no_file.parent)
    with pytest.raises(UserError, match="cannot be read as CSV in UTF-8: it is no regular file"):
        ImageList(file=no_file, folder=no_file.parent, columns={}).categories()
