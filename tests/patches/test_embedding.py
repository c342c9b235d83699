"""Maps as vectors on one grid, held against torch's pooling and interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from plain_patches import embedded, random_maps
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from gad_bench.base.errors import UserError
from gad_bench.gaussian.normalisation import NoNormalisation, UnitLength
from gad_bench.patches import Maps
from gad_bench.patches.embedding import Embedding


def embedding(**changes: Any) -> Embedding:
    settings: dict[str, Any] = {
        "blocks": [1, 2],
        "neighbourhood": 1,
        "grid": None,
        "averaged": False,
        "normalisation": NoNormalisation(),
    }
    return Embedding(**settings | changes)


@pytest.mark.parametrize("neighbourhood", [1, 3, 5])
def test_maps_are_averaged_enlarged_and_joined(test: Maps, neighbourhood: int) -> None:
    found = embedding(blocks=[1, 2, 3], neighbourhood=neighbourhood).apply(test)
    assert found.dtype == np.float32
    expected = embedded(test, [1, 2, 3], neighbourhood)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_a_grid_need_not_be_square() -> None:
    maps = random_maps()
    found = embedding().apply(maps)
    assert found.shape == (6, 4, 6, 8)
    np.testing.assert_allclose(found, embedded(maps, [1, 2]), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("grid", [4, 5, 9])
def test_a_coarser_map_can_be_enlarged_by_repetition(grid: int) -> None:
    maps = random_maps()
    found = embedding(blocks=[2], grid=grid, repeated=True).apply(maps)
    expected = interpolate(torch.from_numpy(maps[2]), found.shape[1:3], mode="nearest")
    np.testing.assert_array_equal(found, expected.permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize("grid", [1, 2, 3])
def test_a_finer_map_is_averaged_down_to_a_coarser_grid(grid: int) -> None:
    maps = random_maps()
    found = embedding(blocks=[1], grid=grid).apply(maps)
    shape = (grid, round(grid * 6 / 4))
    expected = adaptive_avg_pool2d(torch.from_numpy(maps[1]), shape).permute(0, 2, 3, 1)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-6, atol=1e-6)


def test_blocks_of_the_same_number_of_channels_can_be_averaged() -> None:
    maps = {1: random_maps(seed=1)[1], 4: random_maps(seed=2)[1]}
    found = embedding(blocks=[1, 4], averaged=True).apply(maps)
    expected = (maps[1] + maps[4]).transpose(0, 2, 3, 1) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("averaged", [False, True])
def test_chosen_channels_are_those_of_the_joined_vectors(averaged: bool) -> None:
    maps = {1: random_maps(seed=1)[2], 4: random_maps(seed=2)[2]}
    every = embedding(blocks=[4, 1], averaged=averaged)
    channels = np.array([0, 3, 4] if averaged else [1, 4, 5, 9])
    some = embedding(blocks=[4, 1], averaged=averaged, channels=channels)
    np.testing.assert_array_equal(some.apply(maps), every.apply(maps)[..., channels])


def test_vectors_are_normalised_after_they_are_joined() -> None:
    found = embedding(normalisation=UnitLength()).apply(random_maps(scale=1e30))
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, rtol=1e-6)


def test_half_precision_is_read_as_it_is() -> None:
    maps = {block: own.astype(np.float16) for block, own in random_maps().items()}
    single = {block: own.astype(np.float32) for block, own in maps.items()}
    np.testing.assert_array_equal(embedding().apply(maps), embedding().apply(single))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_the_image_that_is_not_finite_is_named(wrong: float) -> None:
    maps = random_maps()
    maps[2][3, 1, 0, 2] = wrong
    with pytest.raises(UserError, match=r"^the map of block 2 of image 13 is not finite$"):
        embedding().apply(maps, first=10)


def test_a_block_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match=r"names block 7, but there are maps of 1, 2$"):
        embedding(blocks=[1, 7]).apply(random_maps())


def test_vectors_are_no_maps() -> None:
    with pytest.raises(UserError, match=r"block 1 gives no maps but an array \[6, 8\]"):
        embedding(blocks=[1]).apply({1: np.ones((6, 8), np.float32)})


def test_blocks_of_other_numbers_of_channels_cannot_be_averaged() -> None:
    with pytest.raises(UserError, match=r"blocks \[1, 2\] have \[3, 5\] channels"):
        embedding(averaged=True).width(random_maps())


@pytest.mark.parametrize("channels", [[0, 99], [-1, 2], [2, 1], [1, 1]])
def test_channels_that_the_maps_do_not_have_are_refused(channels: list[int]) -> None:
    with pytest.raises(UserError, match=r"must rise within the \d+ of blocks \[1, 2\]"):
        embedding(channels=np.array(channels)).apply(random_maps())
