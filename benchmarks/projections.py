"""The network of `sweep.py`: random projections of small pictures, which cost nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Projections(nn.Module):
    """Gives vectors of some widths, a fixed projection of the pixels each."""

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for block, width in enumerate(widths):
            self.register_buffer(f"block_{block}", torch.randn(inputs, width, generator=generator))

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the vectors by block."""
        flat = pixels.flatten(1).float() / 255
        return tuple(flat @ matrix for matrix in self.buffers())
