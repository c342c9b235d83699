"""What the ways of localisation have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gad_bench.errors import UserError
from gad_bench.features.interface import Features
from gad_bench.features.local import Image, LocalSource
from gad_bench.localisation.heat import HeatMaps, Map


class FittedLocalisation(Protocol):
    """What knows the normal local features."""

    def heat_maps(self, source: LocalSource, images: Sequence[Image]) -> HeatMaps:
        """Return the heat maps of images, in order."""


class Localisation(Protocol):
    """A way to find where in an image the anomaly is."""

    def fit(self, source: LocalSource, train: Sequence[Image]) -> FittedLocalisation | None:
        """Fit the local features of images.

        Raises:
            UserError: the features admit no fit.
        """


@dataclass(frozen=True, kw_only=True)
class NoLocalisation:
    """No heat maps."""

    def fit(self, source: LocalSource, train: Sequence[Image]) -> None:
        """Fit nothing."""


def check_settings(grid: int, sigma: float) -> None:
    """Check what all ways are told.

    Raises:
        UserError: names the key.
    """
    if grid < 1:
        raise UserError(f"localisation.grid must be at least 1, not {grid}")
    if not 0 <= sigma < np.inf:
        raise UserError(f"localisation.sigma must be 0 or more, not {sigma}")


def vectors(maps: Features) -> NDArray[np.float32]:
    """Return the positions' vectors [images * H * W, C] of maps [images, C, H, W]."""
    return np.moveaxis(maps, 1, -1).reshape(-1, maps.shape[1])


def joined(grids: Sequence[Map], grid: int) -> Map:
    """Join batches of heat maps to [images, grid, grid], which may be none."""
    return np.concatenate(grids) if grids else np.empty((0, grid, grid), np.float32)
