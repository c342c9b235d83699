"""The modules of local features: blocks' maps brought to a grid, all in one graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

Indices = NDArray[np.intp]


class GridMaps(nn.Module):
    """Some blocks' maps [B, C_i, H_i, W_i], averaged down to the grid where they are finer."""

    def __init__(self, maps: nn.Module, blocks: Sequence[int], grid: int) -> None:
        super().__init__()
        self.maps, self.blocks, self.grid = maps, list(blocks), grid

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return one map per block."""
        maps = self.maps(pixels)
        return tuple(_averaged_down(maps[block], self.grid) for block in self.blocks)


class EmbeddedMaps(nn.Module):
    """Chosen channels of some blocks as one map [B, dimensions, grid, grid]."""

    def __init__(
        self, maps: nn.Module, blocks: Sequence[int], channels: Sequence[Indices], grid: int
    ) -> None:
        super().__init__()
        self.maps, self.grid = maps, grid
        self.chosen = {
            block: torch.from_numpy(own)
            for block, own in zip(blocks, channels, strict=True)
            if len(own)
        }

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the map, as the only one."""
        maps = self.maps(pixels)
        parts = [
            _at_grid(maps[block][:, own.to(pixels.device)], self.grid)
            for block, own in self.chosen.items()
        ]
        return (torch.cat(parts, dim=1),)


def shapes(maps: nn.Module, image_size: int) -> list[tuple[int, int]]:
    """Return the number of channels and the positions a side of each block's map."""
    with torch.inference_mode():
        blank = torch.zeros((1, image_size, image_size, 3), dtype=torch.uint8)
        return [(block.shape[1], block.shape[3]) for block in maps(blank)]


def choose(widths: Sequence[int], dimensions: int, seed: int) -> list[Indices]:
    """Choose channels out of all blocks' at random; return each block's own, rising."""
    order = np.random.default_rng(seed).permutation(sum(widths))
    chosen = np.sort(order[:dimensions])
    ends = np.cumsum(widths)
    return [
        chosen[(chosen >= end - width) & (chosen < end)] - (end - width)
        for width, end in zip(widths, ends, strict=True)
    ]


def _averaged_down(block: Tensor, grid: int) -> Tensor:
    return adaptive_avg_pool2d(block, grid) if block.shape[-1] > grid else block


def _at_grid(block: Tensor, grid: int) -> Tensor:
    if block.shape[-1] >= grid:
        return _averaged_down(block, grid)
    return interpolate(block, (grid, grid), mode="bilinear", align_corners=False)
