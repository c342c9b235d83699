"""Finding folders and images on disk, with errors that say where and what to do."""

from __future__ import annotations

import logging
from collections import Counter
from functools import cache
from pathlib import Path

from gad_bench.base.errors import UserError
from gad_bench.data.images import SUFFIXES

UNREAD = frozenset(
    {".avif", ".cr2", ".cr3", ".dng", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".nef"}
    | {".pbm", ".pgm", ".pnm", ".ppm", ".psd", ".raw"}
)
"""How images in formats that are not read are named; they are told of when passed over."""

log = logging.getLogger(__name__)


def data_root(root: str | None, dataset: str, hint: str) -> Path:
    """Return a data set's folder as an absolute path.

    Args:
        root: as configured; "~" is the user's home.
        dataset: its name, for the errors.
        hint: how to name the folder and where the data are to be had, for the errors.

    Raises:
        UserError: no folder is named, or there is none of that name.
    """
    if not root:
        raise UserError(f"data set {dataset} has no root: {hint}")
    folder = Path(root).expanduser().absolute()
    try:
        found = folder.is_dir()
    except OSError as error:  # too long a name, say
        raise UserError(f"data set {dataset}: {error.strerror}: {folder}") from error
    if not found:
        raise UserError(f"data set {dataset}: there is no folder {folder}: {hint}")
    return folder


def list_images(folder: Path) -> list[Path]:
    """Return the image files right in a folder, sorted; none when there is no such folder.

    Hidden files (as macOS leaves them beside each file it copies) and other files are passed over;
    images in formats that are not read, with a word.

    Raises:
        UserError: a FIFO, a socket or a device has an image's name.
    """
    files = _visible(folder)
    unread = Counter(path.suffix.lower() for path in files if path.suffix.lower() in UNREAD)
    for suffix, count in sorted(unread.items()):
        _tell_unread(folder, suffix, count)
    return [path for path in files if is_image_name(path) and _is_file(path)]


def list_folders(folder: Path) -> list[Path]:
    """Return the folders right in a folder, sorted; none when there is no such folder."""
    return [path for path in _visible(folder) if path.is_dir()]


def require_images(folder: Path) -> list[Path]:
    """Return the image files right in a folder.

    Raises:
        UserError: there is no such folder, or no image in it.
    """
    images = list_images(folder)
    if not images:
        state = "holds no images" if folder.is_dir() else "does not exist"
        raise UserError(f"{folder} {state}: it must hold {', '.join(sorted(SUFFIXES))} files")
    return images


@cache
def _tell_unread(folder: Path, suffix: str, count: int) -> None:
    """Tell once of images that are passed over, however often the folder is listed."""
    log.warning("%s: %d %s files are passed over: convert them to PNG", folder, count, suffix)


def is_image_name(path: Path) -> bool:
    """Tell whether a file's name ends as an image's does."""
    return path.suffix.lower() in SUFFIXES


def _is_file(path: Path) -> bool:
    if path.is_file():
        return True
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is no regular file: take it out of the data set")
    return False


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise UserError(f"folder {folder} cannot be read: {error.strerror}") from error


def find_images(pattern: str) -> list[str]:
    """Return the files that a pattern, a folder or a file's own name means, sorted.

    Raises:
        UserError: there is none.
    """
    from glob import glob

    place = Path(pattern).expanduser()
    if place.is_dir():
        return [str(path) for path in require_images(place)]
    if place.is_file():
        return [str(place)]
    found = [path for path in glob(str(place), recursive=True) if not Path(path).is_dir()]  # noqa: PTH207
    if not found:
        raise UserError(f"images={pattern} matches no file")
    return sorted(found)
