"""What the parts of feature extraction ask of one another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError

if TYPE_CHECKING:
    from torch import nn

Pixels = NDArray[np.uint8]
Features = NDArray[np.float32]
Model = Callable[[Pixels], list[Features]]
"""From images uint8 [B, H, W, 3] RGB to one float32 [B, D_i], or [B, C_i, H_i, W_i], per block."""
Size = int | tuple[int, int]
"""Of an input, in pixels: a square's side, or height and width."""


def height_and_width(size: Size) -> tuple[int, int]:
    """Return the height and width of an input of a size."""
    return (size, size) if isinstance(size, int) else size


def size_of(height: int, width: int | None) -> Size:
    """Return the size of an input, whose width is None for a square; a square has one form."""
    return height if width is None or width == height else (height, width)


class Backbone(Protocol):
    """A network, or a filter bank, whose blocks each give one vector per image."""

    @property
    def name(self) -> str:
        """The backbone's name, for people."""

    def facts(self) -> Mapping[str, Any]:
        """Return, as JSON values, everything that changes a feature and nothing else."""

    def block_count(self) -> int:
        """Return the number of blocks; they are numbered from 0."""

    def image_size(self) -> Size:
        """Return the size of the input."""

    def build(self, deepest: int) -> nn.Module:
        """Build the blocks 0..deepest, and nothing beyond the deepest.

        Returns:
            A module in evaluation mode from uint8 [B, H, W, 3] RGB to a tuple of float32
            [B, D_i], each block's map averaged over its positions.
        """

    def build_maps(self, deepest: int) -> nn.Module:
        """Build the blocks 0..deepest before they are averaged, which localisation needs.

        Returns:
            A module in evaluation mode from uint8 [B, H, W, 3] RGB to a tuple of float32
            [B, C_i, H_i, W_i].
        """


class Runtime(Protocol):
    """What carries a module out on a device."""

    def facts(self, device: str) -> Mapping[str, str]:
        """Return what changes a feature: the runtime, the precision and the device's type."""

    def compile(self, module: nn.Module, image_size: Size, device: str) -> Model:
        """Make the module ready to run on the device."""


class Models(Protocol):
    """Where compiled models stay ready."""

    def ready(self, work: Work) -> Model:
        """Return the model that does the work."""


def square_side(backbone: Backbone, who: str) -> int:
    """Return the side of a backbone's square input, for who takes nothing else.

    Raises:
        UserError: it is a rectangle.
    """
    size = backbone.image_size()
    if not isinstance(size, int):
        raise UserError(f"{who} takes squares: leave backbone.input_width out, or use input=square")
    return size


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """What makes features of images: a backbone, what carries it out, and where.

    Attributes:
        backbone: the network.
        runtime: what carries it out.
        device: where.
        batch_size: images a pass.
        models: where the model stays ready; None for among the last of the process.
    """

    backbone: Backbone
    runtime: Runtime
    device: str
    batch_size: int
    models: Models | None = None

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return, as JSON values, everything but the images that changes a feature."""
        return {
            "backbone": dict(self.backbone.facts()),
            "runtime": dict(self.runtime.facts(self.device)),
        }


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is asked of an encoder: its backbone's blocks 0..deepest."""

    encoder: Encoder
    deepest: int


class Extraction(Protocol):
    """Where images are read and go through a backbone."""

    def extract(
        self, images: Iterable[Callable[[], Pixels]], work: Work
    ) -> Iterator[tuple[Features, ...]]:
        """Yield the features of images, in order, a batch at a time.

        Args:
            images: calls that each read one, uint8 [H, W, 3] RGB; there may be millions.
            work: what makes features of them.

        Yields:
            A tuple of float32 [batch, D_i], one per block 0..deepest.

        Raises:
            UserError: names the image that cannot be read, or what is wrong with the backbone.
        """
