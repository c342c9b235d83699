"""One Gaussian per block over all positions, held against the long way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from plain_localisation import distances, enlarged, heat_maps, stacked, vectors

from gad_bench.base.errors import UserError
from gad_bench.features.local import LocalSource
from gad_bench.gaussian.covariance import Empirical, LedoitWolf
from gad_bench.gaussian.normalisation import NoNormalisation, UnitLength
from gad_bench.gaussian.reduction import NoReduction, PrincipalComponents
from gad_bench.patches.mahalanobis import Mahalanobis

GRID = 16


def mahalanobis(**changes: object) -> Mahalanobis:
    settings: dict[str, Any] = {
        "blocks": None,
        "grid": GRID,
        "sigma": 0.0,
        "normalisation": NoNormalisation(),
        "reduction": NoReduction(),
        "covariance": LedoitWolf(),
    }
    return Mahalanobis(**settings | changes)


def test_heat_maps_are_the_mean_over_blocks_of_positions_distances(
    source: LocalSource, train_paths: list[str], test_paths: list[str]
) -> None:
    fitted, tested = (
        stacked(list(source.stream(paths, GRID))) for paths in (train_paths, test_paths)
    )
    expected = [
        enlarged(distances(vectors(one), vectors(two)).reshape(5, *two.shape[2:]), GRID)
        for one, two in zip(fitted, tested, strict=True)
    ]
    found = heat_maps(mahalanobis(), source, train_paths, test_paths)
    np.testing.assert_allclose(found.grids, np.mean(expected, axis=0), rtol=1e-5)


def test_heat_is_highest_at_the_defect(
    source: LocalSource, train_paths: list[str], test_paths: list[str]
) -> None:
    maps = heat_maps(mahalanobis(), source, train_paths, test_paths)
    for row in (2, 3, 4):
        heat = maps.at_size(row, 64, 64)
        top, left = np.unravel_index(heat.argmax(), heat.shape)
        assert 38 <= top < 54
        assert 38 <= left < 54


@pytest.mark.parametrize("batch_size", [1, 7, 30])
def test_heat_maps_do_not_depend_on_the_batch_size(
    source: LocalSource, train_paths: list[str], test_paths: list[str], batch_size: int
) -> None:
    expected = heat_maps(mahalanobis(), source, train_paths, test_paths).grids
    in_batches = replace(source, encoder=replace(source.encoder, batch_size=batch_size))
    found = heat_maps(mahalanobis(), in_batches, train_paths, test_paths)
    np.testing.assert_allclose(found.grids, expected, rtol=1e-4)


def test_fewer_blocks_localise_where_they_are_named(
    source: LocalSource, train_paths: list[str], test_paths: list[str]
) -> None:
    expected = heat_maps(mahalanobis(), replace(source, blocks=[1]), train_paths, test_paths)
    found = heat_maps(mahalanobis(blocks=[1]), source, train_paths, test_paths)
    np.testing.assert_array_equal(found.grids, expected.grids)


def test_a_reduction_is_fitted_on_all_positions(
    source: LocalSource, train_paths: list[str], test_paths: list[str]
) -> None:
    (fitted,), (tested,) = (
        stacked(list(replace(source, blocks=[1]).stream(paths, GRID)))
        for paths in (train_paths, test_paths)
    )
    values = vectors(fitted)
    variances, directions = np.linalg.eigh(np.cov(values.T, bias=True))
    explained = np.cumsum(variances[::-1]) / variances.sum()
    kept = directions[:, ::-1][:, : np.flatnonzero(explained > 0.9)[0] + 1]
    expected = distances(values @ kept, vectors(tested) @ kept).reshape(-1, GRID, GRID)
    reduced = mahalanobis(blocks=[1], reduction=PrincipalComponents(threshold=0.9, negated=False))
    np.testing.assert_allclose(
        heat_maps(reduced, source, train_paths, test_paths).grids, expected, rtol=1e-4
    )


def test_normalisation_applies_to_each_position(
    source: LocalSource, train_paths: list[str], test_paths: list[str]
) -> None:
    (fitted,), (tested,) = (
        stacked(list(replace(source, blocks=[1]).stream(paths, GRID)))
        for paths in (train_paths, test_paths)
    )
    one, two = (
        own / np.linalg.norm(own, axis=1, keepdims=True) for own in map(vectors, (fitted, tested))
    )
    found = heat_maps(
        mahalanobis(blocks=[1], normalisation=UnitLength()), source, train_paths, test_paths
    )
    expected = distances(one, two).reshape(-1, GRID, GRID)
    np.testing.assert_allclose(found.grids, expected, rtol=1e-3)


def test_a_singular_block_is_named(
    source: LocalSource, train_paths: list[str], test_paths: list[str]
) -> None:
    with pytest.raises(UserError, match=r"localisation, block 0: covariance=empirical"):
        heat_maps(mahalanobis(covariance=Empirical()), source, train_paths, test_paths)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": 0}, r"localisation\.grid must be at least 1, not 0"),
        ({"sigma": -1.0}, r"localisation\.sigma must lie in \[0, 16384\], not -1\.0"),
        ({"sigma": 1e9}, r"localisation\.sigma must lie in \[0, 16384\], not 1000000000\.0"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        mahalanobis(**changes)
