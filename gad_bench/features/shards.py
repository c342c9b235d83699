"""Shards: the files of the store, each named by the digest of its own content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gad_bench.files import TEMPORARY, whole_file

Features = NDArray[np.float32]

SMALLEST_SHARD = 64  # images: what a killed extraction loses at most
MOST_SHARDS = 1024  # files in a folder
NAME = re.compile(r"shard-(\d{5})-([0-9a-f]{32})\.safetensors")


def shard_rows(images: int) -> list[range]:
    """Return the rows of each shard of a number of images."""
    size = max(SMALLEST_SHARD, -(-images // MOST_SHARDS))
    return [range(start, min(start + size, images)) for start in range(0, images, size)]


def shard_files(folder: Path) -> dict[int, Path]:
    """Return the shards that are there, by number, unverified."""
    matches = ((NAME.fullmatch(path.name), path) for path in sorted(folder.glob("shard-*")))
    return {int(match[1]): path for match, path in matches if match}


def is_intact(path: Path) -> bool:
    """Tell whether a shard's content is what its name says."""
    match = NAME.fullmatch(path.name)
    return match is not None and _digest(path) == match[2]


def write_shard(
    folder: Path, number: int, blocks: Sequence[Features], about: Mapping[str, str]
) -> Path:
    """Write a shard whole or not at all: one rename makes data and checksum final together."""
    from safetensors.numpy import save_file

    tensors = {f"block_{i}": np.ascontiguousarray(block) for i, block in enumerate(blocks)}
    temporary = folder / f"{TEMPORARY}shard-{number:05d}.safetensors"
    with whole_file(temporary) as draft:
        save_file(tensors, draft, metadata=dict(about))
    path = folder / f"shard-{number:05d}-{_digest(temporary)}.safetensors"
    temporary.replace(path)
    return path


def read_shard(path: Path, blocks: Sequence[int]) -> list[Features]:
    """Return some blocks of a shard, memory-mapped."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as shard:
        return [shard.get_tensor(f"block_{block}") for block in blocks]


def read_about(path: Path) -> dict[str, str]:
    """Return what a shard says of itself, for people."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as shard:
        return dict(shard.metadata() or {})


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process had begun to write."""
    for path in folder.glob(f"{TEMPORARY}*"):
        path.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
