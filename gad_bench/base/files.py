"""Files that are written whole or not at all, and digests of what they hold."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

TEMPORARY = ".tmp-"


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside the file; it takes the file's place when the block ends well.

    Content and name are on the disk by then, so that a power cut takes neither.

    Raises:
        OSError: the file cannot be written; nothing is left behind.
    """
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            _flush(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # some file systems flush no folders
        _flush(path.parent)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside the path; it takes the path when the block ends well.

    Raises:
        FileExistsError: the path is taken; nothing is left behind.
        OSError: it cannot be written; likewise.
    """
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=path.parent))
        try:
            yield temporary
            for file in temporary.iterdir():
                file.chmod(0o644)
                _flush(file)
            temporary.chmod(0o755)
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    with contextlib.suppress(OSError):
        _flush(path.parent)


def open_regular(path: Path) -> BufferedReader:
    """Open a file to read its bytes; a FIFO, a socket or a device could make us wait for ever.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return path.open("rb")


def read_regular(path: Path) -> bytes:
    """Return a file's content; see `open_regular`.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    with open_regular(path) as file:
        return file.read()


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the path in an error that names nothing, or a temporary file that nobody knows."""
    try:
        yield
    except OSError as error:
        if error.errno is None or (error.filename and TEMPORARY not in str(error.filename)):
            raise
        number = errno.EEXIST if error.errno == errno.ENOTEMPTY else error.errno
        raise OSError(number, os.strerror(number), str(path)) from error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all; what is no UTF-8 in it is escaped."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def json_pieces(value: Any) -> Iterator[str]:  # noqa: ANN401 - whatever JSON can hold
    """Yield the text of a value, so that a long one is never in memory as a whole.

    Raises:
        ValueError: a number in it is not finite.
    """
    encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
    return encoder.iterencode(value)


def json_digest(value: Any) -> str:  # noqa: ANN401
    """Return the SHA-256 of a value's text, in hexadecimal.

    Raises:
        ValueError: a number in it is not finite.
    """
    digest = hashlib.sha256()
    for piece in json_pieces(value):
        digest.update(piece.encode())
    return digest.hexdigest()
