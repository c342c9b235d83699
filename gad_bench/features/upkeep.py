"""Keeping the feature store: what it holds, whether it is sound, and what has to go."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gad_bench.base.files import TEMPORARY, read_regular
from gad_bench.data import fingerprint, remote_root
from gad_bench.features import decoded
from gad_bench.features.shards import (
    ABOUT,
    LAYOUT,
    RECIPE,
    StoredExtraction,
    entry_folders,
    extractions,
    is_intact,
    older_layouts,
    read_about,
    shard_files,
    shard_rows,
)

LEFT_FOR_GOOD = 86_400  # seconds: whoever writes a file takes less
DRAFTS = [
    f"{folder}/{TEMPORARY}*"
    for folder in (
        *(LAYOUT, f"{LAYOUT}/[0-9a-f]*", f"{LAYOUT}/[0-9a-f]*/to-block-*"),
        *(fingerprint.FOLDER, remote_root.FOLDER, decoded.FOLDER, f"{decoded.FOLDER}/*-[0-9]*/??"),
    )
]
"""Where what is not finished yet lies, or what is being removed."""


@dataclass(frozen=True)
class Holding:
    """One extraction as it lies in the store.

    Attributes:
        extraction: its place.
        about: dataset, category and backbone, as far as they are known.
        images: the number of images; 0 where the recipe is damaged.
        passes: vectors per image.
        parts: finished shards.
        all_parts: the shards of the whole.
        size: in bytes.
        made: when the first shard was finished, in seconds since 1970.
        used: when it was last read or written, likewise.
    """

    extraction: StoredExtraction
    about: dict[str, str]
    images: int
    passes: int
    parts: int
    all_parts: int
    size: int
    made: float
    used: float

    @property
    def is_complete(self) -> bool:
        """Whether all shards are there."""
        return 0 < self.all_parts <= self.parts

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.extraction.folder

    @property
    def name(self) -> str:
        """What it is, for people."""
        return " ".join(self.about.get(key, "?") for key in ABOUT)

    def remove(self) -> bool:
        """Remove it, whole or not at all; return whether it was free to be removed.

        Raises:
            OSError: the folder cannot be written.
        """
        return remove(self.extraction)


@dataclass(frozen=True)
class KeptImages:
    """Images as they lie in the cache: decoded ones of one input size, or copies of one root's.

    Attributes:
        what: they are, for people.
        folder: their place.
        images: their number.
        size: in bytes.
        used: when one was last read or written, in seconds since 1970.
    """

    what: str
    folder: Path
    images: int
    size: int
    used: float

    @property
    def name(self) -> str:
        """What they are, for people."""
        return f"{self.images} {self.what} image{'s' * (self.images != 1)}"

    def remove(self) -> bool:
        """Remove them; whoever reads or writes one meanwhile goes on without.

        Raises:
            OSError: the folder cannot be written.
        """
        _remove_whole(self.folder, self.folder.parent)
        return True


Kept = Holding | KeptImages


def holdings(cache_dir: Path) -> list[Holding]:
    """Return what the store holds, the longest unused first."""
    found = [
        holding
        for entry in entry_folders(cache_dir)
        for extraction in extractions(entry)
        if (holding := _look_at(extraction))
    ]
    return sorted(found, key=lambda holding: holding.used)


def kept_images(cache_dir: Path) -> list[KeptImages]:
    """Return the decoded images, by input size, and the copies of images on object storage."""
    found = []
    for folder in sorted((cache_dir / decoded.FOLDER).glob("[!.]*")):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # removed meanwhile
            if not decoded.holds_images(folder):  # the user's own
                continue
            images, used = sum(1 for _ in folder.glob("*/[!.]*")), folder.stat().st_mtime
            found.append(KeptImages("decoded", folder, images, size_of(folder), used))
    for mirror in remote_root.mirrors(cache_dir):
        with contextlib.suppress(FileNotFoundError):
            images, used = sum(1 for _ in mirror.copies()), mirror.folder.stat().st_mtime
            found.append(KeptImages("copied", mirror.folder, images, size_of(mirror.folder), used))
    return found


def damaged_files(cache_dir: Path) -> Iterator[tuple[Path, bool]]:
    """Yield every file that the cache holds of images and features, and whether it is damaged.

    One that is removed meanwhile is not.
    """
    for path, is_sound in _checked_files(cache_dir):
        yield path, not is_sound(path) and path.exists()


def _checked_files(cache_dir: Path) -> Iterator[tuple[Path, Callable[[Path], bool]]]:
    """Yield the files, and what tells whether one is as it was written."""
    for entry in entry_folders(cache_dir):
        for extraction in extractions(entry):
            for path in shard_files(extraction.folder).values():
                yield path, is_intact
        for recipe in entry.glob(RECIPE):
            yield recipe, lambda path: read_recipe(path) is not None
    for index in sorted((cache_dir / fingerprint.FOLDER).glob("[!.]*.json")):
        yield index, fingerprint.is_intact
    for image in sorted((cache_dir / decoded.FOLDER).glob("[!.]*/*/[!.]*")):
        yield image, decoded.is_intact


def choose_unused(held: Sequence[Kept], before: float) -> list[Kept]:
    """Return those that were last used before a time, in seconds since 1970."""
    return [holding for holding in held if holding.used < before]


def choose_surplus(held: Sequence[Kept], size: int) -> list[Kept]:
    """Return those that must go, the longest unused first, for the rest to fit into a size."""
    surplus = sum(holding.size for holding in held) - size
    chosen = []
    for holding in sorted(held, key=lambda holding: holding.used):
        if surplus <= 0:
            break
        chosen.append(holding)
        surplus -= holding.size
    return chosen


def remove(extraction: StoredExtraction) -> bool:
    """Remove an extraction, whole or not at all; return whether it was free to be removed.

    Raises:
        OSError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(extraction.lock).acquire(timeout=0):
            _remove_whole(extraction.folder, extraction.entry.parent)
            if not extractions(extraction.entry):
                extraction.recipe.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # another process begins a new extraction
                    extraction.entry.rmdir()
            extraction.lock.unlink(missing_ok=True)
    except Timeout:
        return False
    return True


def leftovers(cache_dir: Path) -> list[Path]:
    """Return the stores of older versions, and what killed processes left a day ago or more."""
    drafts = [path for pattern in DRAFTS for path in sorted(cache_dir.glob(pattern))]
    left = [path for path in drafts if _is_left_for_good(path)]
    return [*older_layouts(cache_dir), *decoded.older_folders(cache_dir), *left]


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder, or of one file."""
    paths = [Path(place, file) for place, _, files in os.walk(folder) for file in files]
    total = 0
    for path in paths or [folder]:
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _is_left_for_good(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime < time.time() - LEFT_FOR_GOOD
    return False


def _remove_whole(folder: Path, beside: Path) -> None:
    """Remove a folder, unless somebody else is before us."""
    doomed = beside / f"{TEMPORARY}{uuid.uuid4().hex}"
    with contextlib.suppress(FileNotFoundError):
        folder.rename(doomed)
        shutil.rmtree(doomed)


def _look_at(extraction: StoredExtraction) -> Holding | None:
    """Describe an extraction, None where it was removed meanwhile."""
    recipe = read_recipe(extraction.recipe) or {"images": [], "passes": 1}
    files = shard_files(extraction.folder)
    try:
        used = extraction.folder.stat().st_mtime
        made = min((path.stat().st_mtime for path in files.values()), default=used)
    except FileNotFoundError:
        return None
    images, passes = len(recipe["images"]), recipe["passes"]
    return Holding(
        extraction=extraction,
        about=next((read_about(path) for path in files.values() if is_intact(path)), {}),
        images=images,
        passes=passes,
        parts=len(files),
        all_parts=len(shard_rows(images * passes, maps=extraction.maps)),
        size=size_of(extraction.folder),
        made=made,
        used=used,
    )


def read_recipe(path: Path) -> dict[str, Any] | None:
    """Return the recipe, None where it is not what its folder's name says, or no recipe."""
    try:
        content = read_regular(path)
        if hashlib.sha256(content).hexdigest() != path.parent.name:
            return None
        recipe = json.loads(content)
    except (OSError, ValueError, RecursionError):
        return None
    return recipe if _is_recipe(recipe) else None


def _is_recipe(content: Any) -> bool:  # noqa: ANN401 - whatever JSON can hold
    return (
        isinstance(content, dict)
        and isinstance(content.get("images"), list)
        and isinstance(content.get("passes"), int)
        and content["passes"] > 0
    )
