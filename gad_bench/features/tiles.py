"""A backbone that sees a large image tile by tile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gad_bench.base.errors import UserError
from gad_bench.features.interface import Backbone, Size, size_of, square_side

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class TiledBackbone:
    """A backbone whose square input is a tile; the tiles' maps are put together to the image's.

    Where tiles overlap, each position of a map is taken from the tile of whose border it is the
    farther away. So every vector is what the network made of one tile, and none is mixed.

    Attributes:
        backbone: whose input is a tile, a square.
        rows: number of tiles from top to bottom.
        columns: number of tiles from left to right.
        overlap: pixels that neighbours share.
    """

    backbone: Backbone
    rows: int
    columns: int
    overlap: int

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise UserError(
                f"there must be at least one tile, not {self.rows} rows and {self.columns} columns"
            )
        if not 0 <= self.overlap < self.side:
            raise UserError(
                f"tiles of {self.side} pixels can share 0 to {self.side - 1} pixels with their "
                f"neighbours, not {self.overlap}"
            )

    @property
    def name(self) -> str:
        """The backbone's name, for people."""
        return f"{self.backbone.name}, {self.rows} x {self.columns} tiles"

    @property
    def side(self) -> int:
        """The side of a tile, in pixels.

        Raises:
            UserError: the backbone's input is no square.
        """
        return square_side(self.backbone, "input=tiles")

    def facts(self) -> Mapping[str, Any]:
        """Return everything that changes a feature."""
        return {**self.backbone.facts(), "tiles": [self.rows, self.columns, self.overlap]}

    def block_count(self) -> int:
        """Return the number of blocks."""
        return self.backbone.block_count()

    def image_size(self) -> Size:
        """Return the size of all tiles together."""
        step = self.side - self.overlap
        height, width = (self.overlap + count * step for count in (self.rows, self.columns))
        return size_of(height, width)

    def build(self, deepest: int) -> nn.Module:
        """Build the blocks' vectors: means over the maps' positions, or else over the tiles."""
        from gad_bench.features.modules import PooledBlocks
        from gad_bench.features.tiled_modules import TiledVectors

        vectors = self.backbone.build(deepest)
        if isinstance(vectors, PooledBlocks):
            return PooledBlocks(self._tiled(vectors.maps)).eval()
        return TiledVectors(vectors, self.side, self.rows, self.columns, self.overlap).eval()

    def build_maps(self, deepest: int) -> nn.Module:
        """Build the blocks' maps, put together; see `interface.Backbone`.

        They raise a UserError where the overlap is no whole number of a map's positions.
        """
        return self._tiled(self.backbone.build_maps(deepest)).eval()

    def _tiled(self, maps: nn.Module) -> nn.Module:
        from gad_bench.features.tiled_modules import TiledMaps

        return TiledMaps(maps, self.side, self.rows, self.columns, self.overlap)
