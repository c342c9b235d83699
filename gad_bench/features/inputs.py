"""What a backbone sees of images: a square, a rectangle of their proportions, or tiles."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.features.interface import Backbone, square_side
from gad_bench.features.tiles import TiledBackbone

log = logging.getLogger(__name__)

Shapes = Sequence[tuple[int, int]]
"""Images' heights and widths, in pixels."""
ALIKE = 1.05  # times the proportions: what differs by less is one shape


class Input(Protocol):
    """What a backbone sees of a category's images, all of them alike."""

    needs_shapes: bool

    def of(self, backbone: Backbone, shapes: Shapes) -> Backbone:
        """Return the backbone that sees images so.

        Args:
            backbone: as it is configured.
            shapes: of the training images, where they are needed.

        Raises:
            UserError: that backbone, or those images, cannot be seen so.
        """


@dataclass(frozen=True, kw_only=True)
class Square:
    """The backbone's own input, to which images are resized straight."""

    needs_shapes = False

    def of(self, backbone: Backbone, shapes: Shapes) -> Backbone:  # noqa: ARG002
        """Return the backbone."""
        return backbone


@dataclass(frozen=True, kw_only=True)
class Rectangle:
    """A rectangle of the images' proportions, whose shorter side is the backbone's input size.

    The longer side is the multiple that the backbone takes which comes nearest. Images of other
    proportions than the median are resized to it all the same, which is told.
    """

    needs_shapes = True

    def of(self, backbone: Backbone, shapes: Shapes) -> Backbone:
        """Return the backbone for such a rectangle."""
        if not hasattr(backbone, "resized"):
            raise UserError(f"input=rectangle: backbone {backbone.name} takes no other shape")
        side, own = square_side(backbone, "input=rectangle"), cast("Any", backbone)
        proportions = np.array([width / height for height, width in shapes])
        proportion = float(np.median(proportions))
        _tell_differing(proportions)
        multiple = own.multiple()
        longer = max(round(side * max(proportion, 1 / proportion) / multiple) * multiple, side)
        height, width = (side, longer) if proportion >= 1 else (longer, side)
        return cast("Backbone", own.resized(height, width))


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """Tiles of the backbone's input size, so that small defects in large images stay large enough.

    An image is resized to the size that the tiles cover together.

    Attributes:
        rows: number of tiles from top to bottom; None for as many as come nearest the images' own
            height (the median).
        columns: number of tiles from left to right; None likewise.
        overlap: pixels that neighbours share: a multiple of the pixels from position to position of
            each block that is used.
    """

    rows: int | None
    columns: int | None
    overlap: int

    needs_shapes = True

    def of(self, backbone: Backbone, shapes: Shapes) -> Backbone:
        """Return the backbone that sees tiles."""
        side = square_side(backbone, "input=tiles")
        sides = np.array(shapes)
        least_height, least_width = sides.min(axis=0)
        if side > min(least_height, least_width):
            raise UserError(
                f"input=tiles: a tile of {side} x {side} pixels is larger than the smallest image "
                f"of {least_width} x {least_height}: lower backbone.input_size, or use input=square"
            )
        if not 0 <= self.overlap < side:
            raise UserError(
                f"input.overlap must lie in [0, {side}), the side of a tile, not {self.overlap}"
            )
        rows, columns = (
            count or max(round((length - self.overlap) / (side - self.overlap)), 1)
            for count, length in zip(
                (self.rows, self.columns), np.median(sides, axis=0), strict=True
            )
        )
        return TiledBackbone(backbone=backbone, rows=rows, columns=columns, overlap=self.overlap)


def _tell_differing(proportions: np.ndarray[Any, Any]) -> None:
    low, high = proportions.min(), proportions.max()
    if high > ALIKE * low:
        log.info(
            "input=rectangle: the training images are %.2f to %.2f times as wide as high, and all "
            "are resized to the median, %.2f",
            *(low, high, np.median(proportions)),
        )
