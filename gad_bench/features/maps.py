"""Blocks' maps as detectors on patches read them: how they are stored, and what makes them."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.features.interface import Backbone, Encoder, Size, Work
from gad_bench.features.store import Batch, StoredMaps

if TYPE_CHECKING:
    from torch import nn

GIGABYTE = 10**9
PRECISIONS = ("float32", "float16")
BATCH_BYTES = 2**27  # of a batch of maps brought to the finest one's grid: 128 MiB
MOST_AT_ONCE = 16  # images a batch
SMALLER = "name fewer blocks, use maps.precision=float16 or lower backbone.input_size"

Rows = NDArray[np.intp]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MapStorage:
    """How maps are stored.

    Attributes:
        precision: "float32", or "float16" for half the room.
        limit: gigabytes (10^9 bytes) that one extraction's maps may take on the disk.
        keep: blocks whose maps every run extracts along with what it needs itself, so that no later
            run needs another pass; numbered from 0.
    """

    precision: str = "float32"
    limit: float = 20.0
    keep: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UserError(
                f"maps.precision={self.precision} is unknown: choose {' or '.join(PRECISIONS)}"
            )
        if not self.limit > 0:
            raise UserError(f"maps.limit must be more than 0, not {self.limit}")

    def stored(
        self, batches: Iterator[Batch], blocks: Sequence[int], room: Room
    ) -> Iterator[Batch]:
        """Yield batches whose last arrays, the maps of some blocks, are as they are stored.

        Raises:
            UserError: a map is not finite or beyond the precision's range; or, before the first
                batch is given, there is no room for all of them.
        """
        for number, batch in enumerate(batches):
            depth = len(batch) - len(blocks)
            maps = [self.rounded(*pair) for pair in zip(batch[depth:], blocks, strict=True)]
            if number == 0 and maps:
                sizes = {block: own[0].nbytes for block, own in zip(blocks, maps, strict=True)}
                room.require(sizes, self.limit)
            yield (*batch[:depth], *maps)

    def rounded(self, values: NDArray[Any], block: int) -> NDArray[Any]:
        """Return maps in the precision.

        Raises:
            UserError: they are not finite, or beyond the precision's range.
        """
        with np.errstate(over="ignore"):
            stored = values.astype(self.precision, copy=False)
        if not np.isfinite(stored).all():
            remedy = "check the weights, or use runtime.precision=float32"
            if np.isfinite(values).all():
                remedy = "they exceed its range, so use maps.precision=float32"
            raise UserError(
                f"a map of block {block} is not finite in maps.precision={self.precision}: {remedy}"
            )
        return stored


@dataclass(frozen=True)
class Room:
    """The room on the disk that an extraction of maps needs.

    Attributes:
        folder: of the store.
        images: of the whole.
        missing: of these, those that are still to be written.
    """

    folder: Path
    images: int
    missing: int

    def require(self, sizes: Mapping[int, int], limit: float) -> None:
        """Tell how much it is, and refuse what is too much.

        Args:
            sizes: bytes an image takes, by block.
            limit: of the whole, in gigabytes.

        Raises:
            UserError: the limit or the disk's free room is exceeded.
        """
        whole = sum(sizes.values()) * self.images / GIGABYTE
        needed = sum(sizes.values()) * self.missing / GIGABYTE
        free = shutil.disk_usage(self.folder).free / GIGABYTE
        blocks = ",".join(map(str, sizes))
        size = f"maps of blocks {blocks} of {self.images} images take {whole:.3g} GB"
        if whole > limit:
            raise UserError(f"{size}, more than maps.limit={limit:g}: raise it, or {SMALLER}")
        if needed > free:
            raise UserError(
                f"{size}, and {self.folder} has {free:.3g} GB free: make room there, name another "
                f"folder by cache_dir=PATH, or {SMALLER}"
            )
        log.info("%s, in %s", size, self.folder)


@dataclass(frozen=True, kw_only=True)
class MapsBackbone:
    """A backbone that gives vectors and maps: what `extract` takes in a backbone's place.

    Attributes:
        backbone: whose.
        blocks: whose maps, rising.
        vectors: of how many of the first blocks the vectors come before the maps.
    """

    backbone: Backbone
    blocks: Sequence[int]
    vectors: int = 0

    @property
    def name(self) -> str:
        """The backbone's name, for people."""
        return f"{self.backbone.name}, maps"

    def facts(self) -> Mapping[str, Any]:
        """Return everything that changes the output."""
        return {**self.backbone.facts(), "maps": [self.vectors, *self.blocks]}

    def block_count(self) -> int:
        """Return the number of outputs."""
        return self.vectors + len(self.blocks)

    def image_size(self) -> Size:
        """Return the size of the input."""
        return self.backbone.image_size()

    def build(self, deepest: int) -> nn.Module:
        """Build a module from uint8 [B, H, W, 3] RGB to [B, D_i], then [B, C_i, H_i, W_i].

        Raises:
            UserError: the backbone has no maps.
        """
        from gad_bench.features import modules

        if not self.vectors:
            return modules.ChosenMaps(self.backbone.build_maps(deepest), self.blocks).eval()
        vectors: Any = self.backbone.build(deepest)
        if not hasattr(vectors, "with_maps"):
            vectors = modules.VectorsBesideMaps(vectors, self.backbone.build_maps(deepest))
        return modules.VectorsAndMaps(vectors, self.blocks, self.vectors).eval()

    def build_maps(self, deepest: int) -> nn.Module:
        """Build the same."""
        return self.build(deepest)


def maps_work(encoder: Encoder, blocks: Sequence[int], vectors: int = 0) -> Work:
    """Return what is asked of an encoder: some blocks' maps, and the first blocks' vectors before.

    Raises:
        UserError: the backbone has no maps.
    """
    if not hasattr(encoder.backbone, "build_maps"):
        raise UserError(
            f"backbone {encoder.backbone.name} has no maps (no build_maps), which detectors on "
            "patches need: choose another backbone, or detector=gaussian"
        )
    backbone = MapsBackbone(backbone=encoder.backbone, blocks=list(blocks), vectors=vectors)
    return Work(encoder=replace(encoder, backbone=backbone), deepest=max(*blocks, vectors - 1, 0))


@dataclass(frozen=True, kw_only=True)
class ObtainedMaps:
    """Some blocks' maps of a list of images.

    Attributes:
        blocks: the maps, by block.
        images_digest: a digest of all the images' content.
        cache_hit: whether this process had nothing to extract.
        seconds_extract: what the extraction took, 0 on a hit.
    """

    blocks: Mapping[int, StoredMaps]
    images_digest: str
    cache_hit: bool
    seconds_extract: float

    @property
    def images_per_second(self) -> float | None:
        """What the slowest of their extractions came to; None where nobody knows."""
        speeds = [maps.images_per_second for maps in self.blocks.values()]
        return min((speed for speed in speeds if speed is not None), default=None)

    @property
    def path(self) -> Path:
        """The store's folder that holds the first of them."""
        return next(iter(self.blocks.values())).folder

    def rows(self, rows: Rows) -> MapRows:
        """Return some images' maps, a batch at a time."""
        return MapRows(self.blocks, rows)


@dataclass(frozen=True)
class MapRows:
    """The maps of some images, read a batch at a time, as often as they are iterated over.

    Attributes:
        blocks: the maps of all images, by block.
        chosen: which of them.
    """

    blocks: Mapping[int, StoredMaps]
    chosen: Rows

    @property
    def images(self) -> int:
        """Their number."""
        return len(self.chosen)

    def __iter__(self) -> Iterator[dict[int, NDArray[Any]]]:
        """Yield [images, C, H, W] by block."""
        for rows in self.batches():
            yield self.read(rows)

    def batches(self) -> list[Rows]:
        """Return the images of each batch, as many as take little memory on the finest grid."""
        shapes = [maps.shape for maps in self.blocks.values()]
        width = sum(channels for channels, *_ in shapes)
        size = 4 * width * max(math.prod(shape) for _, *shape in shapes)
        count = min(max(BATCH_BYTES // size, 1), MOST_AT_ONCE)
        return [self.chosen[start : start + count] for start in range(0, self.images, count)]

    def read(self, rows: Rows) -> dict[int, NDArray[Any]]:
        """Return the maps of images by block, in the order of the rows."""
        rising, back = np.unique(rows, return_inverse=True)
        found = {block: maps.take(rising) for block, maps in self.blocks.items()}
        if np.array_equal(rising, rows):
            return found
        return {block: values[back] for block, values in found.items()}
