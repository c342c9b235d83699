"""The feature store: each image goes through a backbone once, whatever is asked afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.base.files import json_digest, json_pieces, sha256_of, whole_file
from gad_bench.features.shards import (
    LAYOUT,
    Features,
    StoredExtraction,
    extractions,
    is_intact,
    older_layouts,
    read_shard,
    remove_unfinished,
    shard_files,
    shard_rows,
    write_shard,
)

log = logging.getLogger(__name__)

SPEED = "speed.json"  # beside the shards
LARGE = 2**30  # bytes: a block of that size need not stay in memory

Batch = tuple[Features, ...]
Extract = Callable[[Sequence[int], int], Iterator[Batch]]


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
        return shard_rows(len(self.images) * self.passes)


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
class FeatureStore:
    """Features on disk, keyed by everything that changes them and by nothing else.

    A shard's name holds its digest, so it is there whole and checked, or not at all. What is read
    is checked byte by byte, and a hit leaves the store as it is.

    A lock per extraction (`flock` by filelock) keeps two processes from doing the same one; the
    system frees it when its holder dies. On a network file system this holds where `flock` does
    (NFS 4, Lustre with -o flock); where it does not, work may be done twice but never torn, because
    shards come into being by rename.
    """

    folder: Path

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
        extraction = _choose(self.folder / LAYOUT / recipe.key, max(blocks), len(recipe.shards))
        seconds = 0.0
        stored = _read(extraction.folder, recipe, blocks)
        if stored is None:
            _tell_of_older_layouts(self.folder)
            with self._locked(extraction):
                stored = _read(extraction.folder, recipe, blocks)  # another may have been here
                if stored is None:
                    seconds = self._complete(extraction, recipe, about, extract)
                    stored = _read(extraction.folder, recipe, blocks)
        if stored is None:
            raise UserError(f"{extraction.folder} was damaged while it was written: check the disk")
        _mark_used(extraction, recipe)
        hit = seconds == 0.0
        return StoredFeatures(
            blocks=stored,
            path=extraction.folder,
            images_digest=recipe.images_digest,
            cache_hit=hit,
            seconds_extract=seconds,
            images_per_second=_read_speed(extraction.folder),
        )

    def _complete(
        self,
        extraction: StoredExtraction,
        recipe: Recipe,
        about: Mapping[str, str],
        extract: Extract,
    ) -> float:
        """Extract what is missing, writing each shard as soon as it is full; return the seconds."""
        started = time.perf_counter()
        with _clear_errors(self.folder):
            missing = _prepare(extraction, recipe)
        for numbers in _runs(missing):
            rows = range(recipe.shards[numbers[0]].start, recipe.shards[numbers[-1]].stop)
            waiting: list[Batch] = []
            with contextlib.closing(_closable(extract(rows, extraction.deepest))) as batches:
                for number in numbers:
                    shard, waiting = _gather(batches, waiting, len(recipe.shards[number]))
                    with _clear_errors(self.folder):
                        write_shard(extraction.folder, number, shard, about)
        seconds = time.perf_counter() - started
        with _clear_errors(self.folder):
            _keep_speed(extraction.folder, sum(len(recipe.shards[n]) for n in missing) / seconds)
        return seconds

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


def _choose(entry: Path, deepest: int, shards: int) -> StoredExtraction:
    """Return the shallowest extraction that serves, done or being done, else one to be done."""
    for extraction in extractions(entry):
        if extraction.deepest >= deepest and (
            len(shard_files(extraction.folder)) == shards or extraction.is_locked()
        ):
            return extraction
    return StoredExtraction(entry, deepest)


def _prepare(extraction: StoredExtraction, recipe: Recipe) -> list[int]:
    """Make folder and recipe, clear what is unfinished or damaged, return the missing shards."""
    extraction.folder.mkdir(parents=True, exist_ok=True)
    _keep_recipe(extraction.recipe, recipe)
    remove_unfinished(extraction.folder)
    files = shard_files(extraction.folder)
    missing = [n for n in range(len(recipe.shards)) if n not in files or _is_removed(files[n])]
    if len(missing) < len(recipe.shards):
        log.info("going on with an extraction: %d of %d parts", len(missing), len(recipe.shards))
    return missing


def _runs(numbers: Sequence[int]) -> Iterator[list[int]]:
    """Part rising numbers where one is left out."""
    for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        yield [number for _, number in run]


def _is_removed(path: Path) -> bool:
    """Remove a shard if it is damaged."""
    if is_intact(path):
        return False
    log.warning("%s is damaged: its images are extracted again", path)
    path.unlink(missing_ok=True)
    return True


def _gather(
    batches: Iterator[Batch], waiting: list[Batch], count: int
) -> tuple[Batch, list[Batch]]:
    """Take `count` rows from what is waiting and from further batches."""
    while sum(len(batch[0]) for batch in waiting) < count:
        waiting.append(next(batches))
    joined = tuple(np.concatenate(blocks) for blocks in zip(*waiting, strict=True))
    return tuple(b[:count] for b in joined), [tuple(b[count:] for b in joined)]


def _closable(batches: Iterator[Batch]) -> Generator[Batch, None, None]:
    yield from batches


def _read(folder: Path, recipe: Recipe, blocks: Sequence[int]) -> dict[int, Features] | None:
    """Return the blocks, every byte of them checked, or None where a shard is damaged or gone."""
    files = shard_files(folder)
    numbers = range(len(recipe.shards))
    if not all(n in files for n in numbers) or not all(is_intact(files[n]) for n in numbers):
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
        content = json.loads((folder / SPEED).read_text(encoding="utf-8"))
        return float(content["images_per_second"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _mark_used(extraction: StoredExtraction, recipe: Recipe) -> None:
    """Note the time for `gad_bench.cache prune`; a store that is read-only still serves."""
    with contextlib.suppress(OSError):
        _keep_recipe(extraction.recipe, recipe)
        os.utime(extraction.folder)


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
