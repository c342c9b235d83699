"""The greedy k-centre coreset, held against the plain algorithm index by index."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from plain_patches import embedded, flat, plain_greedy

from gad_bench.patches import BatchedMaps, coreset
from gad_bench.patches.coreset import greedy_centres

Array = NDArray[np.float64]


def clusters(count: int, dimension: int, seed: int) -> Array:
    """Tight and wide clusters on a curved surface, as patches lie."""
    generator = np.random.default_rng(seed)
    centres = 3 * generator.standard_normal((20, dimension))
    spread = generator.gamma(1.0, size=(count, 1))
    inner = generator.standard_normal((count, 5)) @ generator.standard_normal((5, dimension))
    return centres[generator.integers(20, size=count)] + spread * inner


@pytest.mark.parametrize("few", [16, 1024])
@pytest.mark.parametrize(("count", "dimension", "kept"), [(4000, 24, 400), (700, 3, 699)])
def test_centres_are_those_of_the_plain_algorithm(
    monkeypatch: pytest.MonkeyPatch, few: int, count: int, dimension: int, kept: int
) -> None:
    monkeypatch.setattr(coreset, "FEWEST_ACTIVE", few)
    points = clusters(count, dimension, 0)
    found = greedy_centres(points.copy(), kept, 17)
    assert found.tolist() == plain_greedy(points, kept, 17)


def test_centres_of_real_patches_are_those_of_the_plain_algorithm(train: BatchedMaps) -> None:
    patches = flat(embedded(train.maps, [1, 2, 3], 3))
    points = patches @ np.random.default_rng(0).standard_normal((patches.shape[1], 128))
    found = greedy_centres(points.copy(), len(points) // 10, 5)
    assert found.tolist() == plain_greedy(points, len(points) // 10, 5)


def test_of_points_equally_far_the_first_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coreset, "FEWEST_ACTIVE", 8)
    points = np.random.default_rng(0).integers(4, size=(900, 4)).astype(np.float64)
    assert greedy_centres(points.copy(), 200, 3).tolist() == plain_greedy(points, 200, 3)


def test_repeated_points_are_chosen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coreset, "FEWEST_ACTIVE", 8)
    points = np.tile(clusters(50, 6, 0), (5, 1))
    found = greedy_centres(points, 100, 30)
    assert sorted(found) == list(range(50))


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_a_scale_changes_no_choice(scale: float) -> None:
    points = clusters(300, 6, 0)
    expected = greedy_centres(points.copy(), 60, 0)
    np.testing.assert_array_equal(greedy_centres(points * scale, 60, 0), expected)


def test_a_single_point_is_its_own_coreset() -> None:
    assert greedy_centres(np.ones((1, 4)), 1, 0).tolist() == [0]


def test_constant_points_leave_the_first() -> None:
    assert greedy_centres(np.ones((9, 4)), 5, 2).tolist() == [2]
