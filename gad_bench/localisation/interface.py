"""What the ways of localisation have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gad_bench.errors import UserError
from gad_bench.features.interface import Features
from gad_bench.features.local import LocalSource
from gad_bench.localisation.heat import HeatMaps


class Localisation(Protocol):
    """A way to find where in an image the anomaly is."""

    def heat_maps(
        self, source: LocalSource, train: Sequence[str], test: Sequence[str]
    ) -> HeatMaps | None:
        """Fit the local features of some images and return the heat maps of others.

        Raises:
            UserError: the features admit no fit.
        """


@dataclass(frozen=True, kw_only=True)
class NoLocalisation:
    """No heat maps."""

    def heat_maps(
        self,
        source: LocalSource,
        train: Sequence[str],
        test: Sequence[str],
    ) -> None:
        """Return none."""


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
