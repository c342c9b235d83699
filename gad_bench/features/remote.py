"""The feature store on object storage, from which other machines' extractions come.

A remote store has the layout of a local one, its recipes and shards alone. Both are named by their
content and never change, so nobody locks anything there: who pushes adds what is missing, and a
recipe after its shards. What arrives is believed in nothing: a name that is none of the store's is
passed over, and a file that is not what its name and the recipe say is refused before it takes its
place.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from gad_bench.base.errors import UserError
from gad_bench.base.files import whole_file
from gad_bench.base.remote import AT_ONCE, RemoteFolder, RemoteObject
from gad_bench.features.shards import (
    LAYOUT,
    NAME,
    RECIPE,
    StoredExtraction,
    holds,
    is_intact,
    is_key,
    named_extraction,
    shape_of,
    shard_files,
    shard_rows,
)
from gad_bench.features.upkeep import holdings, read_recipe

log = logging.getLogger(__name__)

LARGEST_RECIPE = 2**30  # bytes: of fifteen million images
GIGABYTE = 10**9

Shards = dict[int, list[RemoteObject]]
"""By number; of one that several machines made, each one's."""
Found = TypeVar("Found")


class Refused(Exception):  # noqa: N818 - what became of a file
    """A file is not what it should be; says why."""


@dataclass(frozen=True)
class Transfer:
    """What became of one extraction.

    Attributes:
        extraction: its place in the local store.
        files: how many were transferred.
        size: of these, in bytes.
        refused: why some were not, by name.
        unfinished: whether shards are missing.
    """

    extraction: StoredExtraction
    files: int = 0
    size: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    unfinished: bool = False


@dataclass
class Listing:
    """What a remote store holds.

    Attributes:
        recipes: by key.
        extractions: the shards of each.
        strangers: the names of files that are no part of a store.
    """

    recipes: dict[str, RemoteObject] = field(default_factory=dict)
    extractions: dict[StoredExtraction, Shards] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RemoteStore:
    """A feature store at a URL, and the local one that it is shared with.

    Attributes:
        folder: at the URL.
        cache_dir: the folder that holds the local store.
    """

    folder: RemoteFolder
    cache_dir: Path

    def pull(self) -> Iterator[Transfer]:
        """Yield what became of each remote extraction; finished ones come, where they lack here.

        Raises:
            UserError: the remote store cannot be reached, or the local one has no room.
            OSError: the local one cannot be written.
        """
        listing = self.listing()
        if listing.strangers:
            log.warning(
                "%s: %d files are passed over that are no part of a feature store, such as %r",
                *(self.folder.url, len(listing.strangers), listing.strangers[0]),
            )
        for extraction, shards in sorted(
            listing.extractions.items(), key=lambda pair: pair[0].lock
        ):
            yield self._pull(extraction, shards, listing.recipes.get(extraction.entry.name))

    def push(self) -> Iterator[Transfer]:
        """Yield what became of each finished local extraction: what the remote lacks goes there.

        Raises:
            UserError: the remote store cannot be reached or written.
        """
        listing = self.listing()
        for holding in holdings(self.cache_dir):
            if holding.is_complete:
                yield self.push_one(holding.extraction, listing)

    def push_one(self, extraction: StoredExtraction, listing: Listing) -> Transfer:
        """Push what the remote store lacks of a finished extraction.

        Of a shard there is one even if several machines made it: its metadata, in any order, are
        part of its digest.

        Raises:
            UserError: as `push`.
        """
        there = listing.extractions.get(extraction, {})
        known = {(number, own.size) for number, shards in there.items() for own in shards}
        shards = shard_files(extraction.folder).items()
        lacking = [path for number, path in shards if (number, path.stat().st_size) not in known]
        damaged = {path.name: "it is damaged" for path in lacking if not is_intact(path)}
        for name in damaged:
            log.warning("%s is damaged: it is not pushed", extraction.folder / name)
        sent = [path for path in lacking if path.name not in damaged]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(self._upload, sent))
        if not damaged and extraction.entry.name not in listing.recipes:
            self._upload(extraction.recipe)
            sent.append(extraction.recipe)
        return Transfer(extraction, len(sent), sum(path.stat().st_size for path in sent), damaged)

    def fetch(
        self,
        extraction: StoredExtraction,
        shards: Shards,
        rows: Sequence[range],
        missing: Sequence[int],
    ) -> Transfer:
        """Fetch missing shards of an extraction, for the holder of its lock.

        Args:
            extraction: its place in the local store.
            shards: those that are there.
            rows: of each shard of the whole.
            missing: the numbers wanted.

        Raises:
            UserError: the remote store cannot be reached, or the local one has no room.
            OSError: the local one cannot be written.
        """
        wanted = {number: shards[number] for number in missing if number in shards}
        self._require_room(sum(found[-1].size for found in wanted.values()))
        refused: dict[str, str] = {}
        fetched: list[int] = []

        def fetch(number: int) -> None:
            for found in wanted[number]:
                try:
                    self._fetch(found, extraction, len(rows[number]))
                except Refused as refusal:
                    refused[found.name] = str(refusal)
                else:
                    fetched.append(found.size)
                    return

        numbers = sorted(wanted)
        while numbers and not shard_files(extraction.folder):  # to whose shape all others are held
            fetch(numbers.pop(0))
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(fetch, numbers))
        for name, reason in refused.items():
            log.warning("%s/%s is refused: %s", self.folder.url, name, reason)
        return Transfer(extraction, len(fetched), sum(fetched), refused)

    def listing(self, key: str = "") -> Listing:
        """Return what is there, of one entry or of all.

        Raises:
            UserError: the remote store cannot be reached.
        """
        listing = Listing()
        for found in self.folder.files(f"{LAYOUT}/{key}".rstrip("/")):
            _, *parts = found.name.split("/")
            entry = self.cache_dir / LAYOUT / parts[0]
            if not is_key(parts[0]):
                listing.strangers.append(found.name)
            elif parts[1:] == [RECIPE]:
                listing.recipes[entry.name] = found
            elif shard := _named_shard(entry, parts[1:]):
                numbered = listing.extractions.setdefault(shard[0], {})
                numbered.setdefault(shard[1], []).append(found)
            else:
                listing.strangers.append(found.name)
        return listing

    def _pull(
        self, extraction: StoredExtraction, shards: Shards, recipe: RemoteObject | None
    ) -> Transfer:
        from filelock import FileLock, Timeout

        content = self._recipe(extraction, recipe) if recipe else None
        if content is None:
            return Transfer(extraction, unfinished=True)
        rows = shard_rows(len(content["images"]) * content["passes"], maps=extraction.maps)
        if not set(range(len(rows))) <= shards.keys():
            return Transfer(extraction, unfinished=True)
        try:
            with FileLock(extraction.lock).acquire(timeout=0):
                here = shard_files(extraction.folder)
                missing = [number for number in range(len(rows)) if number not in here]
                return self.fetch(extraction, shards, rows, missing)
        except Timeout:
            log.info("%s is being extracted here: it is passed over", extraction.folder)
            return Transfer(extraction)

    def _recipe(self, extraction: StoredExtraction, found: RemoteObject) -> dict[str, Any] | None:
        """Return the recipe, fetched where it is not here; None for one that is refused."""
        content = read_recipe(extraction.recipe)
        if content is not None:
            return content
        try:
            if found.size > LARGEST_RECIPE:
                raise Refused(f"it has {found.size} bytes, more than any recipe")
            with whole_file(extraction.recipe) as draft:
                self.folder.download(found, draft)
                content = read_recipe(draft)
                if content is None:
                    raise Refused("its content is not what its folder's name says, or no recipe")
        except Refused as refusal:
            log.warning("%s/%s is refused: %s", self.folder.url, found.name, refusal)
            with contextlib.suppress(OSError):
                extraction.entry.rmdir()
        return content

    def _fetch(self, found: RemoteObject, extraction: StoredExtraction, rows: int) -> None:
        """Fetch a shard.

        Raises:
            Refused: it is not what it should be; nothing is left of it.
        """
        path = extraction.folder / PurePosixPath(found.name).name
        with whole_file(path) as draft:
            self.folder.download(found, draft)
            if not holds(draft, path.name):
                raise Refused("its content is not what its name says")
            shape = shape_of(draft)
            like = next((shape_of(own) for own in shard_files(extraction.folder).values()), None)
            if not _fits(shape, extraction, rows) or (like and not _alike(shape, like)):
                raise Refused("it does not hold the features that it stands for")

    def _require_room(self, size: int) -> None:
        self.cache_dir.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.cache_dir).free
        if size > free:
            raise UserError(
                f"{self.folder.url}: {size / GIGABYTE:.3g} GB are to come, and {self.cache_dir} "
                f"has {free / GIGABYTE:.3g} GB free: make room there or name another folder"
            )

    def _upload(self, path: Path) -> None:
        self.folder.upload(path, path.relative_to(self.cache_dir).as_posix())


@dataclass
class SharedStore:
    """A remote store that a run shares: without it the run goes on, with a word.

    Attributes:
        store: at the URL.
        lost: whether it could not be reached.
    """

    store: RemoteStore
    lost: bool = False

    def choose(self, entry: Path, deepest: int, count: int) -> StoredExtraction | None:
        """Return the shallowest extraction of vectors that serves, of those finished there.

        Args:
            entry: its place in the local store.
            deepest: the last block wanted.
            count: of shards of the whole.
        """
        listing = self._reach(lambda: self.store.listing(entry.name)) or Listing()
        serving = [
            extraction
            for extraction, shards in listing.extractions.items()
            if not extraction.maps and extraction.deepest >= deepest
            if set(range(count)) <= shards.keys()
        ]
        return min(serving, key=lambda extraction: extraction.deepest, default=None)

    def fetch(
        self, extraction: StoredExtraction, rows: Sequence[range], missing: Sequence[int]
    ) -> None:
        """Fetch those of an extraction's missing shards that are there."""

        def fetch() -> Transfer:
            shards = self.store.listing(extraction.entry.name).extractions.get(extraction, {})
            return self.store.fetch(extraction, shards, rows, missing)

        got = self._reach(fetch)
        if got and got.files:
            log.info("%d of %d parts come from %s", got.files, len(rows), self.store.folder.url)

    def push(self, extraction: StoredExtraction) -> None:
        """Push a finished extraction."""
        store = self.store
        self._reach(lambda: store.push_one(extraction, store.listing(extraction.entry.name)))

    def _reach(self, action: Callable[[], Found]) -> Found | None:
        if self.lost:
            return None
        try:
            return action()
        except UserError as error:
            log.warning("%s: the run goes on without it", error)
            self.lost = True
            return None


def _named_shard(entry: Path, parts: Sequence[str]) -> tuple[StoredExtraction, int] | None:
    """Return the extraction and the number of the shard that lies there in an entry, if one may."""
    if len(parts) != 2:
        return None
    extraction, match = named_extraction(entry, parts[0]), NAME.fullmatch(parts[1])
    if not extraction or not match or extraction.name != parts[0]:
        return None
    return extraction, int(match[1])


def _fits(
    shape: Mapping[str, tuple[str, tuple[int, ...]]] | None, extraction: StoredExtraction, rows: int
) -> bool:
    """Tell whether a shard holds the rows of an extraction's blocks, each of at least a number."""
    if shape is None or shape.keys() != {f"block_{block}" for block in extraction.blocks}:
        return False
    types, dimensions = (("F32", "F16"), 4) if extraction.maps else (("F32",), 2)
    return all(
        kind in types and len(sizes) == dimensions and sizes[0] == rows and all(sizes)
        for kind, sizes in shape.values()
    )


def _alike(
    shape: Mapping[str, tuple[str, tuple[int, ...]]] | None,
    like: Mapping[str, tuple[str, tuple[int, ...]]],
) -> bool:
    """Tell whether two shards differ in the number of their rows alone."""
    return shape is not None and {
        name: (kind, sizes[1:]) for name, (kind, sizes) in shape.items()
    } == {name: (kind, sizes[1:]) for name, (kind, sizes) in like.items()}
