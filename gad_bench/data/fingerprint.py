"""Digests of image files, remembered so that an unchanged file is not read again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gad_bench.errors import UserError
from gad_bench.files import write_text

log = logging.getLogger(__name__)

UNSETTLED = 2_000_000_000  # ns: a file changed so lately could change again within its time stamp

Known = dict[str, list[object]]


def image_digests(paths: Sequence[str], cache_dir: Path) -> list[str]:
    """Return the SHA-256 of each file's content, in order.

    A digest is remembered by the file's size, modification time, change time and inode; the change
    time cannot be set by a program, so an edit that restores the others is noticed too.

    Raises:
        UserError: a file is missing or cannot be read.
    """
    index = _index_path(paths, cache_dir)
    known = _read_index(index)
    stamps = [_stamp(path) for path in paths]
    stale = [
        i for i, path in enumerate(paths) if path not in known or known[path][:-1] != stamps[i]
    ]
    if stale:
        with ThreadPoolExecutor() as threads:
            fresh = list(threads.map(_digest, [paths[i] for i in stale]))
        known |= {paths[i]: [*stamps[i], digest] for i, digest in zip(stale, fresh, strict=True)}
        _write_index(index, known)
    return [str(known[path][-1]) for path in paths]


def _stamp(path: str) -> list[object]:
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
    return cache_dir / "fingerprints" / f"{name}.json"


def _read_index(path: Path) -> Known:
    """Read the index; a damaged one is told of and forgotten."""
    try:
        checksum, _, text = path.read_text(encoding="utf-8").partition("\n")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError):
        checksum, text = "", ""
    if checksum != hashlib.sha256(text.encode()).hexdigest():
        log.warning("%s is damaged: the images are read again", path)
        return {}
    known: Known = json.loads(text)
    return known


def _write_index(path: Path, known: Known) -> None:
    """Keep what is old enough to be trusted; without a place to keep it, files are read again."""
    limit = time.time_ns() - UNSETTLED
    settled = {
        name: entry
        for name, entry in known.items()
        if max(int(str(stamp)) for stamp in entry[1:3]) < limit
    }
    text = json.dumps(settled)
    try:
        write_text(path, hashlib.sha256(text.encode()).hexdigest() + "\n" + text)
    except OSError as error:
        log.warning("%s cannot be written (%s): the images will be read again", path, error)
