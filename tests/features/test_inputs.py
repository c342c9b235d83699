"""Rectangles and tiles: what a backbone sees of images that are no squares, or very large."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from saved import Saved

from gad_bench import Detector
from gad_bench.base.errors import UserError
from gad_bench.features.filterbank import FilterBank
from gad_bench.features.inputs import Rectangle, Square, Tiles
from gad_bench.features.interface import Backbone
from gad_bench.features.maps import MapsBackbone
from gad_bench.features.runtime import OpenVinoRuntime, TorchRuntime
from gad_bench.features.tiles import TiledBackbone
from gad_bench.features.timm_backbone import TimmBackbone
from gad_bench.patches.heat_maps import HeatMaps

VIT = TimmBackbone(name="test_vit", pretrained=False, input_size=64)
RESNET = TimmBackbone(
    name="resnet18", pretrained=False, input_size=64, taps=["maxpool", "layer1", "layer2"]
)
BANK = FilterBank(octaves=2, input_size=64)
BACKBONES = {"transformer": VIT, "cnn": RESNET, "filters": BANK}

Maps = list[NDArray[np.float32]]


def images(height: int, width: int, count: int = 2) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def maps_of(backbone: Backbone, pixels: NDArray[np.uint8], deepest: int = 1) -> Maps:
    with torch.inference_mode():
        return [own.numpy() for own in backbone.build_maps(deepest)(torch.from_numpy(pixels))]


def vectors_of(backbone: Backbone, pixels: NDArray[np.uint8]) -> Maps:
    with torch.inference_mode():
        return [own.numpy() for own in backbone.build(1)(torch.from_numpy(pixels))]


def put_together(
    backbone: Backbone, pixels: NDArray[np.uint8], tiles: tuple[int, int], overlap: int
) -> Maps:
    """Each position by the tile of whose border it is the farthest away, one after the other."""
    step, (rows, columns) = 64 - overlap, tiles
    found: dict[tuple[int, int], Maps] = {
        (row, column): maps_of(
            backbone,
            np.ascontiguousarray(
                pixels[:, row * step : row * step + 64, column * step : column * step + 64]
            ),
        )
        for row in range(rows)
        for column in range(columns)
    }
    joined: Maps = []
    for block, example in enumerate(found[0, 0]):
        n = example.shape[-1]
        apart = step * n // 64
        height, width = n + (rows - 1) * apart, n + (columns - 1) * apart
        whole = np.full((len(pixels), example.shape[1], height, width), np.nan, np.float32)
        for y in range(height):
            for x in range(width):
                (row, at_y), (column, at_x) = (
                    nearest(place, count, n, apart) for place, count in ((y, rows), (x, columns))
                )
                whole[:, :, y, x] = found[row, column][block][:, :, at_y, at_x]
        joined.append(whole)
    return joined


def nearest(place: int, count: int, positions: int, apart: int) -> tuple[int, int]:
    """The tile along an axis, the first of equals, and the position in it."""
    inside = [
        (tile, place - tile * apart)
        for tile in range(count)
        if 0 <= place - tile * apart < positions
    ]
    return max(inside, key=lambda own: (min(own[1], positions - 1 - own[1]), -own[0]))


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("overlap", [0, 16, 32])
def test_tiles_of_an_image_are_the_long_way_put_together(name: str, overlap: int) -> None:
    backbone = BACKBONES[name]
    tiled = TiledBackbone(backbone=backbone, rows=2, columns=3, overlap=overlap)
    height, width = 128 - overlap, 192 - 2 * overlap
    assert tiled.image_size() == (height, width)
    pixels = images(height, width)
    found, expected = maps_of(tiled, pixels), put_together(backbone, pixels, (2, 3), overlap)
    for own, plain in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, plain, rtol=1e-4, atol=1e-5)


def test_tiles_vectors_are_means_and_one_tile_is_the_image_itself() -> None:
    pixels = images(64, 128)
    tiled = TiledBackbone(backbone=VIT, rows=1, columns=2, overlap=0)
    for vector, own in zip(vectors_of(tiled, pixels), maps_of(tiled, pixels), strict=True):
        np.testing.assert_allclose(vector, own.mean(axis=(2, 3)), rtol=1e-4, atol=1e-5)
    banks = TiledBackbone(backbone=BANK, rows=1, columns=2, overlap=0)
    left, right = (vectors_of(BANK, np.ascontiguousarray(p)) for p in np.split(pixels, 2, axis=2))
    for vector, one, other in zip(vectors_of(banks, pixels), left, right, strict=True):
        np.testing.assert_allclose(vector, (one + other) / 2, rtol=1e-5, atol=1e-6)
    alone = TiledBackbone(backbone=VIT, rows=1, columns=1, overlap=0)
    assert alone.image_size() == VIT.image_size()
    square = images(64, 64)
    for own, plain in zip(maps_of(alone, square), maps_of(VIT, square), strict=True):
        np.testing.assert_array_equal(own, plain)


def test_tiles_and_rectangles_run_in_openvino_as_in_torch() -> None:
    tiled = TiledBackbone(backbone=RESNET, rows=1, columns=2, overlap=16)
    for backbone in (tiled, RESNET.resized(64, 96)):
        both = MapsBackbone(backbone=backbone, blocks=[1], vectors=1)
        size = both.image_size()
        pixels = images(*size)  # type: ignore[misc]
        by_torch, by_openvino = (
            runtime.compile(both.build(1), size, "cpu")(pixels)
            for runtime in (TorchRuntime(), OpenVinoRuntime())
        )
        for expected, found in zip(by_torch, by_openvino, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_rectangle_has_maps_of_its_shape(name: str) -> None:
    backbone = BACKBONES[name].resized(64, 128)
    assert backbone.image_size() == (64, 128)
    assert all(own.shape[3] == 2 * own.shape[2] for own in maps_of(backbone, images(64, 128)))
    assert backbone.facts() != BACKBONES[name].facts()
    assert BACKBONES[name].resized(64, 64).facts() == BACKBONES[name].facts()


@pytest.mark.parametrize(
    ("shapes", "size"),
    [
        ([(300, 400), (600, 800), (100, 101)], (64, 80)),  # the median's, 64 x 85.3
        ([(400, 100)], (256, 64)),
        ([(100, 100), (101, 100), (99, 100)], 64),
        ([(64, 66)], 64),  # less than half a patch
    ],
)
def test_a_rectangle_has_the_images_proportions_in_whole_patches(
    shapes: Sequence[tuple[int, int]], size: object
) -> None:
    assert Rectangle().of(VIT, shapes).image_size() == size
    assert Square().of(VIT, shapes) == VIT


@pytest.mark.parametrize(
    ("choice", "shapes", "size"),
    [
        ({}, [(200, 300)], (192, 320)),  # 3 x 5 tiles: the nearest to 3.1 x 4.7
        ({}, [(64, 64)], 64),
        ({"overlap": 16}, [(160, 210)], (160, 208)),
        ({"rows": 1, "columns": 2}, [(200, 300)], (64, 128)),
        ({}, [(130, 200), (64, 64), (130, 200)], (128, 192)),  # the median's
    ],
)
def test_tiles_come_nearest_the_images_size(
    choice: dict[str, int], shapes: Sequence[tuple[int, int]], size: object
) -> None:
    settings = {"rows": None, "columns": None, "overlap": 0} | choice
    assert Tiles(**settings).of(VIT, shapes).image_size() == size


def test_what_cannot_be_is_refused_in_a_line() -> None:
    def tiles(overlap: int) -> Tiles:
        return Tiles(rows=None, columns=None, overlap=overlap)

    with pytest.raises(UserError, match="tile of 64 x 64 pixels is larger than the smallest image"):
        tiles(0).of(VIT, [(300, 300), (63, 300)])
    with pytest.raises(UserError, match=r"input.overlap must lie in \[0, 64\)"):
        tiles(64).of(VIT, [(300, 300)])
    with pytest.raises(UserError, match=r"overlap=10: of block 0, with 4 positions.*no whole"):
        maps_of(TiledBackbone(backbone=VIT, rows=1, columns=2, overlap=10), images(64, 118))
    for choice in (tiles(0), Rectangle()):
        with pytest.raises(UserError, match=r"takes squares: leave backbone.input_width out"):
            choice.of(VIT.resized(64, 128), [(300, 300)])
    with pytest.raises(UserError, match=r"input_width=70: .* multiples of its patches of 16"):
        VIT.resized(64, 70).build_maps(0)


def test_heat_maps_of_a_rectangle_are_smoothed_round_and_brought_to_the_images_size() -> None:
    grids = np.zeros((1, 8, 16), np.float32)
    grids[0, 4, 8] = 1.0
    maps = HeatMaps(grids=grids, input_size=(64, 128), sigma=4.0)
    heat = maps.at_size(0, 64, 128)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert (y // 8, x // 8) == (4, 8)
    around = heat[y - 12 : y + 13, x - 12 : x + 13]
    np.testing.assert_allclose(around, around.T, atol=1e-6)  # as wide as high
    np.testing.assert_allclose(maps.maxima(), [heat.max()])
    assert maps.at_size(0, 30, 50).shape == (30, 50)


def test_a_saved_detector_sees_tiles_as_its_run_did(tmp_path: Path) -> None:
    saved = Saved(
        tmp_path,
        tmp_path / "cache",
        *("backbone.input_size=64", "backbone.octaves=2", "blocks.indices=[2]", "runtime=torch"),
        *("input=tiles", "input.overlap=16", "input.columns=3", "detector=patch_gaussian"),
        *("fold=full", "tracking=none"),
    )
    found = Detector.load(saved.folder).predict(saved.paths)
    np.testing.assert_allclose(found.scores, saved.scores["score"], rtol=1e-6)
    assert found.heat_maps is not None
    assert found.heat_maps.input_size == (256, 160)  # 5 x 3 tiles, 48 pixels apart
    assert found.heat_maps.at_size(0, 256, 256).shape == (256, 256)
