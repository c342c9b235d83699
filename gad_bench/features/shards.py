"""The feature store's files: where they lie, and its shards, each named by its content's digest.

    <cache_dir>/features-v1/
        <key>/recipe.json             the facts whose SHA-256 is the key
        <key>/to-block-<d>/shard-*    vectors of the blocks 0..d; the folder's time: last use
        <key>/maps-of-block-<b>/...   maps of block b alone, under a key of their own
        <key>/.../speed.json          what that extraction came to, for people
        <key>.to-block-<d>.lock       held while that extraction is written or removed

Locks lie beside the entries, so that an entry can be moved away whole while its lock is held.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.files import TEMPORARY, sha256_of, whole_file

VERSION = 1  # raise it when a file's meaning changes: what older versions wrote is not read
LAYOUT = f"features-v{VERSION}"
RECIPE = "recipe.json"
ABOUT = ("dataset", "category", "backbone")  # what an extraction tells people of itself

_LAYOUT_NAME = re.compile(r"features-v(\d+)")
_KEY = re.compile(r"[0-9a-f]{64}")
_LOCK_NAME = re.compile(r"[0-9a-f]{64}\.(to-block|maps-of-block)-\d+\.lock")
_EXTRACTION_NAME = re.compile(r"(to-block|maps-of-block)-(\d+)")

# Which rows a shard holds follows from its number and these: change them with `VERSION`.
SMALLEST_SHARD = 64  # vectors: what a killed extraction loses at most
SMALLEST_SHARD_OF_MAPS = 8  # maps, of some megabytes each
MOST_SHARDS = 1024  # files in a folder
NAME = re.compile(r"shard-(\d{5})-([0-9a-f]{32})\.safetensors")

Features = NDArray[np.float32]


@dataclass(frozen=True)
class StoredExtraction:
    """The folder of one extraction of one recipe's images.

    Attributes:
        entry: the recipe's folder.
        deepest: the last block.
        maps: whether it holds the maps of that block alone, in place of the vectors of the blocks
            0..deepest.
    """

    entry: Path
    deepest: int
    maps: bool = False

    @property
    def blocks(self) -> range:
        """The blocks that it holds."""
        return range(self.deepest if self.maps else 0, self.deepest + 1)

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{'maps-of' if self.maps else 'to'}-block-{self.deepest}"

    @property
    def folder(self) -> Path:
        """Where its shards lie."""
        return self.entry / self.name

    @property
    def lock(self) -> Path:
        """The file that is locked while the shards are written or removed."""
        return self.entry.with_name(f"{self.entry.name}.{self.name}.lock")

    @property
    def recipe(self) -> Path:
        """The file that tells what the features are of; all extractions of an entry share it."""
        return self.entry / RECIPE

    def is_locked(self) -> bool:
        """Tell whether a process writes or removes the shards."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.lock).acquire(timeout=0) if self.lock.exists() else nullcontext():
                return False
        except Timeout:
            return True
        except OSError:  # a store that is read-only: nobody writes it
            return False


def entry_folders(cache_dir: Path) -> list[Path]:
    """Return the entries of this version's store."""
    return [path for path in sorted((cache_dir / LAYOUT).glob("*")) if is_key(path.name)]


def extractions(entry: Path) -> list[StoredExtraction]:
    """Return the extractions of an entry, the shallowest first."""
    found = (named_extraction(entry, path.name) for path in entry.glob("*-block-*"))
    return sorted(filter(None, found), key=lambda extraction: extraction.deepest)


def named_extraction(entry: Path, name: str) -> StoredExtraction | None:
    """Return an entry's extraction by its folder's name, None where it is no such name."""
    match = _EXTRACTION_NAME.fullmatch(name)
    return StoredExtraction(entry, int(match[2]), match[1] == "maps-of-block") if match else None


def is_key(name: str) -> bool:
    """Tell whether a name is an entry's."""
    return bool(_KEY.fullmatch(name))


def older_layouts(cache_dir: Path) -> list[Path]:
    """Return the stores that older versions of gad_bench left, which this one does not read.

    A folder of such a name that holds anything else is the user's own.
    """
    matches = ((_LAYOUT_NAME.fullmatch(path.name), path) for path in sorted(cache_dir.glob("*")))
    older = [path for match, path in matches if match and int(match[1]) < VERSION]
    return [path for path in older if path.is_dir() and all(map(_is_own, path.iterdir()))]


def _is_own(path: Path) -> bool:
    """Tell a store's entry, named by the digest of its recipe, or a lock or a draft beside it."""
    if _LOCK_NAME.fullmatch(path.name) or path.name.startswith(TEMPORARY):
        return True
    recipe = path / RECIPE
    return recipe.is_file() and sha256_of(recipe) == path.name


def shard_rows(count: int, *, maps: bool = False) -> list[range]:
    """Return the rows of each shard of a number of vectors, or of maps."""
    smallest = SMALLEST_SHARD_OF_MAPS if maps else SMALLEST_SHARD
    size = max(smallest, -(-count // MOST_SHARDS))
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def shard_files(folder: Path) -> dict[int, Path]:
    """Return the shards that are there, by number, unverified."""
    matches = ((NAME.fullmatch(path.name), path) for path in sorted(folder.glob("shard-*")))
    return {int(match[1]): path for match, path in matches if match}


def is_intact(path: Path) -> bool:
    """Tell whether a shard can be read and its content is what its name says."""
    return holds(path, path.name)


def holds(path: Path, name: str) -> bool:
    """Tell whether a file can be read and its content is what the name of a shard says."""
    match = NAME.fullmatch(name)
    try:
        digest = sha256_of(path)
    except OSError:  # gone, or on a bad part of the disk
        return False
    return match is not None and digest.startswith(match[2])


def shape_of(path: Path) -> dict[str, tuple[str, tuple[int, ...]]] | None:
    """Return type and shape of all that a shard holds, by name; None where it is no shard."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as shard:
            parts = {name: shard.get_slice(name) for name in shard.keys()}  # noqa: SIM118
            return {name: (p.get_dtype(), tuple(p.get_shape())) for name, p in parts.items()}
    except (SafetensorError, OSError):
        return None


def write_shard(
    folder: Path,
    number: int,
    blocks: Sequence[NDArray[Any]],
    about: Mapping[str, str],
    first: int = 0,
) -> Path:
    """Write a shard whole or not at all: one rename makes data and checksum final together.

    Args:
        folder: of the extraction.
        number: the shard's.
        blocks: the rows of each block, of any shape and type.
        about: what to tell people of them.
        first: the number of the first block.

    Raises:
        OSError: the folder cannot be written.
    """
    from safetensors.numpy import save

    tensors = {f"block_{i}": np.ascontiguousarray(block) for i, block in enumerate(blocks, first)}
    content = save(tensors, metadata=dict(about))
    digest = hashlib.sha256(content).hexdigest()[:32]
    path = folder / f"shard-{number:05d}-{digest}.safetensors"
    with whole_file(path) as draft:
        draft.write_bytes(content)
    return path


def read_shard(path: Path, blocks: Sequence[int]) -> list[Features]:
    """Return some blocks of a shard that is intact, memory-mapped."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as shard:
        return [shard.get_tensor(f"block_{block}") for block in blocks]


def read_rows(path: Path, block: int, rows: slice) -> NDArray[Any]:
    """Return some rows of a block of a shard that is intact."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as shard:
        return np.asarray(shard.get_slice(f"block_{block}")[rows])


def read_about(path: Path) -> dict[str, str]:
    """Return what an intact shard says of itself, for people."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as shard:
        return dict(shard.metadata() or {})


def has_unfinished(folder: Path) -> bool:
    """Tell whether a process writes there, or was killed as it did."""
    return any(folder.glob(f"{TEMPORARY}*"))


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process had begun to write; for the holder of the folder's lock."""
    for path in folder.glob(f"{TEMPORARY}*"):
        path.unlink(missing_ok=True)
