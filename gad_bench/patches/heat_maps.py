"""Heat maps, and what the ways to find them have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.features.interface import Features, Size, height_and_width
from gad_bench.features.local import Image, LocalSource

Map = NDArray[np.float32]

LARGEST_SIGMA = 2.0**14  # pixels, as many as the side of the largest input


@dataclass(frozen=True, kw_only=True)
class HeatMaps:
    """The heat maps of some images.

    They are kept on their grid, some 10 kB an image, and enlarged one at a time.

    Attributes:
        grids: distances [images, grid, grid].
        input_size: of the backbone's input.
        sigma: standard deviation of the Gaussian that smooths them, in pixels of that input.
    """

    grids: Map
    input_size: Size
    sigma: float

    def __len__(self) -> int:
        """The number of images."""
        return len(self.grids)

    def __iter__(self) -> Iterator[Map]:
        """Yield each image's heat map, smoothed, at the size of the backbone's input [H, W]."""
        height, width = height_and_width(self.input_size)
        return (self.at_size(row, height, width) for row in range(len(self)))

    def maxima(self) -> Map:
        """Return each image's highest smoothed distance [images]."""
        return np.array([heat.max() for heat in self], np.float32)

    def at_size(self, row: int, height: int, width: int) -> Map:
        """Return an image's heat map [height, width].

        Enlarged to the backbone's input, smoothed there as PaDiM does, then brought to the given
        size, all bilinearly: so smoothing is round on the input and follows the image's
        shape, and the defects' masks are never resized.
        """
        sides = height_and_width(self.input_size)
        heat = cv2.resize(self.grids[row], sides[::-1], interpolation=cv2.INTER_LINEAR)
        if self.sigma > 0:
            heat = cv2.GaussianBlur(heat, (0, 0), self.sigma, borderType=cv2.BORDER_REFLECT)
        return np.asarray(cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR))


def enlarging(size: int, to: int, sigma: float) -> NDArray[np.float64]:
    """Return what `HeatMaps.at_size` does along an axis up to the input: a matrix [to, size]."""
    matrix = cv2.resize(np.eye(size), (size, to), interpolation=cv2.INTER_LINEAR)
    if sigma > 0:
        matrix = cv2.GaussianBlur(matrix, (1, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(matrix.reshape(to, size), np.float64)


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
    check_sigma("localisation.sigma", sigma)


def check_sigma(key: str, sigma: float) -> None:
    """Check a heat map's smoothing.

    Raises:
        UserError: names the key.
    """
    if not 0 <= sigma <= LARGEST_SIGMA:
        raise UserError(f"{key} must lie in [0, {LARGEST_SIGMA:g}], not {sigma}")


def vectors(maps: Features) -> NDArray[np.float32]:
    """Return the positions' vectors [images * H * W, C] of maps [images, C, H, W]."""
    return np.moveaxis(maps, 1, -1).reshape(-1, maps.shape[1])


def joined(grids: Sequence[Map], grid: int) -> Map:
    """Join batches of heat maps to [images, grid, grid], which may be none."""
    return np.concatenate(grids) if grids else np.empty((0, grid, grid), np.float32)
