"""What the parts of feature extraction ask of one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

Pixels = NDArray[np.uint8]
Features = NDArray[np.float32]
Model = Callable[[Pixels], list[Features]]
"""From images uint8 [B, S, S, 3] RGB to one float32 [B, D_i], or [B, C_i, H_i, W_i], per block."""


class Backbone(Protocol):
    """A network, or a filter bank, whose blocks each give one vector per image."""

    @property
    def name(self) -> str:
        """The backbone's name, for people."""

    def facts(self) -> Mapping[str, Any]:
        """Return, as JSON values, everything that changes a feature and nothing else."""

    def block_count(self) -> int:
        """Return the number of blocks; they are numbered from 0."""

    def image_size(self) -> int:
        """Return the side of the square input, in pixels."""

    def build(self, deepest: int) -> nn.Module:
        """Build the blocks 0..deepest, and nothing beyond the deepest.

        Returns:
            A module in evaluation mode from uint8 [B, S, S, 3] RGB to a tuple of float32
            [B, D_i], each block's map averaged over its positions.
        """

    def build_maps(self, deepest: int) -> nn.Module:
        """Build the blocks 0..deepest before they are averaged, which localisation needs.

        Returns:
            A module in evaluation mode from uint8 [B, S, S, 3] RGB to a tuple of float32
            [B, C_i, H_i, W_i].
        """


class Runtime(Protocol):
    """What carries a module out on a device."""

    def facts(self, device: str) -> Mapping[str, str]:
        """Return what changes a feature: the runtime, the precision and the device's type."""

    def compile(self, module: nn.Module, image_size: int, device: str) -> Model:
        """Make the module ready to run on the device."""
