"""Digests of image files, remembered so that an unchanged file is not read again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gad_bench.errors import UserError
from gad_bench.files import write_text

log = logging.getLogger(__name__)

FOLDER = "fingerprints-v1"
UNSETTLED = 2_000_000_000  # ns: a file changed so lately could change again within its time stamp

Stamp = list[int]
Known = dict[str, tuple[Stamp, str]]


@dataclass(frozen=True)
class Fingerprint:
    """What a list of files held when it was looked at.

    Attributes:
        paths: the files.
        stamps: size, modification time, change time and inode of each.
        digests: the SHA-256 of each file's content.
    """

    paths: Sequence[str]
    stamps: Sequence[Stamp]
    digests: Sequence[str]

    def require_unchanged(self, numbers: Iterable[int]) -> None:
        """Refuse some of the files if they hold anything else by now.

        Raises:
            UserError: names the file that changed.
        """
        for number in numbers:
            path = self.paths[number]
            if _stamp(path) != self.stamps[number] and _digest(path) != self.digests[number]:
                raise UserError(f"{path} changed while it was being read: run again")


def fingerprint(paths: Sequence[str], cache_dir: Path) -> Fingerprint:
    """Return the fingerprint of files, reading only those that are not remembered.

    A digest is remembered by the file's stamp; a program cannot set the change time in it, so an
    edit that restores size and modification time is noticed too.

    Raises:
        UserError: a file is missing or cannot be read.
    """
    index = _index_path(paths, cache_dir)
    known = _read_index(index)
    stamps = [_stamp(path) for path in paths]
    stale = [i for i, path in enumerate(paths) if path not in known or known[path][0] != stamps[i]]
    if stale:
        with ThreadPoolExecutor() as threads:
            fresh = list(threads.map(_digest, [paths[i] for i in stale]))
        known |= {paths[i]: (stamps[i], digest) for i, digest in zip(stale, fresh, strict=True)}
        _write_index(index, known)
    return Fingerprint(paths, stamps, [known[path][1] for path in paths])


def is_intact(index: Path) -> bool:
    """Tell whether an index can be read and its content is what its first line says."""
    return _checked_text(index) is not None


def _stamp(path: str) -> Stamp:
    try:
        found = Path(path).stat()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _digest(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def _index_path(paths: Sequence[str], cache_dir: Path) -> Path:
    folder = os.path.commonpath([str(Path(path).parent) for path in paths]) if paths else ""
    name = hashlib.sha256(folder.encode()).hexdigest()[:32]
    return cache_dir / FOLDER / f"{name}.json"


def _read_index(path: Path) -> Known:
    """Read the index; a damaged one is told of and forgotten."""
    if not path.exists():
        return {}
    text = _checked_text(path)
    if text is None:
        log.warning("%s is damaged: the images are read again", path)
        return {}
    return {name: (stamp, digest) for name, (stamp, digest) in json.loads(text).items()}


def _checked_text(path: Path) -> str | None:
    """Return what stands below the first line, if that is its SHA-256."""
    try:
        checksum, _, text = path.read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return None
    return text if checksum == hashlib.sha256(text.encode()).hexdigest() else None


def _write_index(path: Path, known: Known) -> None:
    """Keep what is old enough to be trusted; without a place to keep it, files are read again."""
    limit = time.time_ns() - UNSETTLED
    settled = {
        name: (stamp, digest) for name, (stamp, digest) in known.items() if max(stamp[1:3]) < limit
    }
    text = json.dumps(settled)
    try:
        write_text(path, hashlib.sha256(text.encode()).hexdigest() + "\n" + text)
    except OSError as error:
        log.warning("%s cannot be written (%s): the images will be read again", path, error)
