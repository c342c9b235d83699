"""A fixed bank of oriented filters as a backbone: what there is to be had without training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gad_bench.base.errors import UserError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class FilterBank:
    """Gabor filters over an image pyramid; block 0 is colour, blocks 1.. the octaves.

    An octave's block holds the power means (exponents 1, 2 and 4: the higher, the more a small
    strong response counts) of the filters' moduli, per opponent colour channel and orientation.

    Attributes:
        name: of the backbone, for people.
        input_size: side of the square input, in pixels.
        octaves: number of octaves, each at half the resolution of the one before.
        orientations: number of orientations in half a turn.
        wavelength: of the filters, in pixels of their octave.
    """

    name: str = "filterbank"
    input_size: int = 256
    octaves: int = 5
    orientations: int = 6
    wavelength: float = 4.0

    def __post_init__(self) -> None:
        for key in ("octaves", "orientations"):
            if getattr(self, key) < 1:
                raise UserError(f"backbone.{key} must be at least 1, not {getattr(self, key)}")
        if self.wavelength < 2:
            raise UserError(f"backbone.wavelength must be at least 2, not {self.wavelength}")
        step = 8 * 2 ** (self.octaves - 1)
        if self.input_size % step or self.input_size < self.wavelength / 2 * step:
            raise UserError(
                f"backbone.input_size={self.input_size}: with {self.octaves} octaves it must be "
                f"a multiple of {step}, and at least {self.wavelength / 2 * step:g}"
            )

    def facts(self) -> dict[str, Any]:
        """Return the bank's parameters; a block does not depend on how many octaves follow it."""
        return {
            "architecture": "filterbank/1",
            "input_size": self.input_size,
            "orientations": self.orientations,
            "wavelength": float(self.wavelength),
        }

    def block_count(self) -> int:
        """Return the number of octaves, and one for colour."""
        return 1 + self.octaves

    def image_size(self) -> int:
        """Return the side of the square input, in pixels."""
        return self.input_size

    def build(self, deepest: int) -> nn.Module:
        """Build the blocks 0..deepest; see `interface.Backbone`."""
        from gad_bench.features.modules import GaborPyramid

        return GaborPyramid(deepest, self.orientations, self.wavelength).eval()

    def build_maps(self, deepest: int) -> nn.Module:
        """Build the colours and moduli of the blocks 0..deepest; see `interface.Backbone`."""
        from gad_bench.features.modules import GaborMaps

        return GaborMaps(deepest, self.orientations, self.wavelength).eval()
