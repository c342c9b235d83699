"""Nearest neighbours, held against every distance in float64."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from plain_patches import distances, embedded, flat

from gad_bench.patches import BatchedMaps, Maps
from gad_bench.patches.neighbours import Bank

Array = NDArray[np.float32]


def check(entries: Array, queries: Array, count: int) -> None:
    every = distances(queries.astype(np.float64), entries.astype(np.float64))
    found, rows = Bank(entries=entries).nearest(queries, count)
    scale = np.abs(entries).max() * 1e-12
    np.testing.assert_allclose(found, np.sort(every)[:, :count], rtol=1e-6, atol=scale)
    np.testing.assert_allclose(np.take_along_axis(every, rows, axis=1), found, rtol=1e-6)


def some(count: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((count, 24)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 9])
def test_real_patches_find_their_nearest(train: BatchedMaps, test: Maps, count: int) -> None:
    entries, queries = (
        flat(embedded(maps, [2, 3], 3)).astype(np.float32) for maps in (train.maps, test)
    )
    check(entries, queries, count)


@pytest.mark.parametrize("count", [1, 3, 200])
def test_no_neighbour_is_overlooked_in_a_cluster_tighter_than_rounding(count: int) -> None:
    centre = some(1, 0)
    entries = np.concatenate([centre + 1e-6 * some(200, 1), -centre + 1e-6 * some(200, 2)])
    check(entries, centre + 1e-6 * some(30, 3), count)


def test_repeated_entries_are_all_neighbours() -> None:
    check(np.tile(some(5, 0), (20, 1)), np.concatenate([some(5, 0), some(5, 1)]), 30)


@pytest.mark.parametrize("count", [1, 9])
def test_no_neighbour_is_overlooked_along_few_leading_directions(count: int) -> None:
    widths = np.float32(0.6) ** np.arange(24, dtype=np.float32)
    entries, queries = some(3000, 0) * widths, some(200, 1) * widths
    queries[100:] += 0.1 * some(100, 2)  # off the directions
    assert len(Bank(entries=entries)._indices) == 2
    check(entries, queries, count)


def test_no_neighbour_is_overlooked_beside_leading_directions_that_are_all_alike() -> None:
    alike = np.repeat(some(30, 0), 100, axis=0) * (np.arange(24) < 4)
    entries = alike + 0.05 * some(3000, 1)
    assert len(Bank(entries=entries)._indices) == 2
    check(entries, entries[::60] + 0.02 * some(50, 2), 3)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_a_scale_whose_squares_leave_float32_is_no_matter(scale: float) -> None:
    factor = np.float32(scale)
    check(some(300, 0) * factor, some(20, 1) * factor, 3)


def test_a_query_far_beyond_all_entries_has_a_finite_distance() -> None:
    check(some(300, 0), some(20, 1) * np.float32(1e30), 1)


def test_constant_entries_are_all_as_near() -> None:
    check(np.ones((40, 24), np.float32), some(4, 0), 2)


def test_no_more_neighbours_than_entries_are_found() -> None:
    found, rows = Bank(entries=some(3, 0)).nearest(some(5, 1), 9)
    assert found.shape == rows.shape == (5, 3)
