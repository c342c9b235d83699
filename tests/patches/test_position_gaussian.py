"""PaDiM, held against numpy's covariance and inverse at each position."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plain_patches import Array, batched, embedded, random_maps, settings

from gad_bench.base.errors import UserError
from gad_bench.patches import BatchedMaps, Maps
from gad_bench.patches.position_gaussian import PositionGaussian


def padim(**changes: Any) -> PositionGaussian:
    return PositionGaussian(
        **settings(**{"dimensions": 40, "seed": 0, "regularisation": 0.01} | changes)
    )


def plain(fitted: Array, tested: Array, regularisation: float = 0.01) -> Array:
    scores = np.empty(tested.shape[:3])
    for row, column in np.ndindex(scores.shape[1:]):
        own = fitted[:, row, column]
        covariance = np.cov(own.T) + regularisation * np.eye(own.shape[1])
        centred = tested[:, row, column] - own.mean(axis=0)
        squared = np.einsum("nd,de,ne->n", centred, np.linalg.inv(covariance), centred)
        scores[:, row, column] = np.sqrt(squared)
    return scores


def test_scores_are_each_positions_mahalanobis_distances(train: BatchedMaps, test: Maps) -> None:
    fitted = padim(blocks=[1, 2, 3]).fit(train)
    chosen = np.sort(np.random.default_rng(0).permutation(64 + 128 + 256)[:40])
    one, two = (
        embedded(maps, [1, 2, 3], mode="nearest")[..., chosen] for maps in (train.maps, test)
    )
    found = fitted.score(test)
    np.testing.assert_allclose(found.grids, plain(one, two), rtol=1e-6)
    np.testing.assert_array_equal(found.images, found.grids.max(axis=(1, 2)))
    np.testing.assert_array_equal(found.grids, fitted.patch_scores(test))


@pytest.mark.parametrize("batch_size", [1, 5, 12])
def test_scores_do_not_depend_on_the_batches(
    train: BatchedMaps, test: Maps, batch_size: int
) -> None:
    expected = padim(blocks=[2]).fit(train).patch_scores(test)
    again = padim(blocks=[2]).fit(batched(train.maps, batch_size)).patch_scores(test)
    np.testing.assert_allclose(again, expected, rtol=1e-9)


def test_features_far_from_zero_lose_no_digits() -> None:
    one, two = ({2: random_maps(seed=seed)[2].astype(np.float64)} for seed in (0, 1))
    shifted = [{2: (own[2] + 2.0**20).astype(np.float32)} for own in (one, two)]
    exact = [{2: own[2].astype(np.float64) - 2.0**20} for own in shifted]
    found = padim(blocks=[2]).fit(batched(shifted[0])).patch_scores(shifted[1])
    expected = plain(*(own[2].transpose(0, 2, 3, 1) for own in exact))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_one_image_leaves_the_regularisation_alone() -> None:
    one, two = random_maps(1), random_maps(seed=1)
    found = padim(blocks=[1]).fit(batched(one)).patch_scores(two)
    difference = two[1].astype(np.float64) - one[1]
    np.testing.assert_allclose(found, np.linalg.norm(difference, axis=1) / 0.1, rtol=1e-6)


def test_repeated_images_and_constant_features_are_fitted() -> None:
    maps = {1: np.repeat(random_maps(2)[1], 20, axis=0)}
    maps[1][:, 1] = 7
    tested = {1: random_maps(seed=1)[1]}
    found = padim(blocks=[1]).fit(batched(maps)).patch_scores(tested)
    expected = plain(*(own[1].astype(np.float64).transpose(0, 2, 3, 1) for own in (maps, tested)))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_huge_scale_with_enough_images_is_fitted() -> None:
    one, two = random_maps(40, scale=1e15)[2], random_maps(seed=1, scale=1e15)[2]
    found = padim(blocks=[2]).fit(batched({2: one})).patch_scores({2: two})
    expected = plain(*(own.astype(np.float64).transpose(0, 2, 3, 1) for own in (one, two)))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_regularisation_lost_to_rounding_is_refused() -> None:
    with pytest.raises(UserError, match=r"regularisation=0.01 is lost .* use normalisation=l2"):
        padim(blocks=[2]).fit(batched(random_maps(3, scale=1e15)))


def test_a_map_that_is_not_finite_is_refused() -> None:
    maps = random_maps()
    maps[1][5, 0, 0, 0] = np.nan
    with pytest.raises(UserError, match="block 1 of image 5 is not finite"):
        padim().fit(batched(maps))


def test_another_grid_is_refused() -> None:
    fitted = padim(blocks=[1]).fit(batched(random_maps()))
    with pytest.raises(UserError, match=r"grid of 4 x 3 cannot be scored .* 4 x 6 positions"):
        fitted.patch_scores({1: random_maps()[1][..., :3]})


def test_more_than_the_memory_limit_is_refused_before_it_is_filled() -> None:
    with pytest.raises(UserError, match=r"8 features at each of 4 x 6 .* detector.dimensions"):
        padim(memory_limit=1e-6).fit(batched(random_maps()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dimensions": 0}, "detector.dimensions must be at least 1, not 0"),
        ({"regularisation": 0.0}, "detector.regularisation must be more than 0"),
        ({"neighbourhood": 2}, "detector.neighbourhood must be odd"),
        ({"grid": 0}, "detector.grid must be at least 1"),
        ({"blocks": []}, "detector.blocks must name different blocks"),
        ({"memory_limit": 0.0}, "detector.memory_limit must be more than 0"),
    ],
)
def test_a_setting_outside_its_range_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        padim(**change)


def test_no_image_is_refused() -> None:
    with pytest.raises(UserError, match="the training set is empty"):
        padim().fit(batched(random_maps(0)))
