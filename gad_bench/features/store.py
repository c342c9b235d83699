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
from pathlib import Path
from typing import Any

import numpy as np

from gad_bench.errors import UserError
from gad_bench.features.shards import (
    Features,
    is_intact,
    read_shard,
    remove_unfinished,
    shard_files,
    shard_rows,
    write_shard,
)
from gad_bench.files import write_text

log = logging.getLogger(__name__)

LAYOUT = "features-v1"
RECIPE = "recipe.json"
DEPTH = "to-block-"

Batch = tuple[Features, ...]
Extract = Callable[[Sequence[int]], Iterator[Batch]]


@dataclass(frozen=True)
class StoredFeatures:
    """Features of a list of images.

    Attributes:
        blocks: float32 [images, D_i] by block.
        path: the store's folder that holds them.
        images_digest: a digest of all the images' content.
        cache_hit: whether nothing had to be extracted.
        seconds_extract: what the extraction took, 0 on a hit.
    """

    blocks: dict[int, Features]
    path: Path
    images_digest: str
    cache_hit: bool
    seconds_extract: float


@dataclass(frozen=True)
class FeatureStore:
    """Features on disk, keyed by everything that changes them and by nothing else.

    `<folder>/features-v1/<key>/recipe.json` holds the facts whose SHA-256 is the key, and
    `to-block-<d>/` beside it the shards of one extraction of blocks 0..d. A shard's name holds its
    digest, so it is there whole and checked, or not at all.

    A lock per extraction (`flock` by filelock) keeps two processes from doing the same one; the
    system frees it when its holder dies. On a network file system this holds where `flock` does
    (NFS 4, Lustre with -o flock); where it does not, work may be done twice but never torn, because
    shards come into being by rename.
    """

    folder: Path

    def get(
        self,
        facts: Mapping[str, Any],
        images: Sequence[str],
        blocks: Sequence[int],
        about: Mapping[str, str],
        extract: Extract,
    ) -> StoredFeatures:
        """Return the features of some blocks, extracting what is not there.

        Args:
            facts: JSON values; everything that changes a feature but the images themselves.
            images: a digest of each image's content, in order.
            blocks: the blocks wanted.
            about: what to tell people of these features.
            extract: given row numbers, yields batches of float32 [batch, D_i], one array per block
                0..max(blocks), whose rows are those rows in order.

        Raises:
            UserError: the folder cannot be written.
        """
        recipe = _canonical({"facts": facts, "images": list(images)})
        entry = self.folder / LAYOUT / hashlib.sha256(recipe.encode()).hexdigest()
        digest = hashlib.sha256("".join(images).encode()).hexdigest()
        rows = shard_rows(len(images))
        found = _complete_depth(entry, max(blocks), len(rows))
        if found and (stored := _read(found, len(rows), blocks)):
            _mark_used(entry)
            return StoredFeatures(stored, found, digest, cache_hit=True, seconds_extract=0.0)
        with _clear_errors(self.folder):
            folder = _prepare(entry, recipe, max(blocks))
            missing, seconds = _extract_into(folder, rows, about, extract)
        stored = _read(folder, len(rows), blocks)
        if stored is None:
            raise UserError(f"{folder} was damaged while it was written: check the disk")
        return StoredFeatures(stored, folder, digest, not missing, seconds)


def _prepare(entry: Path, recipe: str, deepest: int) -> Path:
    folder = entry / f"{DEPTH}{deepest}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (entry / RECIPE).exists():
        write_text(entry / RECIPE, recipe)
    return folder


def _extract_into(
    folder: Path, rows: Sequence[range], about: Mapping[str, str], extract: Extract
) -> tuple[list[int], float]:
    """Extract what is missing; return the shards that were, and the seconds that it took."""
    with _lock(folder):
        remove_unfinished(folder)
        missing = _missing_shards(folder, len(rows))
        started = time.perf_counter()
        _fill(folder, rows, missing, about, extract)
        return missing, time.perf_counter() - started if missing else 0.0


def _fill(
    folder: Path,
    rows: Sequence[range],
    missing: Sequence[int],
    about: Mapping[str, str],
    extract: Extract,
) -> None:
    """Extract the missing shards' rows in one go, writing each shard as soon as it is full."""
    if not missing:
        return
    if len(missing) < len(rows):
        log.info("going on with an extraction: %d of %d parts", len(missing), len(rows))
    wanted = [row for number in missing for row in rows[number]]
    waiting: list[Batch] = []
    with contextlib.closing(_closable(extract(wanted))) as batches:
        for number in missing:
            shard, waiting = _gather(batches, waiting, len(rows[number]))
            write_shard(folder, number, shard, about)


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


def _complete_depth(entry: Path, deepest: int, shards: int) -> Path | None:
    """Return the shallowest extraction that is complete and deep enough."""
    folders = {int(path.name.removeprefix(DEPTH)): path for path in entry.glob(f"{DEPTH}*[0-9]")}
    for depth in sorted(depth for depth in folders if depth >= deepest):
        if len(shard_files(folders[depth])) == shards:
            return folders[depth]
    return None


def _missing_shards(folder: Path, count: int) -> list[int]:
    files = shard_files(folder)
    return [n for n in range(count) if n not in files or not _keep_intact(files[n])]


def _keep_intact(path: Path) -> bool:
    if is_intact(path):
        return True
    log.warning("%s is damaged: its images are extracted again", path)
    path.unlink(missing_ok=True)
    return False


def _read(folder: Path, shards: int, blocks: Sequence[int]) -> dict[int, Features] | None:
    """Return the blocks, every byte of them checked, or None where a shard is damaged or gone."""
    if _missing_shards(folder, shards):
        return None
    files = shard_files(folder)
    parts = [read_shard(files[number], blocks) for number in range(shards)]
    joined = (p[0] if shards == 1 else np.concatenate(p) for p in zip(*parts, strict=True))
    return dict(zip(blocks, joined, strict=True))


def _canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _mark_used(entry: Path) -> None:
    """Note the time for `gad_bench.cache prune`; a store that is read-only still serves."""
    with contextlib.suppress(OSError):
        os.utime(entry / RECIPE)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another process extracts the same features: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _clear_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the cache folder {folder} cannot be written ({error.strerror or error}): "
            "make room or name another by cache_dir=PATH or GAD_BENCH_CACHE"
        ) from error
