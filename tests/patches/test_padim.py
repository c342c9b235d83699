"""A Gaussian per position, held against the long way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from plain_localisation import distances, heat_maps, stacked

from gad_bench.base.errors import UserError
from gad_bench.features.local import Embedding, LocalSource
from gad_bench.gaussian.covariance import Empirical, LedoitWolf
from gad_bench.gaussian.normalisation import NoNormalisation
from gad_bench.patches.padim import PaDiM

GRID = 8


def padim(**changes: object) -> PaDiM:
    settings: dict[str, Any] = {
        "blocks": None,
        "grid": GRID,
        "sigma": 0.0,
        "dimensions": 6,
        "seed": 0,
        "normalisation": NoNormalisation(),
        "covariance": LedoitWolf(),
    }
    return PaDiM(**settings | changes)


def plain(
    source: LocalSource, train_paths: list[str], test_paths: list[str], dimensions: int
) -> NDArray[np.float64]:
    embedding = Embedding(dimensions=dimensions, seed=0)
    (fitted,), (tested,) = (
        stacked(list(source.stream(paths, GRID, embedding))) for paths in (train_paths, test_paths)
    )
    found = np.empty((len(test_paths), GRID, GRID))
    for top in range(GRID):
        for left in range(GRID):
            found[:, top, left] = distances(fitted[..., top, left], tested[..., top, left])
    return found


@pytest.mark.parametrize("dimensions", [6, 14])
@pytest.mark.parametrize("images", [10, 30])
def test_each_position_has_its_own_gaussian(
    source: LocalSource, train_paths: list[str], test_paths: list[str], dimensions: int, images: int
) -> None:
    expected = plain(source, train_paths[:images], test_paths, dimensions)
    found = heat_maps(padim(dimensions=dimensions), source, train_paths[:images], test_paths)
    np.testing.assert_allclose(found.grids, expected, rtol=1e-4)


def test_heat_is_highest_at_the_defect(
    source: LocalSource, train_paths: list[str], test_paths: list[str]
) -> None:
    maps = heat_maps(padim(grid=16, dimensions=15), source, train_paths, test_paths)
    for row in (2, 3, 4):
        heat = maps.at_size(row, 64, 64)
        top, left = np.unravel_index(heat.argmax(), heat.shape)
        assert 36 <= top < 56
        assert 36 <= left < 56


def test_the_seed_chooses_the_channels(
    source: LocalSource, train_paths: list[str], test_paths: list[str]
) -> None:
    zero, again, one = (
        heat_maps(padim(seed=seed), source, train_paths, test_paths).grids for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(zero, again)
    assert not np.allclose(zero, one)


def test_too_few_images_for_an_estimator_are_told(
    source: LocalSource, train_paths: list[str], test_paths: list[str]
) -> None:
    with pytest.raises(UserError, match=r"localisation, a position: covariance=empirical: 5 sam"):
        heat_maps(padim(covariance=Empirical()), source, train_paths[:5], test_paths)


def test_no_dimensions_are_refused() -> None:
    with pytest.raises(UserError, match=r"localisation\.dimensions must be at least 1, not 0"):
        padim(dimensions=0)
