"""A hexagon nut of turned steel on a dark mat."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import RandomState

from gad_bench.data.demo.scene import (
    COLUMNS,
    ROWS,
    SIDE,
    Field,
    Scene,
    cloud,
    colour,
    mix,
    smooth_noise,
    step,
)

ACROSS_FLATS, FACE, BORE, THREAD_PITCH = 88.0, 82.0, 46.0, 4.5  # radii and a pitch, in pixels
STEEL, MAT = colour(0.66, 0.67, 0.69), colour(0.115, 0.125, 0.14)


def paint(rng: RandomState) -> Scene:
    """Draw a nut that lies nearly in the middle, turned by a few degrees."""
    row, column = SIDE / 2 + rng.uniform(-4, 4, 2)
    size, turn = rng.uniform(0.98, 1.02), np.deg2rad(rng.uniform(-5, 5))
    radius = np.hypot(ROWS - row, COLUMNS - column) / size
    angle = np.arctan2(ROWS - row, COLUMNS - column)
    body = ACROSS_FLATS - _hexagon_distance(radius, angle - turn)
    solid = step(np.minimum(body, radius - BORE), 1.5)
    steel = STEEL * _shading(rng, radius, angle, body)[..., None]
    mat = _mat(rng)
    shadow = cv2.GaussianBlur(np.roll(solid, (5, 4), (0, 1)), (0, 0), 5)
    background = mat * (1 - 0.65 * shadow)[..., None]
    background = mix(background, _threads(rng, radius, angle), step(BORE - radius, 1.5))
    return Scene(mix(background, steel, solid), np.minimum(body, radius - BORE) > 4, background)


def _hexagon_distance(radius: Field, angle: Field) -> Field:
    """Return how far out each pixel is, where a hexagon's outline is equally far all round."""
    sector = np.mod(angle, np.pi / 3) - np.pi / 6
    return radius * np.cos(sector)


def _shading(rng: RandomState, radius: Field, angle: Field, body: Field) -> Field:
    """Return the light from turned steel: two bright fans on the face, a bevel round it."""
    light = rng.uniform(-0.25, 0.25) - 0.8
    turned = _turned(rng, radius)
    fans = np.abs(np.cos(angle - light)) ** 6
    face = 0.66 + 0.42 * fans + 0.06 * turned
    bevel = 0.50 + 0.22 * np.cos(angle - light + np.pi / 2) + 0.02 * turned
    rim = step(radius - FACE, 2.5)
    inner = step(BORE + 5 - radius, 2)
    shade = face * (1 - np.maximum(rim, inner)) + bevel * rim + (0.95 - 0.5 * bevel) * inner
    edge = np.exp(-((body - 1) ** 2) / 3)
    return shade + 0.14 * edge + 0.02 * cloud(rng, 30)


def _turned(rng: RandomState, radius: Field) -> Field:
    """Return the lathe's fine circular marks."""
    marks = cv2.GaussianBlur(rng.standard_normal((SIDE, 1)).astype(np.float32), (1, 0), 0.8)
    return np.interp(radius, np.arange(SIDE), marks[:, 0]).astype(np.float32)


def _threads(rng: RandomState, radius: Field, angle: Field) -> Field:
    """Return what is seen in the bore: the thread's flanks, and darkness below."""
    winding = (BORE - radius) / THREAD_PITCH + angle / (2 * np.pi) + rng.uniform()
    flank = 0.5 + 0.5 * np.cos(2 * np.pi * winding)
    depth = np.clip((BORE - radius) / 15, 0, 1)
    light = (0.12 + 0.75 * flank) * (0.7 + 0.3 * np.cos(angle - 2.2))
    return (STEEL * (light * (1 - depth) + 0.07 * depth)[..., None]).astype(np.float32)


def _mat(rng: RandomState) -> Field:
    grain = 1 + 0.10 * smooth_noise(rng, 1.6, 1.6) + 0.04 * cloud(rng, 50)
    return (MAT * grain[..., None]).astype(np.float32)
