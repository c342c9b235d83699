"""What an image file's head says of its size: read before anything is decoded.

Pillow reads heads as well, but not of every file that OpenCV decodes (16-bit RGB TIFF), allocates a
WebP's canvas, and refuses large images by a limit of its own that is the whole process's.

Sources: PNG (W3C Recommendation, third edition, 11.2.1), JPEG (ITU-T T.81, B.1 and B.2.2), Windows
bitmap headers (BITMAPCOREHEADER, BITMAPINFOHEADER), TIFF 6.0 (section 2) and BigTIFF, WebP (RFC
9649, 2.5 to 2.7; RFC 6386, 9.1).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping

Size = tuple[int, int]
"""Width and height, in pixels."""


def head_size(content: bytes) -> Size | None:
    """Return an image's width and height by its file's content.

    Returns:
        None for what is no PNG, JPEG, BMP, TIFF or WebP, or ends within its head.
    """
    for magic, read in _READERS.items():
        if content.startswith(magic):
            try:
                return read(content)
            except (struct.error, IndexError, ValueError, OverflowError):
                return None
    return None


def _png(content: bytes) -> Size:
    if content[12:16] != b"IHDR":
        raise ValueError
    width, height = struct.unpack_from(">II", content, 16)
    return width, height


def _bmp(content: bytes) -> Size:
    (length,) = struct.unpack_from("<I", content, 14)
    width, height = struct.unpack_from("<HH" if length == 12 else "<ii", content, 18)
    return abs(width), abs(height)  # a negative height: from top to bottom


def _webp(content: bytes) -> Size:
    kind = content[12:16]
    if content[8:12] != b"WEBP":
        raise ValueError
    if kind == b"VP8X":
        return _three_bytes(content, 24) + 1, _three_bytes(content, 27) + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError


def _three_bytes(content: bytes, start: int) -> int:
    return int.from_bytes(content[start : start + 3], "little")


_ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length
_NO_FRAMES = (0xC4, 0xC8, 0xCC)  # among 0xC0 to 0xCF, those that start no frame


def _jpeg(content: bytes) -> Size:
    place = 2
    while True:
        place = content.index(b"\xff", place) + 1
        marker = content[place]
        if marker in (0x00, 0xFF, *_ALONE):
            continue
        length, _, height, width = struct.unpack_from(">HBHH", content, place + 1)
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES:
            return width, height
        if length < 2:
            raise ValueError
        place += 1 + length


_WIDTH, _HEIGHT = 256, 257  # a TIFF's tags
_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}  # a TIFF's types of whole numbers


def _tiff(content: bytes) -> Size:
    """Read the first directory; of a tag that is there twice, the larger value."""
    order = "<" if content[:2] == b"II" else ">"
    largest = {_WIDTH: 0, _HEIGHT: 0}
    for tag, value in _tiff_numbers(content, order):
        if tag in largest:
            largest[tag] = max(largest[tag], value)
    return largest[_WIDTH], largest[_HEIGHT]


def _tiff_numbers(content: bytes, order: str) -> Iterator[tuple[int, int]]:
    """Yield the tags that hold a whole number, and it."""
    (version,) = struct.unpack_from(f"{order}H", content, 2)
    start_at, start, count, step, value_at = (
        (8, "Q", "Q", 20, 12) if version == 43 else (4, "I", "H", 12, 8)
    )
    (place,) = struct.unpack_from(order + start, content, start_at)
    (entries,) = struct.unpack_from(order + count, content, place)
    place += struct.calcsize(f"{order}{count}")
    for entry in range(place, place + entries * step, step):
        tag, kind = struct.unpack_from(f"{order}HH", content, entry)
        if kind in _NUMBERS:
            (value,) = struct.unpack_from(order + _NUMBERS[kind], content, entry + value_at)
            yield tag, value


_READERS: Mapping[bytes, Callable[[bytes], Size]] = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"\xff\xd8": _jpeg,
    b"BM": _bmp,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
    b"II+\0": _tiff,
    b"MM\0+": _tiff,
    b"RIFF": _webp,
}
