"""The feature store: each image goes through a backbone once, whatever is asked afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.base.files import json_digest, json_pieces, read_regular, sha256_of, whole_file
from gad_bench.base.process import thread_count
from gad_bench.features.remote import SharedStore
from gad_bench.features.shards import (
    LAYOUT,
    Features,
    StoredExtraction,
    extractions,
    has_unfinished,
    is_intact,
    older_layouts,
    read_rows,
    read_shard,
    remove_unfinished,
    shard_files,
    shard_rows,
    write_shard,
)

log = logging.getLogger(__name__)

SPEED = "speed.json"  # beside the shards
LARGE = 2**30  # bytes: a block of that size need not stay in memory
MAPS = "maps"  # the fact that makes a recipe one of maps

Batch = tuple[NDArray[Any], ...]
Extract = Callable[[Sequence[int], int], Iterator[Batch]]
ExtractEntries = Callable[[Sequence[int], Sequence["Entry"]], Iterator[Batch]]


@dataclass(frozen=True)
class Recipe:
    """Everything that changes the features of a list of images, and nothing else.

    Attributes:
        facts: JSON values, of the backbone, the runtime and whatever else shapes a feature.
        images: a digest of each image's content, in order.
        passes: vectors per image; an image's are adjacent.
    """

    facts: Mapping[str, Any]
    images: Sequence[str]
    passes: int = 1

    @property
    def content(self) -> dict[str, Any]:
        """The recipe as JSON values."""
        return {"facts": self.facts, "images": list(self.images), "passes": self.passes}

    @cached_property
    def key(self) -> str:
        """The SHA-256 of the content as canonical JSON."""
        return json_digest(self.content)

    @property
    def images_digest(self) -> str:
        """A digest of all the images' content."""
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(image.encode())
        return digest.hexdigest()

    @cached_property
    def shards(self) -> list[range]:
        """The rows of each shard."""
        return shard_rows(len(self.images) * self.passes, maps=self.of_maps)

    @property
    def of_maps(self) -> bool:
        """Whether the facts are those of maps."""
        return MAPS in self.facts


@dataclass(frozen=True)
class StoredFeatures:
    """Features of a list of images.

    Attributes:
        blocks: float32 [images * passes, D_i] by block; one of a gigabyte or more is mapped from
            the disk, to which it is written once more, so that it need not fit into memory.
        path: the store's folder that holds them.
        images_digest: a digest of all the images' content.
        cache_hit: whether this process had nothing to extract.
        seconds_extract: what this process's extraction took, 0 on a hit.
        images_per_second: what the extraction came to, whoever did it; None where nobody knows.
    """

    blocks: dict[int, Features]
    path: Path
    images_digest: str
    cache_hit: bool
    seconds_extract: float
    images_per_second: float | None = None


@dataclass(frozen=True)
class StoredMaps:
    """One block's maps of a list of images, read from the disk as they are asked for.

    They were checked byte by byte when this was made.

    Attributes:
        block: its number.
        files: the shards.
        shards: the rows of each.
        folder: that holds them.
    """

    block: int
    files: Sequence[Path]
    shards: Sequence[range]
    folder: Path

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width."""
        return self.take(np.arange(1)).shape[1:]

    @property
    def images_per_second(self) -> float | None:
        """What their extraction came to, whoever did it; None where nobody knows."""
        return _read_speed(self.folder)

    def take(self, rows: NDArray[np.integer]) -> NDArray[Any]:
        """Return the maps [rows, C, H, W] of rising rows.

        Raises:
            UserError: they were removed meanwhile.
        """
        size = len(self.shards[0])
        numbers, starts = np.unique(rows // size, return_index=True)
        try:
            parts = [
                self._read(int(number), part)
                for number, part in zip(numbers, np.split(rows, starts[1:]), strict=True)
            ]
        except OSError as error:
            raise UserError(
                f"{self.folder} was removed while it was read: run it again, and prune afterwards"
            ) from error
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _read(self, number: int, rows: NDArray[np.integer]) -> NDArray[Any]:
        inside = rows - self.shards[number].start
        first, last = int(inside[0]), int(inside[-1]) + 1
        values = read_rows(self.files[number], self.block, slice(first, last))
        return values if last - first == len(rows) else values[inside - first]


@dataclass(frozen=True)
class Entry:
    """A recipe, and the extraction that serves, or will serve, what is asked of it."""

    recipe: Recipe
    extraction: StoredExtraction

    @property
    def is_there(self) -> bool:
        """Whether all shards are there, unverified, or another process is about to write them."""
        files = shard_files(self.extraction.folder)
        return len(files) == len(self.recipe.shards) or self.extraction.is_locked()


@dataclass(frozen=True)
class FeatureStore:
    """Features on disk, keyed by everything that changes them and by nothing else.

    A shard's name holds its digest, so it is there whole and checked, or not at all. What is read
    is checked byte by byte, and a hit leaves the store as it is.

    A lock per extraction (`flock` by filelock) keeps two processes from doing the same one; the
    system frees it when its holder dies. On a network file system this holds where `flock` does
    (NFS 4, Lustre with -o flock); where it does not, work may be done twice but never torn, because
    shards come into being by rename.

    Attributes:
        folder: that holds it.
        remote: where missing shards are looked for before they are extracted, and where what was
            extracted is pushed; None for nowhere.
    """

    folder: Path
    remote: SharedStore | None = None

    def get(
        self,
        recipe: Recipe,
        blocks: Sequence[int],
        about: Mapping[str, str],
        extract: Extract,
    ) -> StoredFeatures:
        """Return the features of some blocks, extracting what is not there.

        Args:
            recipe: what makes the features.
            blocks: the blocks wanted.
            about: what to tell people of these features.
            extract: given row numbers and the deepest block, yields batches of float32
                [batch, D_i], one array per block 0..deepest, whose rows are those rows in order.

        Raises:
            UserError: the folder cannot be written.
        """
        entry = self.vectors(recipe, max(blocks))
        folder, seconds = entry.extraction.folder, 0.0
        stored = _read(folder, recipe, blocks)
        if stored is None:
            depth = entry.extraction.deepest
            seconds = self.fill([entry], about, lambda rows, _: extract(rows, depth))
            stored = _read(folder, recipe, blocks)
        if stored is None:
            raise UserError(f"{folder} was damaged while it was written: check the disk")
        _mark_used(entry)
        return StoredFeatures(
            blocks=stored,
            path=folder,
            images_digest=recipe.images_digest,
            cache_hit=seconds == 0.0,
            seconds_extract=seconds,
            images_per_second=_read_speed(folder),
        )

    def vectors(self, recipe: Recipe, deepest: int) -> Entry:
        """Return the entry that serves the vectors of a recipe's blocks up to the deepest."""
        place, count = self.folder / LAYOUT / recipe.key, len(recipe.shards)
        chosen = _choose(place, deepest, count)
        if chosen is None and self.remote:
            chosen = self.remote.choose(place, deepest, count)
        return Entry(recipe, chosen or StoredExtraction(place, deepest))

    def maps(self, recipe: Recipe, block: int) -> Entry:
        """Return the entry of a block's maps."""
        return Entry(recipe, StoredExtraction(self.folder / LAYOUT / recipe.key, block, maps=True))

    def read_maps(self, entry: Entry) -> StoredMaps | None:
        """Return a block's maps, every byte of them checked; None where one is damaged or gone."""
        folder, shards = entry.extraction.folder, entry.recipe.shards
        files = shard_files(folder)
        if not _all_intact(files, len(shards)):
            return None
        _mark_used(entry)
        paths = [files[number] for number in range(len(shards))]
        return StoredMaps(entry.extraction.deepest, paths, shards, folder)

    def fill(
        self, entries: Sequence[Entry], about: Mapping[str, str], extract: ExtractEntries
    ) -> float:
        """Write what is missing of some entries of the same images, in one pass over these.

        Each shard is written as soon as it is full.

        Args:
            entries: whose rows are those of the same images and passes.
            about: what to tell people of them.
            extract: given row numbers and entries, yields batches of all arrays that these hold,
                one entry's after the other's, whose rows are those rows in order.

        Returns:
            What that took, in seconds; 0 where nothing was missing.

        Raises:
            UserError: the folder cannot be written.
        """
        _tell_of_older_layouts(self.folder)
        with contextlib.ExitStack() as locks:
            for entry in sorted(entries, key=lambda entry: entry.extraction.lock):  # no deadlock
                locks.enter_context(self._locked(entry.extraction))
            with _clear_errors(self.folder):
                missing = {id(entry): self._prepare(entry) for entry in entries}
            started = time.perf_counter()
            short = [entry for entry in entries if missing[id(entry)]]
            writers = [_Writer(entry, deque(missing[id(entry)]), about, []) for entry in short]
            for rows in _runs(shard for writer in writers for shard in writer.shards()):
                self._extract(rows, writers, extract)
            if not short:
                return 0.0
            seconds = time.perf_counter() - started
            with _clear_errors(self.folder):
                for entry in short:
                    written = sum(len(entry.recipe.shards[n]) for n in missing[id(entry)])
                    _keep_speed(entry.extraction.folder, written / seconds)
        if self.remote:
            for entry in short:
                self.remote.push(entry.extraction)
        return seconds

    def _prepare(self, entry: Entry) -> list[int]:
        """Make the folder ready, and return the shards that are missing here and remotely."""
        missing = _prepare(entry)
        if missing and self.remote:
            self.remote.fetch(entry.extraction, entry.recipe.shards, missing)
            missing = _missing(entry)
        if 0 < len(missing) < len(entry.recipe.shards):
            parts = len(missing), len(entry.recipe.shards)
            log.info("going on with an extraction: %d of %d parts", *parts)
        return missing

    def _extract(self, rows: range, writers: Sequence[_Writer], extract: ExtractEntries) -> None:
        first = rows.start
        found = extract(rows, [writer.entry for writer in writers])
        with contextlib.closing(_closable(found)) as batches:
            for batch in batches:
                arrays = iter(batch)
                with _clear_errors(self.folder):
                    for writer in writers:
                        blocks = writer.entry.extraction.blocks
                        writer.take(first, tuple(next(arrays) for _ in blocks))
                first += len(batch[0])

    @contextlib.contextmanager
    def _locked(self, extraction: StoredExtraction) -> Iterator[None]:
        from filelock import FileLock, Timeout

        lock = FileLock(extraction.lock)
        with _clear_errors(self.folder):
            extraction.lock.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                log.info("another process extracts the same features: waiting for it")
                lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _choose(entry: Path, deepest: int, shards: int) -> StoredExtraction | None:
    """Return the shallowest extraction that serves, done or being done, if there is one."""
    for extraction in extractions(entry):
        serves = extraction.deepest >= deepest and not extraction.maps
        if serves and (len(shard_files(extraction.folder)) == shards or extraction.is_locked()):
            return extraction
    return None


@dataclass
class _Writer:
    """Takes an entry's missing shards out of the batches that pass by.

    Attributes:
        entry: whose shards.
        missing: their numbers, rising; those that are written are gone.
        about: what to tell people of them.
        waiting: rows of the first of them.
    """

    entry: Entry
    missing: deque[int]
    about: Mapping[str, str]
    waiting: list[Batch]

    def shards(self) -> list[range]:
        """Return the rows of the missing shards."""
        return [self.entry.recipe.shards[number] for number in self.missing]

    def take(self, first: int, batch: Batch) -> None:
        """Take what is missing from a batch, of which the first row's number is given.

        Raises:
            OSError: a shard cannot be written.
        """
        count = len(batch[0])
        while self.missing:
            shard = self.entry.recipe.shards[self.missing[0]]
            begin, end = max(shard.start - first, 0), min(shard.stop - first, count)
            if begin < end:
                self.waiting.append(tuple(values[begin:end] for values in batch))
            if first + count < shard.stop:
                return
            self._write()

    def _write(self) -> None:
        extraction, number = self.entry.extraction, self.missing.popleft()
        joined = [np.concatenate(parts) for parts in zip(*self.waiting, strict=True)]
        self.waiting = []
        first = extraction.blocks.start
        write_shard(extraction.folder, number, joined, self.about, first)


def _prepare(entry: Entry) -> list[int]:
    """Make folder and recipe, clear what is unfinished or damaged, return the missing shards."""
    extraction, recipe = entry.extraction, entry.recipe
    extraction.folder.mkdir(parents=True, exist_ok=True)
    _keep_recipe(extraction.recipe, recipe)
    remove_unfinished(extraction.folder)
    return _missing(entry)


def _missing(entry: Entry) -> list[int]:
    """Return the shards that are not there, the damaged ones among them."""
    files, count = shard_files(entry.extraction.folder), len(entry.recipe.shards)
    return [n for n in range(count) if n not in files or _is_removed(files[n])]


def _runs(shards: Iterable[range]) -> list[range]:
    """Return the rows that any of the shards holds, parted where one is left out."""
    runs: list[range] = []
    for shard in sorted(shards, key=lambda shard: shard.start):
        if runs and shard.start <= runs[-1].stop:
            runs[-1] = range(runs[-1].start, max(runs[-1].stop, shard.stop))
        else:
            runs.append(shard)
    return runs


def _is_removed(path: Path) -> bool:
    """Remove a shard if it is damaged."""
    if is_intact(path):
        return False
    log.warning("%s is damaged: its images are extracted again", path)
    path.unlink(missing_ok=True)
    return True


def _closable(batches: Iterator[Batch]) -> Generator[Batch, None, None]:
    yield from batches


def _read(folder: Path, recipe: Recipe, blocks: Sequence[int]) -> dict[int, Features] | None:
    """Return the blocks, every byte of them checked, or None where a shard is damaged or gone."""
    files = shard_files(folder)
    if not _all_intact(files, len(recipe.shards)):
        return None
    stored: dict[int, Features] = {}
    try:
        for number, rows in enumerate(recipe.shards):
            for block, part in zip(blocks, read_shard(files[number], blocks), strict=True):
                if block not in stored:
                    stored[block] = _room(folder, (recipe.shards[-1].stop, part.shape[1]))
                stored[block][rows.start : rows.stop] = part
    except OSError:  # removed by `gad_bench.cache prune` meanwhile
        return None
    return stored


def _all_intact(files: Mapping[int, Path], count: int) -> bool:
    """Tell whether all shards are there and intact, reading several at once."""
    if not all(number in files for number in range(count)):
        return False
    with ThreadPoolExecutor(thread_count()) as threads:
        return all(threads.map(is_intact, (files[number] for number in range(count))))


def _room(folder: Path, shape: tuple[int, int]) -> Features:
    """Return room for a block; a large one need not stay in memory.

    It is mapped from a file without a name in the folder, which takes room there until the process
    ends. A folder that is read-only or has no room for it gives it memory alone.
    """
    size = np.dtype(np.float32).itemsize * shape[0] * shape[1]
    if size >= LARGE and hasattr(os, "posix_fallocate"):  # which macOS lacks
        with contextlib.suppress(OSError), TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)
            return np.asarray(np.memmap(file, np.float32, "r+", shape=shape))
    return np.empty(shape, np.float32)


def _keep_recipe(path: Path, recipe: Recipe) -> None:
    """Write the recipe where it is missing; one that is damaged is told of and replaced."""
    with contextlib.suppress(FileNotFoundError):
        if sha256_of(path) == recipe.key:
            return
        log.warning("%s is damaged: it is written again", path)
    with whole_file(path) as draft, draft.open("w", encoding="utf-8") as file:
        file.writelines(json_pieces(recipe.content))


def _keep_speed(folder: Path, per_second: float) -> None:
    """Write what an extraction, or the last part of it, came to."""
    with whole_file(folder / SPEED) as draft:
        draft.write_text(json.dumps({"images_per_second": per_second}), encoding="utf-8")


def _read_speed(folder: Path) -> float | None:
    """Return what an extraction came to; None where it is not known."""
    try:
        content = json.loads(read_regular(folder / SPEED))
        return float(content["images_per_second"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _mark_used(entry: Entry) -> None:
    """Note the time for `gad_bench.cache prune`; a store that is read-only still serves."""
    with contextlib.suppress(OSError):
        _keep_recipe(entry.extraction.recipe, entry.recipe)
        if has_unfinished(entry.extraction.folder):
            _clear_unfinished(entry.extraction)
        os.utime(entry.extraction.folder)


def _clear_unfinished(extraction: StoredExtraction) -> None:
    """Remove what a process had begun to write that was killed when all shards were there."""
    from filelock import FileLock, Timeout

    with contextlib.suppress(Timeout), FileLock(extraction.lock).acquire(timeout=0):
        remove_unfinished(extraction.folder)


def _tell_of_older_layouts(folder: Path) -> None:
    for path in older_layouts(folder):
        log.warning(
            "%s is an older version's store and is not read: features are extracted again "
            "(python -m gad_bench.cache prune removes it)",
            path,
        )


@contextlib.contextmanager
def _clear_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the cache folder {folder} cannot be written ({error.strerror or error}): "
            "make room or name another by cache_dir=PATH or GAD_BENCH_CACHE"
        ) from error
