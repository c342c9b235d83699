"""The maps of images, a batch at a time: what every patch detector is fitted on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError

Maps = Mapping[int, NDArray[Any]]
"""Block -> float32 or float16 [images, C, H, W]; may be mapped from disk."""
Patches = NDArray[np.float32]
"""A vector at each position of a grid: [images, h, w, dim]."""
Grids = NDArray[np.float64]
"""A score at each position of a grid: [images, h, w], higher is more anomalous."""
Vector = NDArray[np.float64]

GIBIBYTE = 2**30


class MapStream(Protocol):
    """Batches of maps that can be iterated over as often as a detector needs to."""

    @property
    def images(self) -> int:
        """The number of images of all batches together."""

    def __iter__(self) -> Iterator[Maps]:
        """Yield the batches, the same ones at each iteration."""


@dataclass(frozen=True, kw_only=True)
class BatchedMaps:
    """Maps that are at hand, or mapped from disk, some images at a time.

    Attributes:
        maps: of all images.
        batch_size: images a batch.
    """

    maps: Maps
    batch_size: int = 32

    @property
    def images(self) -> int:
        """Their number."""
        return len(next(iter(self.maps.values())))

    def __iter__(self) -> Iterator[Maps]:
        """Yield slices, which are read when they are used."""
        for start in range(0, self.images, self.batch_size):
            batch = slice(start, start + self.batch_size)
            yield {block: values[batch] for block, values in self.maps.items()}


def require_memory(needed: float, limit: float, what: str, remedy: str) -> None:
    """Refuse what does not fit into memory, before it is filled.

    Args:
        needed: bytes.
        limit: GiB, the detector's `memory_limit`.
        what: needs them.
        remedy: which keys make it smaller.

    Raises:
        UserError: names all of these.
    """
    if needed > limit * GIBIBYTE:
        raise UserError(
            f"{what} would take {needed / GIBIBYTE:.3g} GiB, "
            f"more than detector.memory_limit={limit:g}: {remedy}, or raise the limit"
        )
