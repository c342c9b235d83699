"""Digests of image files, remembered so that an unchanged file is not read again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gad_bench.base.errors import UserError
from gad_bench.base.files import open_regular, sha256_of, whole_file

log = logging.getLogger(__name__)

FOLDER = "fingerprints-v1"
UNSETTLED = 2_000_000_000  # ns: a file changed so lately could change again within its time stamp

READERS = 8  # threads: files may lie on a network

Stamp = str
"""Size, modification time, change time and inode as the index writes them: a JSON list, which as
text takes half the memory of its numbers."""
Known = dict[str, tuple[Stamp, str]]


@dataclass(frozen=True)
class Fingerprint:
    """What a list of files held when it was looked at.

    Attributes:
        paths: the files.
        stamps: what tells without reading it whether a file has changed.
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
            if (
                file_stamp(path) != self.stamps[number]
                and file_digest(path) != self.digests[number]
            ):
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
    stamps = [file_stamp(path) for path in paths]
    stale = [i for i, path in enumerate(paths) if path not in known or known[path][0] != stamps[i]]
    if stale:
        fresh = _digests([paths[i] for i in stale])
        known.update((paths[i], (stamps[i], own)) for i, own in zip(stale, fresh, strict=True))
        _write_index(index, known)
    return Fingerprint(paths, stamps, [known[path][1] for path in paths])


def is_intact(index: Path) -> bool:
    """Tell whether an index can be read and its content is what its first line says."""
    return _checked_text(index) is not None


def _digests(paths: Sequence[str]) -> list[str]:
    from multiprocessing.pool import ThreadPool

    with ThreadPool(READERS) as threads:
        return threads.map(file_digest, paths)


def file_stamp(path: str) -> Stamp:
    """Return what tells without reading a file whether it has changed.

    Raises:
        UserError: it cannot be read.
    """
    try:
        found = Path(path).stat()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    return json.dumps([found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino])


def file_digest(path: str) -> str:
    """Return the SHA-256 of a file's content.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return sha256_of(Path(path))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def common_folder(paths: Iterable[str]) -> str:
    """Return the folder that holds all files, of which there may be a million in a few folders."""
    return os.path.commonpath({os.path.dirname(path) or os.curdir for path in paths})  # noqa: PTH120


def _index_path(paths: Sequence[str], cache_dir: Path) -> Path:
    folder = common_folder(paths) if paths else ""
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
    return dict(_entries(text))


def _checked_text(path: Path) -> str | None:
    """Return what stands below the first line, if that is its SHA-256."""
    try:
        with open_regular(path) as file:
            checksum, text = file.readline(), file.read()
    except OSError:
        return None
    intact = checksum == hashlib.sha256(text).hexdigest().encode() + b"\n"
    return text.decode() if intact else None


def _entries(text: str) -> Iterator[tuple[str, tuple[Stamp, str]]]:
    """Parse an index one entry at a time: all at once they take several times the memory."""
    decode, position = json.JSONDecoder().raw_decode, len("{")
    while position < len(text) - len("}"):
        name, position = decode(text, position)
        (stamp, digest), position = decode(text, position + len(": "))
        yield name, (json.dumps(stamp), digest)
        position += len(", ")


def _write_index(path: Path, known: Known) -> None:
    """Write the index; without a place for it, files are read again."""
    checksum = hashlib.sha256()
    try:
        with whole_file(path) as draft, draft.open("wb") as file:
            file.write(checksum.hexdigest().encode() + b"\n")
            for piece in _index_pieces(known):
                checksum.update(piece)
                file.write(piece)
            file.seek(0)
            file.write(checksum.hexdigest().encode())
    except OSError as error:
        log.warning("%s cannot be written (%s): the images will be read again", path, error)


def _index_pieces(known: Known) -> Iterator[bytes]:
    """Yield the JSON of what is old enough to be trusted, an entry at a time."""
    limit = time.time_ns() - UNSETTLED
    before = "{"
    for name, (stamp, digest) in known.items():
        if max(json.loads(stamp)[1:3]) < limit:
            yield f'{before}{json.dumps(name)}: [{stamp}, "{digest}"]'.encode()
            before = ", "
    yield b"{}" if before == "{" else b"}"
