"""Folders on object storage, or on any other file system that fsspec knows by a URL."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from gad_bench.base.errors import UserError

MARK = "://"  # in a URL, and in no folder's name that anybody gives
AT_ONCE = 8  # objects on their way at a time
PIECE = 2**26  # bytes asked for at a time: 64 MiB
PASSWORD = re.compile(
    r"(://[^/\s:]*:)[^/\s]+(?=@)|([?&](?:password|passwd|pwd)=)[^&\s]*", re.IGNORECASE
)


@dataclass(frozen=True)
class RemoteObject:
    """A file of a remote folder as its listing has it.

    Attributes:
        name: within the folder, its parts separated by "/".
        size: in bytes.
        version: the store's etag; where it has none, all else that it tells of the file.
    """

    name: str
    size: int
    version: str


@dataclass(frozen=True)
class RemoteFolder:
    """A folder named by a URL.

    Attributes:
        url: as it was given, for people.
        store: the file system, an `fsspec.AbstractFileSystem`.
        path: the folder within that.
    """

    url: str
    store: Any
    path: str

    @classmethod
    def at(cls, url: str) -> RemoteFolder:
        """Return the folder of a URL; nothing is looked at.

        Raises:
            UserError: nothing is known of such URLs, a package is missing for them, or it holds a
                password.
        """
        if PASSWORD.search(url):
            raise UserError(
                "a URL of object storage holds a password, which would be written to disk with "
                "the config: give it by the store's own variables or fsspec's configuration"
            )
        from fsspec.core import url_to_fs

        try:
            store, path = url_to_fs(url)
        except ImportError as error:
            raise UserError(f"{url}: {error} (for S3: pip install 'gad-bench[s3]')") from error
        except Exception as error:
            raise UserError(f"{url} is no URL that fsspec knows: {_reason(error)}") from error
        return cls(url, store, str(path).rstrip("/"))

    def folders(self) -> list[str]:
        """Return the names of the folders right in it.

        Raises:
            UserError: the store cannot be reached.
        """
        with self._reached():
            self.store.invalidate_cache()
            found = self.store.ls(self.path, detail=True)
        own = (entry["name"].rstrip("/") for entry in found if entry["type"] == "directory")
        return sorted(PurePosixPath(name).name for name in own)

    def files(self, within: str = "", depth: int | None = None) -> Iterator[RemoteObject]:
        """Yield all files in it, or in a folder of it; none where there is none.

        Their names may hold anything, ".." among it.

        Args:
            within: the folder of it.
            depth: 1 for those right in there; None for any.

        Raises:
            UserError: the store cannot be reached.
        """
        place = f"{self.path}/{within}".rstrip("/")
        with self._reached():
            self.store.invalidate_cache()
            found = self.store.find(place, maxdepth=depth, detail=True)
        for path, told in found.items():
            if told["type"] == "file" and path.startswith(f"{self.path}/"):
                name = path.removeprefix(f"{self.path}/")
                yield RemoteObject(name, int(told["size"]), _version(told))

    def download(self, wanted: RemoteObject, target: Path) -> None:
        """Write a file's content to a local one; no byte beyond the listed size is taken.

        Raises:
            UserError: the store cannot be reached, or the content is not of that size.
            OSError: the local file cannot be written.
        """
        size, path = wanted.size, f"{self.path}/{wanted.name}"
        with target.open("wb") as file:
            while (start := file.tell()) < size:
                with self._reached():
                    end = min(start + PIECE, size + 1)  # one more tells whether there is more
                    content = self.store.cat_file(path, start=start, end=end)
                if not content or start + len(content) > size:
                    raise UserError(
                        f"{self.url}/{wanted.name} is not of the {size} bytes that it was listed "
                        "with: it was changed meanwhile, so run it again"
                    )
                file.write(content)

    def upload(self, source: Path, name: str) -> None:
        """Write a local file's content to one of the folder's.

        Raises:
            UserError: the store cannot be reached or written.
        """
        path = f"{self.path}/{name}"
        with self._reached("written"):
            try:
                self.store.put_file(str(source), path)
            except FileNotFoundError:  # a file system has folders, where object storage has none
                self.store.makedirs(path.rpartition("/")[0], exist_ok=True)
                self.store.put_file(str(source), path)

    @contextlib.contextmanager
    def _reached(self, how: str = "read") -> Iterator[None]:
        """Tell of what goes wrong in one line: each store's client has errors of its own."""
        try:
            yield
        except Exception as error:
            raise UserError(f"{self.url} cannot be {how}: {_reason(error)}") from error


def _version(told: dict[str, Any]) -> str:
    for key in ("ETag", "etag"):
        if told.get(key):
            return str(told[key])
    return repr(sorted((key, str(value)) for key, value in told.items()))


def _reason(error: Exception) -> str:
    """Return an error as one line, with the error that it came of where it says nothing itself."""
    text = str(error) or str(error.__cause__ or "") or type(error).__name__
    return " ".join(text.split())
