"""A fixed bank of oriented filters as a backbone: what there is to be had without training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gad_bench.base.errors import UserError
from gad_bench.features.interface import Size, size_of

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class FilterBank:
    """Gabor filters over an image pyramid; block 0 is colour, blocks 1.. the octaves.

    An octave's block holds the power means (exponents 1, 2 and 4: the higher, the more a small
    strong response counts) of the filters' moduli, per opponent colour channel and orientation.

    Attributes:
        name: of the backbone, for people.
        input_size: side of the square input in pixels, or a rectangle's height.
        input_width: of a rectangle, in pixels; None for a square.
        octaves: number of octaves, each at half the resolution of the one before.
        orientations: number of orientations in half a turn.
        wavelength: of the filters, in pixels of their octave.
    """

    name: str = "filterbank"
    input_size: int = 256
    octaves: int = 5
    orientations: int = 6
    wavelength: float = 4.0
    input_width: int | None = None

    def __post_init__(self) -> None:
        for key in ("octaves", "orientations"):
            if getattr(self, key) < 1:
                raise UserError(f"backbone.{key} must be at least 1, not {getattr(self, key)}")
        if self.wavelength < 2:
            raise UserError(f"backbone.wavelength must be at least 2, not {self.wavelength}")
        step = self.multiple()
        for key in ("input_size", "input_width"):
            side = getattr(self, key)
            if side is not None and (side % step or side < self.wavelength / 2 * step):
                raise UserError(
                    f"backbone.{key}={side}: with {self.octaves} octaves it must be "
                    f"a multiple of {step}, and at least {self.wavelength / 2 * step:g}"
                )

    def facts(self) -> dict[str, Any]:
        """Return the bank's parameters; a block does not depend on how many octaves follow it."""
        return {
            "architecture": "filterbank/1",
            "input_size": self.input_size,
            **({} if isinstance(self.image_size(), int) else {"input_width": self.input_width}),
            "orientations": self.orientations,
            "wavelength": float(self.wavelength),
        }

    def block_count(self) -> int:
        """Return the number of octaves, and one for colour."""
        return 1 + self.octaves

    def image_size(self) -> Size:
        """Return the size of the input."""
        return size_of(self.input_size, self.input_width)

    def multiple(self) -> int:
        """Return what the sides are multiples of."""
        return int(8 * 2 ** (self.octaves - 1))

    def resized(self, height: int, width: int) -> FilterBank:
        """Return the same for a rectangle."""
        return replace(self, input_size=height, input_width=width)

    def build(self, deepest: int) -> nn.Module:
        """Build the blocks 0..deepest; see `interface.Backbone`."""
        from gad_bench.features.modules import GaborPyramid

        return GaborPyramid(deepest, self.orientations, self.wavelength).eval()

    def build_maps(self, deepest: int) -> nn.Module:
        """Build the colours and moduli of the blocks 0..deepest; see `interface.Backbone`."""
        from gad_bench.features.modules import GaborMaps

        return GaborMaps(deepest, self.orientations, self.wavelength).eval()
