"""The long way to heat maps: every vector in memory, scikit-learn's estimators."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

from gad_bench.features.local import LocalSource
from gad_bench.patches.heat_maps import HeatMaps, Localisation

Array = NDArray[np.float64]


def heat_maps(
    localisation: Localisation, source: LocalSource, train: Sequence[str], test: Sequence[str]
) -> HeatMaps:
    """Fit some images and map others."""
    fitted = localisation.fit(source, train)
    assert fitted is not None
    return fitted.heat_maps(source, test)


def distances(fitted: Array, tested: Array) -> Array:
    """Ledoit-Wolf Mahalanobis distances of vectors [any, dim]."""
    return np.sqrt(LedoitWolf().fit(fitted).mahalanobis(tested))


def enlarged(grids: Array, side: int) -> Array:
    return np.stack([cv2.resize(np.float32(grid), (side, side)) for grid in grids])


def stacked(batches: Sequence[tuple[NDArray[np.float32], ...]]) -> list[Array]:
    """All images' maps [images, C, H, W] by block."""
    return [np.concatenate(own).astype(np.float64) for own in zip(*batches, strict=True)]


def vectors(maps: Array) -> Array:
    return maps.transpose(0, 2, 3, 1).reshape(-1, maps.shape[1])
