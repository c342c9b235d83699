"""Shards: the files of the store, each named by the digest of its own content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gad_bench.files import TEMPORARY, sha256_of, whole_file

Features = NDArray[np.float32]

# Which rows a shard holds follows from its number and these: change them with `layout.VERSION`.
SMALLEST_SHARD = 64  # vectors: what a killed extraction loses at most
MOST_SHARDS = 1024  # files in a folder
NAME = re.compile(r"shard-(\d{5})-([0-9a-f]{32})\.safetensors")


def shard_rows(count: int) -> list[range]:
    """Return the rows of each shard of a number of vectors."""
    size = max(SMALLEST_SHARD, -(-count // MOST_SHARDS))
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def shard_files(folder: Path) -> dict[int, Path]:
    """Return the shards that are there, by number, unverified."""
    matches = ((NAME.fullmatch(path.name), path) for path in sorted(folder.glob("shard-*")))
    return {int(match[1]): path for match, path in matches if match}


def is_intact(path: Path) -> bool:
    """Tell whether a shard can be read and its content is what its name says."""
    match = NAME.fullmatch(path.name)
    try:
        digest = sha256_of(path)
    except OSError:  # gone, or on a bad part of the disk
        return False
    return match is not None and digest.startswith(match[2])


def write_shard(
    folder: Path, number: int, blocks: Sequence[Features], about: Mapping[str, str]
) -> Path:
    """Write a shard whole or not at all: one rename makes data and checksum final together.

    Raises:
        OSError: the folder cannot be written.
    """
    from safetensors.numpy import save

    tensors = {f"block_{i}": np.ascontiguousarray(block) for i, block in enumerate(blocks)}
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


def read_about(path: Path) -> dict[str, str]:
    """Return what an intact shard says of itself, for people."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as shard:
        return dict(shard.metadata() or {})


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process had begun to write; for the holder of the folder's lock."""
    for path in folder.glob(f"{TEMPORARY}*"):
        path.unlink(missing_ok=True)
