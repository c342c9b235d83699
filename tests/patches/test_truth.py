"""Heat maps beside masks, at the images' own size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from gad_bench.patches.heat_maps import HeatMaps
from gad_bench.patches.truth import MaskedMaps


def heat_maps(count: int, sigma: float = 0.0) -> HeatMaps:
    grids = np.random.default_rng(0).random((count, 8, 8), np.float32)
    return HeatMaps(grids=grids, input_size=32, sigma=sigma)


def images(folder: Path, masks: list[str]) -> pd.DataFrame:
    """One good image of 20 x 30 pixels, then an anomalous one for each kind of mask."""
    rows = []
    for index, kind in enumerate(["good", *masks]):
        path, mask = folder / f"{index}.png", folder / f"{index}_mask.png"
        cv2.imwrite(str(path), np.zeros((20, 30, 3), np.uint8))
        drawn = np.zeros((20, 30), np.uint8)
        drawn[5:9, 3:8] = 255 if kind == "drawn" else 0
        cv2.imwrite(str(mask), drawn)
        there = str(mask) if kind in ("drawn", "empty") else ""
        rows.append({"path": str(path), "label": int(index > 0), "mask": there})
    return pd.DataFrame(rows)


def test_heat_maps_come_at_the_images_size(tmp_path: Path) -> None:
    maps = MaskedMaps(heat_maps(2), images(tmp_path, ["drawn"]))
    assert [(heat.shape, mask.shape) for heat, mask in maps] == [((20, 30), (20, 30))] * 2


def test_a_good_image_has_no_defective_pixel(tmp_path: Path) -> None:
    (_, good), (_, anomalous) = MaskedMaps(heat_maps(2), images(tmp_path, ["drawn"]))
    assert good.sum() == 0
    assert anomalous.sum() == 20


@pytest.mark.parametrize("kind", ["empty", "none"])
def test_an_anomalous_image_without_defective_pixels_is_left_out(tmp_path: Path, kind: str) -> None:
    maps = MaskedMaps(heat_maps(3), images(tmp_path, [kind, "drawn"]))
    assert maps.known.tolist() == [True, False, True]
    assert [int(mask.sum()) for _, mask in maps] == [0, 20]


def test_smoothing_keeps_the_mean_and_lowers_the_peak() -> None:
    grids = np.zeros((1, 32, 32), np.float32)
    grids[0, 16, 16] = 1
    smooth = HeatMaps(grids=grids, input_size=32, sigma=2.0).at_size(0, 32, 32)
    assert smooth.sum() == pytest.approx(1, abs=1e-3)
    assert smooth.max() == pytest.approx(1 / (2 * np.pi * 2**2), rel=0.03)


def test_the_maximum_is_the_smoothed_maps() -> None:
    maps = heat_maps(3, sigma=1.0)
    expected = [maps.at_size(row, 32, 32).max() for row in range(3)]
    np.testing.assert_array_equal(maps.maxima(), expected)
