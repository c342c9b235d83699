"""The modules that are run: from pixels to blocks' maps or pooled blocks, all in one graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, conv2d, interpolate, pad

from gad_bench.base.errors import UserError
from gad_bench.features.interface import Size, height_and_width


class BlockMaps(nn.Module):
    """Preprocessing, and a network that returns its blocks' maps.

    Takes uint8 [B, H, W, 3] RGB and returns one float32 [B, D_i, H_i, W_i] per block.
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
        return tuple(block.float() for block in self.network(self.normalised(pixels)))

    def normalised(self, pixels: Tensor) -> Tensor:
        """Return images float32 [B, 3, H, W] as the network takes them."""
        return (pixels.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std


class PooledBlocks(nn.Module):
    """Global average pooling of blocks' maps: one float32 [B, D_i] per block."""

    def __init__(self, maps: nn.Module) -> None:
        super().__init__()
        self.maps: nn.Module = maps

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the pooled blocks."""
        return self.with_maps(pixels)[0]

    def with_maps(self, pixels: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the pooled blocks and the maps, from one pass."""
        maps = self.maps(pixels)
        return tuple(block.mean((2, 3)) for block in maps), maps


class ClassTokens(nn.Module):
    """A transformer's class token after each block: one float32 [B, D] per block."""

    def __init__(self, maps: BlockMaps, blocks: IntermediateBlocks) -> None:
        super().__init__()
        self.maps, self.blocks = maps, blocks

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the class tokens."""
        return self.with_maps(pixels)[0]

    def with_maps(self, pixels: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the class tokens and the maps, from one pass."""
        blocks = self.blocks.with_prefix_tokens(self.maps.normalised(pixels))
        tokens = tuple(prefix[:, 0].float() for _, prefix in blocks)
        return tokens, tuple(block.float() for block, _ in blocks)


class ChosenMaps(nn.Module):
    """Some blocks' maps [B, C_i, H_i, W_i]."""

    def __init__(self, maps: nn.Module, blocks: Sequence[int]) -> None:
        super().__init__()
        self.maps, self.blocks = maps, list(blocks)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the maps."""
        maps = self.maps(pixels)
        return tuple(maps[block] for block in self.blocks)


class VectorsBesideMaps(nn.Module):
    """Vectors that are made of other values than the maps, as a filter bank's are."""

    def __init__(self, vectors: nn.Module, maps: nn.Module) -> None:
        super().__init__()
        self.vectors, self.maps = vectors, maps

    def with_maps(self, pixels: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the blocks' vectors and maps."""
        return self.vectors(pixels), self.maps(pixels)


class VectorsAndMaps(nn.Module):
    """The first blocks' vectors, and then some blocks' maps, from one pass."""

    def __init__(
        self,
        vectors: PooledBlocks | ClassTokens | VectorsBesideMaps,
        blocks: Sequence[int],
        depth: int,
    ) -> None:
        super().__init__()
        self.vectors, self.blocks, self.depth = vectors, list(blocks), depth

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return [B, D_i] of the blocks below the depth, then [B, C_i, H_i, W_i] of the others."""
        vectors, maps = self.vectors.with_maps(pixels)
        return (*vectors[: self.depth], *(maps[block] for block in self.blocks))


class TappedModules(nn.Module):
    """A network cut after the last of the named modules, which returns their outputs."""

    def __init__(self, network: nn.Module, taps: Sequence[str]) -> None:
        from timm.models import create_feature_extractor  # here: a filter bank needs no timm

        super().__init__()
        self.network = create_feature_extractor(network, list(taps))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the blocks' maps, from images already normalised.

        Raises:
            UserError: a module returns something else.
        """
        found = self.network(images)
        for tap, block in found.items():
            if getattr(block, "ndim", 0) != 4:
                raise UserError(
                    f"backbone.taps: {tap} returns no map [images, channels, height, width]: tap "
                    "another module, or with backbone.taps=null timm's own choice of blocks"
                )
        return list(found.values())


class IntermediateBlocks(nn.Module):
    """A timm model's own intermediate features, as maps, without its prefix tokens."""

    def __init__(self, network: nn.Module, deepest: int, final_norm: bool) -> None:
        super().__init__()
        self.network = network
        self.forward_intermediates: Any = network.forward_intermediates
        self.choice = {
            "indices": list(range(deepest + 1)),
            "norm": final_norm,
            "stop_early": True,
            "intermediates_only": True,
            "output_fmt": "NCHW",
        }

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the blocks' maps, from images already normalised."""
        maps: list[Tensor] = self.forward_intermediates(images, **self.choice)
        return maps

    def with_prefix_tokens(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return each block's map, and its class and register tokens [B, tokens, D]."""
        blocks: list[tuple[Tensor, Tensor]] = self.forward_intermediates(
            images, return_prefix_tokens=True, **self.choice
        )
        return blocks


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


def shapes(maps: nn.Module, image_size: Size) -> list[tuple[int, int]]:
    """Return the number of channels and the positions along the height of each block's map."""
    with torch.inference_mode():
        blank = torch.zeros((1, *height_and_width(image_size), 3), dtype=torch.uint8)
        return [(block.shape[1], block.shape[2]) for block in maps(blank)]


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
    height, width = block.shape[2:]
    sides = min(height, grid), min(width, grid)
    return block if (height, width) == sides else adaptive_avg_pool2d(block, sides)


def _at_grid(block: Tensor, grid: int) -> Tensor:
    block = _averaged_down(block, grid)
    if [*block.shape[2:]] == [grid, grid]:
        return block
    return interpolate(block, (grid, grid), mode="bilinear", align_corners=False)


OPPONENT = ((1 / 3, 1 / 3, 1 / 3), (0.5, -0.5, 0.0), (0.25, 0.25, -0.5))
"""Lightness, red against green, yellow against blue, from RGB."""
BANDWIDTH = 0.56
"""Width of the Gaussian envelope, in wavelengths, for a bandwidth of one octave."""
RADIUS = 2.5
"""Where the envelope is cut off, in standard deviations."""
STRIDE = 2
"""Moduli are smooth: every other position tells as much as all of them."""


COARSE = 8
"""Side of the squares that colour is averaged over first, in pixels."""


class GaborModuli(nn.Module):
    """From uint8 [B, H, W, 3] RGB to the colours, and one octave's moduli after the other's."""

    opponent: Tensor
    bank: Tensor

    def __init__(self, octaves: int, orientations: int, wavelength: float) -> None:
        super().__init__()
        self.octaves = octaves
        channels = len(OPPONENT)
        self.register_buffer("opponent", torch.tensor(OPPONENT).view(channels, 3, 1, 1))
        bank = torch.from_numpy(gabor_bank(orientations, wavelength))
        self.register_buffer("bank", bank.repeat(channels, 1, 1, 1))

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return float32 [B, 3, H, W] and, per octave, [B, 3 * orientations, H_i, W_i]."""
        image = conv2d(pixels.permute(0, 3, 1, 2).float() / 255, self.opponent)
        blocks = [image]
        for octave in range(self.octaves):
            if octave:
                image = avg_pool2d(image, 2)
            blocks.append(self._moduli(image))
        return tuple(blocks)

    def _moduli(self, image: Tensor) -> Tensor:
        return self._moduli_at(image, STRIDE)

    def _moduli_at(self, image: Tensor, stride: int) -> Tensor:
        responses = conv2d(image, self.bank, stride=stride, groups=image.shape[1])
        even, odd = responses[:, 0::2], responses[:, 1::2]
        power = even * even + odd * odd
        if power.requires_grad:  # the root has no slope at 0, as where the image is even
            power.register_hook(  # type: ignore[no-untyped-call]
                lambda slope: slope.where(power > 0, 0)
            )
        return power.sqrt()


class GaborMaps(GaborModuli):
    """From uint8 [B, H, W, 3] RGB to one float32 [B, C_i, H_i, W_i] per block.

    Block 0 has the 3 opponent channels, each further block the moduli for 3 channels and each
    orientation. Every map covers the whole image evenly: images are mirrored at their border, and
    squares of moduli averaged, where `GaborPyramid` leaves out the border and every other position.
    """

    def _moduli(self, image: Tensor) -> Tensor:
        border = [self.bank.shape[-1] // 2] * 4
        return avg_pool2d(self._moduli_at(pad(image, border, mode="reflect"), 1), STRIDE)


class GaborPyramid(nn.Module):
    """From uint8 [B, H, W, 3] RGB to one float32 [B, D_i] per block.

    Block 0 has the mean and the power means about it of the 3 opponent channels (9 values), each
    further block 3 power means for 3 channels and each orientation.
    """

    def __init__(self, octaves: int, orientations: int, wavelength: float) -> None:
        super().__init__()
        self.moduli = GaborModuli(octaves, orientations, wavelength)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the pooled blocks."""
        colour, *octaves = self.moduli(pixels)
        return (_colour(colour), *(_power_means(moduli) for moduli in octaves))


def gabor_bank(orientations: int, wavelength: float) -> NDArray[np.float32]:
    """Return float32 [2 * orientations, 1, k, k]: even and odd filter of each orientation in turn.

    Each filter's mean is zero, so flat areas give nothing, and its absolute values add up to 1.
    """
    sigma = BANDWIDTH * wavelength
    side = 2 * round(RADIUS * sigma) + 1
    filters = []
    for turn in range(orientations):
        for phase in (0, np.pi / 2):
            angle = np.pi * turn / orientations
            kernel = cv2.getGaborKernel((side, side), sigma, angle, wavelength, 1.0, phase)
            envelope = cv2.getGaborKernel((side, side), sigma, angle, np.inf, 1.0, 0)
            kernel -= envelope * (kernel.sum() / envelope.sum())
            filters.append(kernel / np.abs(kernel).sum())
    return np.stack(filters)[:, None].astype(np.float32)


def _colour(image: Tensor) -> Tensor:
    mean = _mean(image)
    distance = (image - mean[:, :, None, None]).abs()
    return torch.cat([mean, *(_mean(distance.pow(n)).pow(1 / n) for n in (2, 4))], dim=1)


def _power_means(moduli: Tensor) -> Tensor:
    return torch.cat([moduli.pow(n).mean((2, 3)).pow(1 / n) for n in (1, 2, 4)], dim=1)


def _mean(values: Tensor) -> Tensor:
    """Average in two steps: a long float32 sum in one go costs OpenVINO four digits."""
    return avg_pool2d(values, COARSE).mean((2, 3))
