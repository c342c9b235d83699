"""Decoded images, kept for further backbones of the same input size."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from gad_bench.base.files import TEMPORARY, read_regular, whole_file
from gad_bench.features.interface import Pixels, Size, height_and_width

log = logging.getLogger(__name__)

VERSION = 2  # raise it when a file's meaning changes: what older versions wrote is not read
FOLDER = f"images-v{VERSION}"
CHECKSUM = hashlib.sha256().digest_size  # bytes at a file's start, over all that follows

_FOLDER_NAME = re.compile(r"images-v(\d+)")
_SIZE_NAME, _PART_NAME = re.compile(r"[a-z0-9-]+-\d+(x\d+)?"), re.compile(r"[0-9a-f]{2}")
_IMAGE_NAME = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class DecodedImages:
    """Images as a backbone takes them, on disk.

    To decode a large PNG can take longer than a small network on a CPU, or any on a GPU. A file is
    named by the digest of the image file, so that equal images share one, whatever the data set.
    It holds a checksum, a line that says whose pixels follow (of which image, read how, of which
    size), and the pixels: one that is put in another's place is noticed.
    """

    cache_dir: Path

    def folder(self, size: Size) -> Path:
        """Return where images of one size lie."""
        from gad_bench.features.extraction import READING

        sides = size if isinstance(size, int) else "x".join(map(str, size))
        return self.cache_dir / FOLDER / f"{READING.replace('/', '-')}-{sides}"

    def read(self, path: str, size: Size, digest: str) -> Pixels:
        """Read an image as `read_input` does, and keep it, or take what was kept.

        Args:
            path: the image file.
            size: of the input.
            digest: of the file's content.

        Raises:
            UserError: the image cannot be read.
        """
        from gad_bench.data.images import decode_image, read_bytes
        from gad_bench.features.extraction import resize_input

        folder = self.folder(size)
        kept = folder / digest[:2] / digest
        pixels = _load(kept, size)
        if pixels is None:
            content = read_bytes(path)
            pixels = resize_input(decode_image(content, path), size)
            if hashlib.sha256(content).hexdigest() == digest:  # else the caller will notice
                _keep(kept, pixels)
        with contextlib.suppress(OSError):
            os.utime(folder)  # the last use, for `gad_bench.cache prune`
        return pixels


def is_intact(path: Path) -> bool:
    """Tell whether a kept image can be read, is as it was written, and is what its place says."""
    try:
        return _checked(path) is not None
    except OSError:
        return False


def holds_images(folder: Path) -> bool:
    """Tell whether all that lies in a folder of one size is what `DecodedImages` puts there."""
    return bool(_SIZE_NAME.fullmatch(folder.name)) and all(
        _PART_NAME.fullmatch(part.name) and all(map(_is_image_name, part.iterdir()))
        for part in folder.iterdir()
    )


def older_folders(cache_dir: Path) -> list[Path]:
    """Return the folders of images that older versions of gad_bench left, and nothing else in."""
    matches = ((_FOLDER_NAME.fullmatch(path.name), path) for path in sorted(cache_dir.glob("*")))
    older = [path for match, path in matches if match and int(match[1]) < VERSION]
    return [path for path in older if path.is_dir() and all(map(holds_images, path.iterdir()))]


def _is_image_name(path: Path) -> bool:
    return bool(_IMAGE_NAME.fullmatch(path.name)) or path.name.startswith(TEMPORARY)


def _load(path: Path, size: Size) -> Pixels | None:
    """Return a kept image; None where there is none, or one that is damaged, which is told."""
    try:
        pixels = _checked(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:  # on a bad part of the disk
        pixels = None
    shape = (*height_and_width(size), 3)
    if pixels is None or len(pixels) != math.prod(shape):
        log.warning("%s is damaged: the image is decoded again", path)
        return None
    return np.frombuffer(pixels, np.uint8).reshape(shape)


def _checked(path: Path) -> memoryview | None:
    """Return a file's pixels, if its checksum is right and they are those of its place."""
    content, label = read_regular(path), _label(path)
    rest = memoryview(content)[CHECKSUM:]
    is_right = content[:CHECKSUM] == hashlib.sha256(rest).digest()
    return rest[len(label) :] if is_right and rest[: len(label)] == label else None


def _label(path: Path) -> bytes:
    """Return what a file says of its pixels: how they were read, of which size, of which image."""
    return f"{path.parents[1].name}/{path.name}\n".encode()


def _keep(path: Path, pixels: Pixels) -> None:
    try:
        with whole_file(path) as draft:
            content = _label(path) + pixels.tobytes()
            draft.write_bytes(hashlib.sha256(content).digest() + content)
    except FileNotFoundError:  # the folder was pruned meanwhile
        return
    except OSError as error:
        _tell_once(path.parents[1], error.strerror or str(error))


@cache
def _tell_once(folder: Path, reason: str) -> None:
    log.warning("%s cannot be written (%s): no more images are kept", folder, reason)
