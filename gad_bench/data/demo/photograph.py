"""Photographs of products, good ones and, with a mask, defective ones."""

from __future__ import annotations

import zlib
from itertools import count

import cv2
import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from gad_bench.data.demo.products import PRODUCTS
from gad_bench.data.demo.scene import COLUMNS, ROWS, SIDE, Field, generator

LENS_BLUR = 0.6  # standard deviation in pixels
SHOT_NOISE, READ_NOISE = 0.012, 0.006  # standard deviations at full scale, and in the dark


def expose(rng: RandomState, scene: Field) -> Field:
    """Return what falls on the sensor, before its noise."""
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.09)
    across = (np.cos(angle) * (COLUMNS / SIDE - 0.5) + np.sin(angle) * (ROWS / SIDE - 0.5)) * 2
    corners = np.hypot(ROWS / SIDE - 0.5, COLUMNS / SIDE - 0.5) ** 2
    light = rng.uniform(0.95, 1.05) * (1 + strength * across) * (1 - 0.16 * corners)
    white_balance = rng.normal(1, 0.008, 3)
    lit = scene * light[..., None].astype(np.float32) * white_balance.astype(np.float32)
    return cv2.GaussianBlur(lit, (0, 0), LENS_BLUR)


def develop(rng: RandomState, exposed: Field) -> NDArray[np.uint8]:
    """Return the photograph: every pixel with its own noise, in 8 bits."""
    deviation = np.sqrt(SHOT_NOISE**2 * np.clip(exposed, 0, 1) + READ_NOISE**2)
    noisy = exposed + deviation * rng.standard_normal(exposed.shape).astype(np.float32)
    return np.clip(np.rint(noisy * 255), 0, 255).astype(np.uint8)


VISIBLE = 0.02  # of full scale: a pixel that a defect changes by more is part of its mask
SMALLEST_MASK = 20  # pixels
SCENE, LIGHT, NOISE, FLAW = range(4)  # what is drawn at random, each with its own seed

Image = NDArray[np.uint8]


def photograph_good(category: str, seed: int, number: int) -> Image:
    """Return the picture of a good piece, uint8 [SIDE, SIDE, 3] RGB."""
    scene = PRODUCTS[category].paint(_random(category, seed, number, SCENE))
    exposed = expose(_random(category, seed, number, LIGHT), scene.image)
    return develop(_random(category, seed, number, NOISE), exposed)


def photograph_defective(category: str, seed: int, number: int, defect: str) -> tuple[Image, Image]:
    """Return the picture of the same piece with a defect, and the defect's mask.

    The two pictures are equal but for the mask's pixels.

    Returns:
        uint8 [SIDE, SIDE, 3] RGB, and uint8 [SIDE, SIDE], 255 where the defect is.
    """
    product = PRODUCTS[category]
    scene = product.paint(_random(category, seed, number, SCENE))
    clean = expose(_random(category, seed, number, LIGHT), scene.image)
    for attempt in count():  # one that the light hides is drawn anew
        flawed_scene = product.flaws[defect](_random(category, seed, number, FLAW, attempt), scene)
        flawed = expose(_random(category, seed, number, LIGHT), flawed_scene)
        mask = _mask(clean, flawed)
        if mask.sum() >= SMALLEST_MASK:
            break
    picture = np.where(mask[..., None], flawed, clean)
    return develop(_random(category, seed, number, NOISE), picture), mask.astype(np.uint8) * 255


def _mask(clean: Field, flawed: Field) -> NDArray[np.bool_]:
    """Return what differs visibly, without the specks, and as whole as a person would draw it."""
    changed = (np.abs(flawed - clean).max(axis=2) > VISIBLE).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    closed = cv2.morphologyEx(changed, cv2.MORPH_CLOSE, disc)
    return closed.astype(bool)


def _random(category: str, *seeds: int) -> np.random.RandomState:
    return generator(zlib.crc32(category.encode()), *seeds)
