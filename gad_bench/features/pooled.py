"""The module that is run: from pixels to pooled blocks, all in one graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.models import create_feature_extractor
from torch import Tensor, nn


class BlockMaps(nn.Module):
    """Preprocessing, and a network that returns its blocks' maps.

    Takes uint8 [B, S, S, 3] RGB and returns one float32 [B, D_i, H_i, W_i] per block.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the blocks' maps."""
        images = (pixels.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std
        return tuple(block.float() for block in self.network(images))


class PooledBlocks(nn.Module):
    """Global average pooling of blocks' maps: one float32 [B, D_i] per block."""

    def __init__(self, maps: nn.Module) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the pooled blocks."""
        return tuple(block.mean((2, 3)) for block in self.maps(pixels))


class TappedModules(nn.Module):
    """A network cut after the last of the named modules, which returns their outputs."""

    def __init__(self, network: nn.Module, taps: Sequence[str]) -> None:
        super().__init__()
        self.network = create_feature_extractor(network, list(taps))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the blocks' maps, from images already normalised."""
        return list(self.network(images).values())


class IntermediateBlocks(nn.Module):
    """A timm model's own intermediate features, as maps, without its prefix tokens."""

    def __init__(self, network: nn.Module, deepest: int) -> None:
        super().__init__()
        self.network = network
        self.forward_intermediates: Any = network.forward_intermediates
        self.indices = list(range(deepest + 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the blocks' maps, from images already normalised."""
        choice = {"indices": self.indices, "stop_early": True, "intermediates_only": True}
        maps: list[Tensor] = self.forward_intermediates(images, output_fmt="NCHW", **choice)
        return maps
