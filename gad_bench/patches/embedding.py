"""From maps of blocks to one vector at each position of a grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.gaussian.normalisation import NoNormalisation
from gad_bench.patches.maps import Maps, MapStream, Patches

Steps = NDArray[np.float32]
Channels = NDArray[np.float32]
"""[images, C, h, w]."""


class BlockSteps(NamedTuple):
    """How one block's maps come to the grid: what is kept of them, and a matrix from either side.

    Attributes:
        channels: those that are kept.
        rows: [grid's height, map's height]; None for no change.
        columns: [grid's width, map's width]; None for no change.
    """

    channels: Any
    rows: Steps | None
    columns: Steps | None

    def apply(self, maps: NDArray[Any]) -> Channels:
        """Return one block's maps on the grid [images, C, h, w]."""
        values = maps[:, self.channels].astype(np.float32, copy=False)
        if self.columns is not None:
            values = values @ self.columns.T
        if self.rows is not None:
            values = self.rows @ values
        return values


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """Blocks' maps averaged over neighbourhoods, brought to one grid and joined.

    A neighbourhood counts the zeros beyond the border, as in PatchCore's average. A coarser map is
    enlarged bilinearly (pixel centres aligned) or by repeating its positions, a finer one averaged
    down to the grid. All of this is linear along either axis, so each map is multiplied by one
    small matrix from either side.

    Source: Roth et al. 2022, "Towards total recall in industrial anomaly detection", section 3.1.

    Attributes:
        blocks: whose maps, in this order.
        neighbourhood: positions a side, odd; 1 for none.
        grid: positions along the map's height, with the width in proportion; None for the finest
            block's.
        averaged: whether the blocks' vectors, all of one length, are averaged instead of joined.
        normalisation: a `Normalisation` of the joined vectors.
        channels: which features of the joined vectors are kept, rising; None for all.
        repeated: whether a coarser map's positions are repeated instead of interpolated.
    """

    blocks: list[int]
    neighbourhood: int
    grid: int | None
    averaged: bool
    normalisation: Any
    channels: NDArray[np.intp] | None = None
    repeated: bool = False

    def apply(self, maps: Maps, first: int = 0) -> Patches:
        """Return the vectors float32 [images, h, w, dim] of a batch of maps.

        Args:
            maps: by block; others than the embedding's are left alone.
            first: the number of the batch's first image, for messages.

        Raises:
            UserError: a block is missing, is no batch of maps, or is not finite.
        """
        chosen = [self._checked(maps, block, first) for block in self.blocks]
        parts = [own.apply(one) for own, one in zip(self.steps(maps), chosen, strict=True)]
        if self.averaged:
            return self._normalised(sum(parts[1:], parts[0]) / np.float32(len(parts)))
        return self._normalised(np.concatenate(parts, axis=1))

    def steps(self, maps: Maps) -> list[BlockSteps]:
        """Return what is done to each block's maps, by their shapes alone."""
        sizes = [maps[block].shape[2:] for block in self.blocks]
        grid = self._grid_shape(sizes)
        return [
            BlockSteps(
                channels,
                rows=_along_axis(size[0], self.neighbourhood, grid[0], repeated=self.repeated),
                columns=_along_axis(size[1], self.neighbourhood, grid[1], repeated=self.repeated),
            )
            for channels, size in zip(self._channels_by_block(maps), sizes, strict=True)
        ]

    def width(self, maps: Maps) -> int:
        """Return the length of a joined vector, before channels are chosen.

        Raises:
            UserError: a block is missing, or blocks to be averaged differ in width.
        """
        widths = [self._checked(maps, block, 0, values=False).shape[1] for block in self.blocks]
        if not self.averaged:
            return sum(widths)
        if len(set(widths)) > 1:
            raise UserError(
                f"detector.averaged: blocks {self.blocks} have {widths} channels, "
                "and only blocks of the same number can be averaged: use detector.averaged=false"
            )
        return widths[0]

    def _channels_by_block(self, maps: Maps) -> list[Any]:
        if self.channels is None:
            return [slice(None)] * len(self.blocks)
        self._require_channels(self.width(maps))
        if self.averaged:
            return [self.channels] * len(self.blocks)
        widths = [maps[block].shape[1] for block in self.blocks]
        ends = np.cumsum(widths)
        inner = [
            np.searchsorted(self.channels, [e - w, e]) for e, w in zip(ends, widths, strict=True)
        ]
        return [
            self.channels[start:stop] - (end - width)
            for (start, stop), end, width in zip(inner, ends, widths, strict=True)
        ]

    def _require_channels(self, width: int) -> None:
        """Refuse channels, as of a saved detector that was changed, that the maps do not have.

        Raises:
            UserError: one is beyond the vectors, or they do not rise.
        """
        bounded = np.concatenate([[-1], self.channels, [width]])
        if (np.diff(bounded) <= 0).any():
            raise UserError(
                f"the channels that are kept must rise within the {width} of blocks {self.blocks}"
            )

    def _grid_shape(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, int]:
        height, width = max(shapes)
        if self.grid is None:
            return height, width
        return self.grid, max(round(self.grid * width / height), 1)

    def _normalised(self, joined: Channels) -> Patches:
        patches = _channels_last(joined)
        if isinstance(self.normalisation, NoNormalisation):
            return patches
        vectors = patches.reshape(-1, patches.shape[-1]).astype(np.float64)
        return self.normalisation.apply(vectors).astype(np.float32).reshape(patches.shape)

    def _checked(self, maps: Maps, block: int, first: int, *, values: bool = True) -> NDArray[Any]:
        if block not in maps:
            there = ", ".join(map(str, maps))
            raise UserError(f"detector.blocks names block {block}, but there are maps of {there}")
        batch = maps[block]
        if batch.ndim != 4 or 0 in batch.shape[1:]:
            raise UserError(
                f"block {block} gives no maps but an array {list(batch.shape)}: "
                "patch detectors need a backbone with maps [images, channels, height, width]"
            )
        if values and not (np.isfinite(batch.min(initial=0)) and np.isfinite(batch.max(initial=0))):
            finite = np.isfinite(batch).all(axis=(1, 2, 3))
            raise UserError(
                f"the map of block {block} of image {first + int(np.argmin(finite))} is not finite"
            )
        return batch


@dataclass(frozen=True)
class PatchStream:
    """The vectors of all images, a batch at a time, as often as needed."""

    maps: MapStream
    embedding: Embedding

    @property
    def images(self) -> int:
        """The number of images."""
        return self.maps.images

    def __iter__(self) -> Iterator[Patches]:
        """Yield float32 [images, h, w, dim]."""
        first = 0
        for batch in self.maps:
            patches = self.embedding.apply(batch, first)
            first += len(patches)
            yield patches

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """The height and width of the grid and the length of a vector."""
        height, width, dimension = next(iter(self)).shape[1:]
        return height, width, dimension


def check_embedding(blocks: list[int] | None, neighbourhood: int, grid: int | None) -> None:
    """Check what an embedding is told.

    Raises:
        UserError: names the key.
    """
    if blocks is not None and (not blocks or len(set(blocks)) < len(blocks)):
        raise UserError(f"detector.blocks must name different blocks, not {blocks}")
    if neighbourhood < 1 or neighbourhood % 2 == 0:
        raise UserError(f"detector.neighbourhood must be odd, 1 for none, not {neighbourhood}")
    if grid is not None and grid < 1:
        raise UserError(f"detector.grid must be at least 1, or null, not {grid}")


def _channels_last(values: Channels) -> Patches:
    """Return [images, h, w, C] in that order in memory: OpenCV's transpose keeps to the cache."""
    images, channels, height, width = values.shape
    patches = np.empty((images, height, width, channels), np.float32)
    for source, target in zip(values, patches, strict=True):
        cv2.transpose(source.reshape(channels, -1), target.reshape(-1, channels))
    return patches


@lru_cache(maxsize=64)
def _along_axis(size: int, neighbourhood: int, to: int, *, repeated: bool) -> Steps | None:
    """Return the matrix [to, size] that averages and resizes along an axis; None for no change."""
    if neighbourhood == 1 and size == to:
        return None
    enlarging = _repeating if repeated else _interpolating
    resized = _averaging_down(size, to) if to < size else enlarging(size, to)
    return (resized @ _averaging(size, neighbourhood)).astype(np.float32)


def _averaging(size: int, neighbourhood: int) -> NDArray[np.float64]:
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    return (distance <= neighbourhood // 2) / neighbourhood


def _repeating(size: int, to: int) -> NDArray[np.float64]:
    """Return what takes the position that each of more ones begins in."""
    return np.eye(size)[np.arange(to) * size // to]


def _interpolating(size: int, to: int) -> NDArray[np.float64]:
    """Return bilinear interpolation with pixel centres aligned."""
    place = np.clip((np.arange(to) + 0.5) * size / to - 0.5, 0, size - 1)
    return np.maximum(1 - np.abs(place[:, None] - np.arange(size)), 0)


def _averaging_down(size: int, to: int) -> NDArray[np.float64]:
    """Return the mean over the positions that each of fewer ones covers, whole ones alone."""
    index, places = np.arange(to)[:, None], np.arange(size)
    inside = (places >= index * size // to) & (places < -(-(index + 1) * size // to))
    return inside / inside.sum(axis=1, keepdims=True)
