from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.features.filterbank import FilterBank
from gad_bench.features.modules import gabor_bank

BANK = FilterBank(input_size=64, octaves=3)
LIGHTNESS = slice(0, 6)
"""Of the 3 channels x 6 orientations that each power mean has."""


def features(bank: FilterBank, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    with torch.inference_mode():
        return [block.numpy() for block in bank.build(bank.block_count() - 1)(torch.tensor(pixels))]


def grating(wavelength: float, angle: float) -> NDArray[np.uint8]:
    y, x = np.mgrid[:64, :64]
    phase = 2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / wavelength
    grey = np.rint(127 + 100 * np.cos(phase)).astype(np.uint8)
    return np.stack([grey] * 3, axis=-1)[None]


def test_blocks_are_colour_and_one_per_octave(pixels: NDArray[np.uint8]) -> None:
    assert [block.shape for block in features(BANK, pixels)] == [(5, 9), *[(5, 54)] * 3]


def test_block_0_holds_the_channels_moments() -> None:
    image = np.random.default_rng(3).integers(0, 256, (1, 64, 64, 3), np.uint8)
    red, green, blue = np.moveaxis(image[0] / 255, -1, 0)
    channels = [(red + green + blue) / 3, (red - green) / 2, (red + green) / 4 - blue / 2]
    expected = [c.mean() for c in channels]
    expected += [c.std() for c in channels]
    expected += [((c - c.mean()) ** 4).mean() ** 0.25 for c in channels]
    np.testing.assert_allclose(features(BANK, image)[0][0], expected, rtol=1e-5, atol=1e-7)


def test_a_block_holds_the_power_means_of_the_moduli() -> None:
    image = grating(5, 0.4)
    grey = image[0, :, :, 0] / np.float32(255)
    expected = []
    bank = gabor_bank(6, 4.0)[:, 0]
    reach = bank.shape[-1] // 2
    inside = slice(reach, -reach)
    for pair in zip(bank[0::2], bank[1::2], strict=True):
        responses = [cv2.filter2D(grey, cv2.CV_32F, kernel)[inside, inside] for kernel in pair]
        modulus = np.hypot(*responses)[::2, ::2].astype(np.float64)
        expected.append([(modulus**n).mean() ** (1 / n) for n in (1, 2, 4)])
    block = features(BANK, image)[1].reshape(3, 3, 6)[:, 0]
    np.testing.assert_allclose(block, np.transpose(expected), rtol=1e-4)


@pytest.mark.parametrize("turn", range(6))
def test_a_grating_speaks_to_its_own_orientation_most(turn: int) -> None:
    block = features(BANK, grating(4, np.pi * turn / 6))[1]
    assert block[0, LIGHTNESS].argmax() == turn


@pytest.mark.parametrize("octave", range(3))
def test_a_grating_speaks_to_its_own_octave_most(octave: int) -> None:
    blocks = features(BANK, grating(4 * 2**octave, 0))[1:]
    assert np.argmax([block[0, 0] for block in blocks]) == octave


def test_a_flat_image_has_no_texture() -> None:
    blocks = features(BANK, np.full((1, 64, 64, 3), 200, np.uint8))
    assert all(np.abs(block).max() < 1e-6 for block in blocks[1:])


def test_the_deepest_block_is_the_last(pixels: NDArray[np.uint8]) -> None:
    module = BANK.build(1)
    with torch.inference_mode():
        assert len(module(torch.tensor(pixels))) == 2


def test_facts_change_with_every_parameter_that_changes_a_block() -> None:
    banks = [
        FilterBank(),
        FilterBank(input_size=384),
        FilterBank(orientations=8),
        FilterBank(wavelength=3.0),
    ]
    assert len({str(bank.facts()) for bank in banks}) == len(banks)
    assert FilterBank(name="mine").facts() == FilterBank().facts()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"octaves": 0}, "backbone.octaves must be at least 1"),
        ({"orientations": 0}, "backbone.orientations must be at least 1"),
        ({"wavelength": 1.0}, "backbone.wavelength must be at least 2"),
        ({"input_size": 200}, "must be a multiple of 128"),
        ({"input_size": 128}, "at least 256"),
    ],
)
def test_impossible_values_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        FilterBank(**values)
