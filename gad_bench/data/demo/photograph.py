"""Photographs of products, good ones and, with a mask, defective ones."""

from __future__ import annotations

import zlib
from itertools import count

import cv2
import numpy as np
from numpy.typing import NDArray

from gad_bench.data.demo.camera import develop, expose
from gad_bench.data.demo.noise import Field, generator
from gad_bench.data.demo.products import PRODUCTS

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
