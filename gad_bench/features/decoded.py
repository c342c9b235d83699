"""Decoded images, kept for further backbones of the same input size."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from gad_bench.base.files import whole_file
from gad_bench.features.interface import Pixels

log = logging.getLogger(__name__)

FOLDER = "images-v1"
CHECKSUM = hashlib.sha256().digest_size  # bytes at a file's start, over the pixels that follow


@dataclass(frozen=True)
class DecodedImages:
    """Images as a backbone takes them, on disk.

    To decode a large PNG can take longer than a small network on a CPU, or any on a GPU. A file is
    named by the digest of the image file, so that equal images share one, whatever the data set.
    """

    cache_dir: Path

    def folder(self, size: int) -> Path:
        """Return where images of one size lie."""
        from gad_bench.features.extraction import READING

        return self.cache_dir / FOLDER / f"{READING.replace('/', '-')}-{size}"

    def read(self, path: str, size: int, digest: str) -> Pixels:
        """Read an image as `read_square` does, and keep it, or take what was kept.

        Args:
            path: the image file.
            size: the side of the square.
            digest: of the file's content.

        Raises:
            UserError: the image cannot be read.
        """
        from gad_bench.data.images import decode_image, read_bytes
        from gad_bench.features.extraction import resize_square

        folder = self.folder(size)
        kept = folder / digest[:2] / digest
        pixels = _load(kept, size)
        if pixels is None:
            content = read_bytes(path)
            pixels = resize_square(decode_image(content, path), size)
            if hashlib.sha256(content).hexdigest() == digest:  # else the caller will notice
                _keep(kept, pixels)
        with contextlib.suppress(OSError):
            os.utime(folder)  # the last use, for `gad_bench.cache prune`
        return pixels


def is_intact(path: Path) -> bool:
    """Tell whether a kept image can be read and its pixels are those that it says."""
    try:
        return _checked(path.read_bytes()) is not None
    except OSError:
        return False


def _load(path: Path, size: int) -> Pixels | None:
    """Return a kept image; None where there is none, or one that is damaged, which is told."""
    try:
        pixels = _checked(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:  # on a bad part of the disk
        pixels = None
    if pixels is None or len(pixels) != 3 * size**2:
        log.warning("%s is damaged: the image is decoded again", path)
        return None
    return np.frombuffer(pixels, np.uint8).reshape(size, size, 3)


def _checked(content: bytes) -> memoryview | None:
    """Return the pixels, if their checksum is the one before them."""
    pixels = memoryview(content)[CHECKSUM:]
    return pixels if content[:CHECKSUM] == hashlib.sha256(pixels).digest() else None


def _keep(path: Path, pixels: Pixels) -> None:
    try:
        with whole_file(path) as draft:
            content = pixels.tobytes()
            draft.write_bytes(hashlib.sha256(content).digest() + content)
    except FileNotFoundError:  # the folder was pruned meanwhile
        return
    except OSError as error:
        _tell_once(path.parents[1], error.strerror or str(error))


@cache
def _tell_once(folder: Path, reason: str) -> None:
    log.warning("%s cannot be written (%s): no more images are kept", folder, reason)
