"""Finding folders and images on disk, with errors that say where and what to do."""

from __future__ import annotations

from pathlib import Path

from gad_bench.data.images import SUFFIXES
from gad_bench.errors import UserError


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
    if not folder.is_dir():
        raise UserError(f"data set {dataset}: there is no folder {folder}: {hint}")
    return folder


def list_images(folder: Path) -> list[Path]:
    """Return the image files right in a folder, sorted; none when there is no such folder.

    Hidden files (as macOS leaves them beside each file it copies) and other files are passed over.

    Raises:
        UserError: a FIFO, a socket or a device has an image's name.
    """
    return [path for path in _visible(folder) if is_image_name(path) and _is_file(path)]


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
