"""The modules that cut images into tiles, and put the tiles' maps together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gad_bench.base.errors import UserError


class Tiles(nn.Module):
    """From uint8 [B, H, W, 3] to the tiles [B * rows * columns, S, S, 3], row by row."""

    def __init__(self, side: int, rows: int, columns: int, overlap: int) -> None:
        super().__init__()
        self.side, self.rows, self.columns, self.overlap = side, rows, columns, overlap

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the tiles."""
        step = self.side - self.overlap
        tiles = [
            pixels[:, top : top + self.side, left : left + self.side]
            for top in range(0, self.rows * step, step)
            for left in range(0, self.columns * step, step)
        ]
        return torch.stack(tiles, dim=1).flatten(0, 1)


class TiledVectors(nn.Module):
    """The mean of the tiles' vectors: one float32 [B, D_i] per block."""

    def __init__(
        self, vectors: nn.Module, side: int, rows: int, columns: int, overlap: int
    ) -> None:
        super().__init__()
        self.vectors, self.tiles = vectors, Tiles(side, rows, columns, overlap)
        self.count = rows * columns

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the vectors."""
        blocks = self.vectors(self.tiles(pixels))
        return tuple(block.reshape(-1, self.count, block.shape[-1]).mean(dim=1) for block in blocks)


class TiledMaps(nn.Module):
    """The tiles' maps put together: one float32 [B, C_i, H_i, W_i] per block."""

    def __init__(self, maps: nn.Module, side: int, rows: int, columns: int, overlap: int) -> None:
        super().__init__()
        self.maps, self.tiles = maps, Tiles(side, rows, columns, overlap)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the maps.

        Raises:
            UserError: the overlap is no whole number of a map's positions.
        """
        blocks = self.maps(self.tiles(pixels))
        return tuple(self._joined(block, number) for number, block in enumerate(blocks))

    def _joined(self, block: Tensor, number: int) -> Tensor:
        """Return a block's map of the image, from its maps of the tiles [B * tiles, C, n, n]."""
        tiles, positions = self.tiles, block.shape[-1]
        count = tiles.rows * tiles.columns
        if tiles.overlap * positions % tiles.side:
            raise UserError(
                f"input.overlap={tiles.overlap}: of block {number}, with {positions} positions "
                f"along a tile of {tiles.side} pixels, that is no whole number of positions: "
                f"choose another multiple, or 0"
            )
        shared = tiles.overlap * positions // tiles.side
        apart = block.reshape(-1, count, *block.shape[1:])
        rows = []
        for row in range(tiles.rows):
            kept = _kept(row, tiles.rows, shared, positions)
            parts = [
                apart[:, row * tiles.columns + column, :, kept][
                    ..., _kept(column, tiles.columns, shared, positions)
                ]
                for column in range(tiles.columns)
            ]
            rows.append(torch.cat(parts, dim=3))
        return torch.cat(rows, dim=2)


def _kept(number: int, count: int, shared: int, positions: int) -> slice:
    """Return which positions of a tile are kept, of several along an axis: half of what is shared.

    Of an odd number the tile before keeps one more.
    """
    first = shared - shared // 2 if number else 0
    last = positions - shared // 2 if number < count - 1 else positions
    return slice(first, last)
