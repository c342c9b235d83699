"""Where things lie in the feature store.

    <cache_dir>/features-v1/
        <key>/recipe.json             the facts whose SHA-256 is the key
        <key>/to-block-<d>/shard-*    one extraction of blocks 0..d; the folder's time: last use
        <key>.to-block-<d>.lock       held while that extraction is written or removed

Locks lie beside the entries, so that an entry can be moved away whole while its lock is held.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

VERSION = 1  # raise it when a file's meaning changes: what older versions wrote is not read
LAYOUT = f"features-v{VERSION}"
ABOUT = ("dataset", "category", "backbone")  # what an extraction tells people of itself

_LAYOUT_NAME = re.compile(r"features(?:-v(\d+))?")
_KEY = re.compile(r"[0-9a-f]{64}")
_DEPTH_NAME = re.compile(r"to-block-(\d+)")


@dataclass(frozen=True)
class Extraction:
    """The folder of one extraction: the blocks 0..deepest of one recipe's images."""

    entry: Path
    deepest: int

    @property
    def folder(self) -> Path:
        """Where its shards lie."""
        return self.entry / f"to-block-{self.deepest}"

    @property
    def lock(self) -> Path:
        """The file that is locked while the shards are written or removed."""
        return self.entry.with_name(f"{self.entry.name}.to-block-{self.deepest}.lock")

    @property
    def recipe(self) -> Path:
        """The file that tells what the features are of; all extractions of an entry share it."""
        return self.entry / "recipe.json"

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
    return [path for path in sorted((cache_dir / LAYOUT).glob("*")) if _KEY.fullmatch(path.name)]


def extractions(entry: Path) -> list[Extraction]:
    """Return the extractions of an entry, the shallowest first."""
    matches = (_DEPTH_NAME.fullmatch(path.name) for path in entry.glob("to-block-*"))
    return [Extraction(entry, deepest) for deepest in sorted(int(m[1]) for m in matches if m)]


def older_layouts(cache_dir: Path) -> list[Path]:
    """Return the stores that older versions of gad_bench left, which this one does not read."""
    matches = ((_LAYOUT_NAME.fullmatch(path.name), path) for path in sorted(cache_dir.glob("*")))
    return [path for match, path in matches if match and int(match[1] or 0) < VERSION]
