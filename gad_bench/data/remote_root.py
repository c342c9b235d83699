"""A data set's root on object storage becomes a folder on this disk.

Its images are copied once, under their own names, so that all else reads files; a copy is made anew
when the store has another version of its object. fsspec's own local caches do not serve for that:
`simplecache` takes the half of a file that a killed download left for the whole, `filecache` and
`blockcache` write their list of all files anew with each one, and by their documentation several
threads should not share them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gad_bench.base.errors import UserError
from gad_bench.base.files import open_regular, whole_file
from gad_bench.base.remote import AT_ONCE, RemoteFolder, RemoteObject

log = logging.getLogger(__name__)

FOLDER = "objects-v1"
LISTS = ".csv"  # of images
MEGABYTE = 10**6


@dataclass(frozen=True)
class Mirror:
    """The copies of one root's objects.

    Attributes:
        folder: that holds them and, line by line, the version of each.
        name: of the root's own folder, which may be a category's.
    """

    folder: Path
    name: str

    @classmethod
    def of(cls, remote: RemoteFolder, cache_dir: Path) -> Mirror:
        """Return the place of a root's copies; nothing is made."""
        name = PurePosixPath(remote.path).name
        digest = hashlib.sha256(remote.url.rstrip("/").encode()).hexdigest()[:16]
        return cls(cache_dir.absolute() / FOLDER / digest, name if _is_name(name) else "root")

    @property
    def root(self) -> Path:
        """The folder that stands for the root."""
        return self.folder / "files" / self.name

    @property
    def versions(self) -> Path:
        """The file that tells the version of each copy; of several lines the last one counts."""
        return self.folder / "versions.jsonl"

    def place(self, found: RemoteObject) -> Path:
        """Return where an object's copy lies.

        Raises:
            UserError: its name leads out of the folder, or is none that a file can have.
        """
        parts = found.name.split("/")
        if not all(map(_is_name, parts)):
            raise UserError(
                f"{found.name!r} is no name of a file in a folder: take it out of the data set"
            )
        return self.root.joinpath(*parts)

    def copies(self, left_out: Collection[str] = ()) -> Iterator[Path]:
        """Yield all files below the root, but for those in some of its folders."""
        for place, folders, files in os.walk(self.root):
            if Path(place) == self.root:
                folders[:] = [name for name in folders if name not in left_out]
            yield from (Path(place, file) for file in files)


def mirrors(cache_dir: Path) -> list[Mirror]:
    """Return the copies of all roots."""
    roots = sorted((cache_dir / FOLDER).glob("[0-9a-f]*/files/*"))
    return [Mirror(root.parents[1], root.name) for root in roots]


def local_root(url: str, category: str | None, known: Sequence[str], cache_dir: Path) -> Path:
    """Return a folder with the images below a URL, copied as far as they are not there yet.

    Args:
        url: of the root.
        category: the only one that is needed; None for all. The folders of the others are left out.
        known: the data set's categories; none where all folders may be categories.
        cache_dir: the folder for what is remembered from run to run.

    Raises:
        UserError: the store cannot be reached or holds no images, or the disk cannot be written.
    """
    from filelock import FileLock

    remote = RemoteFolder.at(url)
    mirror = Mirror.of(remote, cache_dir)
    left_out = _left_out(remote, category, known)
    found = _wanted(_objects(remote, left_out))
    if not found and not left_out:
        raise UserError(f"{url} holds no images")
    try:
        mirror.root.mkdir(parents=True, exist_ok=True)
        with FileLock(mirror.folder.with_suffix(".lock")):
            _update(remote, mirror, found, left_out)
            os.utime(mirror.folder)  # the last use, for `gad_bench.cache prune`
    except OSError as error:
        raise UserError(
            f"the images of {url} cannot be written to {error.filename or mirror.folder}: "
            f"{error.strerror or error}: set cache_dir=PATH to a folder with room for them"
        ) from error
    return mirror.root


def _left_out(remote: RemoteFolder, category: str | None, known: Sequence[str]) -> set[str]:
    """Return the names of the folders that hold other categories."""
    if category is None:
        return set()
    if known:
        return set(known) - {category}
    folders = set(remote.folders())
    return folders - {category} if category in folders else set()


def _objects(remote: RemoteFolder, left_out: set[str]) -> Iterator[RemoteObject]:
    """Yield what lies right in a root and in those of its folders that are not left out."""
    yield from remote.files(depth=1)
    for name in remote.folders():
        if name not in left_out:
            yield from remote.files(name)


def _wanted(objects: Iterable[RemoteObject]) -> list[RemoteObject]:
    """Return the images and lists of images; not what macOS leaves beside each file it copies."""
    from gad_bench.data.images import SUFFIXES

    return [
        own
        for own in objects
        if (path := PurePosixPath(own.name)).suffix.lower() in {*SUFFIXES, LISTS}
        if not path.name.startswith("._")
    ]


def _update(
    remote: RemoteFolder, mirror: Mirror, found: Sequence[RemoteObject], left_out: set[str]
) -> None:
    """Copy what is missing or has changed, and remove the copies of what is gone."""
    places = {mirror.place(own): own for own in found}
    for path in mirror.copies(left_out):
        if path not in places:
            path.unlink(missing_ok=True)
    versions = dict(_read_versions(mirror.versions))
    stale = [
        (path, own)
        for path, own in places.items()
        if versions.get(own.name) != own.version or not _has_size(path, own.size)
    ]
    if stale:
        size = sum(own.size for _, own in stale) / MEGABYTE
        log.info("%d images, %.3g MB, come from %s", len(stale), size, remote.url)
    with mirror.versions.open("a", encoding="utf-8") as versions_file:
        for own in _copied(remote, stale):
            versions_file.write(f"\n{json.dumps([own.name, own.version])}")


def _is_name(part: str) -> bool:
    """Tell whether a part of an object's name can be a file's or a folder's."""
    return part not in ("", ".", "..") and Path(part).name == part and "\0" not in part


def _copied(
    remote: RemoteFolder, stale: Iterable[tuple[Path, RemoteObject]]
) -> Iterator[RemoteObject]:
    """Copy objects, several at a time, and yield each that is done."""

    def copy(wanted: tuple[Path, RemoteObject]) -> RemoteObject:
        with whole_file(wanted[0]) as draft:
            remote.download(wanted[1], draft)
        return wanted[1]

    with ThreadPoolExecutor(AT_ONCE) as threads:
        yield from threads.map(copy, stale)


def _read_versions(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the version of each copy; a line that was cut short counts for nothing."""
    if not path.exists():
        return
    with open_regular(path) as lines:
        for line in lines:
            with contextlib.suppress(ValueError):
                name, version = json.loads(line)
                yield name, version


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False
