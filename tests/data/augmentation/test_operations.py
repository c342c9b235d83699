"""Each operation against OpenCV, by which the paper's authors had it done."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from category_facts import STILL
from numpy.typing import NDArray

from gad_bench.data.augmentation import operations

Image = NDArray[np.float32]
SIZE = 64


@pytest.fixture(scope="module")
def image() -> Image:
    """A smooth colour image [64, 64, 3] that stays off 0 and 1."""
    noise = np.random.default_rng(1).random((9, 9, 3), np.float32)
    large = cv2.resize(noise, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    return np.asarray(0.35 + 0.3 * np.clip(large, 0, 1), np.float32)


class Fixed:
    """A generator that draws what it is told, and the middle of a range where it is not told."""

    def __init__(self, *drawn: float) -> None:
        self.drawn = list(drawn)

    def uniform(self, low: float, high: float, size: int | None = None) -> float | NDArray:
        value = self.drawn.pop(0) if self.drawn else (low + high) / 2
        return value if size is None else np.full(size, value)

    def integers(self, high: int) -> int:
        return int(self.uniform(0, high))


def apply(operation: Callable[..., torch.Tensor], image: Image, *arguments: object) -> Image:
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    return operation(pixels, *arguments)[0].permute(1, 2, 0).numpy()


def test_box_blur_is_opencvs(image: Image) -> None:
    found = apply(operations.box_blur, image, Fixed())
    np.testing.assert_allclose(found, cv2.blur(image, (3, 3)), atol=1e-5)


def test_median_blur_is_opencvs_up_to_the_corners(image: Image) -> None:
    found = apply(operations.median_blur, image, Fixed())
    np.testing.assert_array_equal(found, cv2.medianBlur(image, 3))


def test_motion_blur_is_along_one_line(image: Image) -> None:
    class Level(Fixed):
        def choice(self, sizes: list[int]) -> int:
            return sizes[-1]

    found = apply(operations.motion_blur, image, Level(0.0))
    line = np.full((1, 7), 1 / 7)
    np.testing.assert_allclose(found, cv2.filter2D(image, -1, line), atol=1e-5)


def test_motion_blur_keeps_the_brightness_in_any_direction(image: Image) -> None:
    for seed in range(10):
        grey = apply(operations.motion_blur, image * 0 + 0.5, np.random.default_rng(seed))
        np.testing.assert_allclose(grey, 0.5, atol=1e-5)


def test_clahe_works_on_lightness_as_opencvs_does(image: Image) -> None:
    lab = cv2.cvtColor(np.round(image * 255).astype(np.uint8), cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(lab[..., 0])
    expected = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) / 255
    found = apply(operations.clahe, image, Fixed())
    assert np.abs(found - expected).mean() < 0.02
    assert np.abs(image - expected).mean() > 0.05


def test_sharpening_is_the_mix_with_a_laplacian(image: Image) -> None:
    kernel = np.array([[-1, -1, -1], [-1, 8.75, -1], [-1, -1, -1]])
    expected = 0.7 * image + 0.3 * cv2.filter2D(image, -1, kernel)
    found = apply(operations.sharpen, image, Fixed(0.75, 0.3))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_embossing_is_the_mix_with_a_relief(image: Image) -> None:
    kernel = np.array([[-1.5, -0.5, 0], [-0.5, 1, 0.5], [0, 0.5, 1.5]])
    expected = 0.7 * image + 0.3 * cv2.filter2D(image, -1, kernel)
    found = apply(operations.emboss, image, Fixed(0.5, 0.3))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_brightness_and_contrast(image: Image) -> None:
    found = apply(operations.brightness_contrast, image, Fixed(0.1, -0.05))
    np.testing.assert_allclose(found, 1.1 * image - 0.05, atol=1e-6)


def test_colour_is_shifted_in_opencvs_steps(image: Image) -> None:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)  # hue in degrees, the rest in [0, 1]
    hsv += np.array([2 * 7, 20 / 255, -8 / 255], np.float32)
    hsv[..., 0] %= 360
    expected = cv2.cvtColor(np.clip(hsv, 0, [360, 1, 1]).astype(np.float32), cv2.COLOR_HSV2RGB)
    found = apply(operations.shift_colour, image, Fixed(7, 20, -8))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("operation", "channels_differ"),
    [(operations.shared_noise, False), (operations.channel_noise, True)],
)
def test_noise_is_of_1_to_3_percent(
    image: Image, operation: Callable[..., torch.Tensor], channels_differ: bool
) -> None:
    deviations = []
    for seed in range(30):
        noise = apply(operation, image, np.random.default_rng(seed)) - image
        deviations.append(noise.std())
        assert (np.abs(noise[..., 0] - noise[..., 1]).max() > 0.001) == channels_differ
    assert 0.009 < min(deviations) < 0.015
    assert 0.025 < max(deviations) < 0.031


def test_a_flip_mirrors_left_and_right(image: Image) -> None:
    np.testing.assert_array_equal(apply(operations.flip, image), image[:, ::-1])


@pytest.mark.parametrize("turns", range(4))
def test_quarter_turns(image: Image, turns: int) -> None:
    found = apply(operations.quarter_turn, image, Fixed(turns))
    np.testing.assert_array_equal(found, np.rot90(image, turns))


@pytest.mark.parametrize(
    ("angle", "scale", "shift"),
    [(0, 0, 0), (30, 0, 0), (0, 0.1, 0), (0, 0, 0.05), (-45, -0.05, 0.03)],
)
def test_shift_scale_and_rotation_are_opencvs(
    image: Image, angle: float, scale: float, shift: float
) -> None:
    centre = ((SIZE - 1) / 2, (SIZE - 1) / 2)
    matrix = cv2.getRotationMatrix2D(centre, -angle, 1 + scale)  # kornia turns clockwise
    matrix[:, 2] += shift * SIZE
    expected = cv2.warpAffine(image, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT_101)
    draw = Fixed(angle, scale, shift)
    found = apply(operations.shift_scale_rotate, image, draw, STILL)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_geometry_keeps_to_the_categorys_limits() -> None:
    asked: list[tuple[float, float]] = []

    class Spy(Fixed):
        def uniform(self, low: float, high: float, size: int | None = None) -> float | NDArray:
            asked.append((low, high))
            return super().uniform(low, high, size)

    category = replace(STILL, rotation_limit=15, shift_limit=0.05, scale_limits=(-0.05, 0.1))
    apply(operations.shift_scale_rotate, np.zeros((8, 8, 3), np.float32), Spy(), category)
    assert sorted(asked) == [(-15, 15), (-0.05, 0.05), (-0.05, 0.1)]


def test_hue_goes_around(image: Image) -> None:
    """Red, whose hue is 0, takes the way over 2 pi."""
    red = np.zeros_like(image) + np.array([0.8, 0.1, 0.1], np.float32)
    found = apply(operations.shift_colour, red, Fixed(-10, 0, 0))
    hue = cv2.cvtColor(found, cv2.COLOR_RGB2HSV)[0, 0, 0]
    assert math.isclose(hue, 340, abs_tol=0.1)


@pytest.mark.parametrize("seed", range(20))
def test_a_chord_is_a_line_of_equal_weights_between_two_pixels(seed: int) -> None:
    point = np.zeros((15, 15, 3), np.float32)
    point[7, 7] = 1
    found = apply(operations.chord_blur, point, np.random.default_rng(seed))[..., 0]
    taps = np.argwhere(found > 0)
    assert 2 <= len(taps) <= 7
    np.testing.assert_allclose(found[found > 0], 1 / len(taps), rtol=1e-5)
    assert np.abs(taps - 7).max() <= 3
    length = np.ptp(taps, axis=0).max() + 1
    assert len(taps) == length


def test_chords_are_short_and_off_the_centre_as_well_as_long() -> None:
    point = np.zeros((15, 15, 3), np.float32)
    point[7, 7] = 1
    draw = np.random.default_rng(0)
    blurred = [apply(operations.chord_blur, point, draw)[..., 0] > 0 for _ in range(200)]
    counts = [int(shown.sum()) for shown in blurred]
    assert {2, 3, 5, 7} <= set(counts)
    assert sum(not shown[7, 7] for shown in blurred) > 50


def test_the_clip_limit_lies_between_the_limits(image: Image) -> None:
    large = cv2.resize(image, (256, 256))  # in a small tile the limits round to the same
    low, high, drawn = (
        apply(operations.clahe, large, Fixed(*values), limits)
        for values, limits in (((), (1.0, 1.0)), ((), (2.0, 2.0)), ((2.0,), (1.0, 2.0)))
    )
    assert not np.allclose(low, high)
    np.testing.assert_array_equal(drawn, high)
