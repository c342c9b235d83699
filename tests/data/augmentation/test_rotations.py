"""Turned images against numpy's quarter turns and a plain interpolation."""

from __future__ import annotations

import numpy as np
import pytest
from category_facts import FREE
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from gad_bench.base.errors import UserError
from gad_bench.data.augmentation import Rotations

NOISE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


def turned(image: NDArray[np.uint8], *angles: float) -> list[NDArray[np.uint8]]:
    rotations = Rotations(angles=list(angles))
    return [rotations.augment(image, "", number, FREE) for number in range(rotations.passes)]


def test_quarter_turns_are_exact() -> None:
    for quarters, image in enumerate(turned(NOISE, 0, 90, 180, 270)):
        np.testing.assert_array_equal(image, np.rot90(NOISE, quarters))


def test_other_turns_interpolate_and_mirror_the_edges() -> None:
    rows, columns = np.mgrid[:32, :32]
    smooth = (127 + 100 * np.sin(rows / 5) * np.cos(columns / 4)).astype(np.uint8)
    (image,) = turned(np.repeat(smooth[..., None], 3, axis=2), 30)
    angle, middle = np.deg2rad(30), 15.5
    down, right = rows - middle, columns - middle
    place = [
        np.sin(angle) * right + np.cos(angle) * down + middle,
        np.cos(angle) * right - np.sin(angle) * down + middle,
    ]
    expected = map_coordinates(smooth.astype(float), place, order=1, mode="mirror")
    np.testing.assert_allclose(image[..., 0], expected, atol=2)


@pytest.mark.parametrize("angles", [[], [0, 0], [90, 450]])
def test_turns_must_differ(angles: list[float]) -> None:
    with pytest.raises(UserError, match=r"augmentation\.angles must be different turns"):
        Rotations(angles=angles)
