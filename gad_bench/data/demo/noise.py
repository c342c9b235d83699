"""Random fields and shapes from which pictures are drawn.

Randomness comes from `numpy.random.RandomState`, whose stream numpy has frozen, so that a seed
gives the same pictures under any version.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

Field: TypeAlias = NDArray[Any]
"""[SIDE, SIDE], or [SIDE, SIDE, 3] for colours (RGB, 0 black to 1 white)."""

SIDE = 256

ROWS, COLUMNS = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)


def generator(*seeds: int) -> RandomState:
    """Return the random numbers of a tuple of seeds, unlike those of every other tuple."""
    return RandomState(np.random.MT19937(np.random.SeedSequence(seeds)))


def smooth_noise(rng: RandomState, rows: float, columns: float) -> Field:
    """Return noise about 0, of deviation about 1, with features of `rows` x `columns` pixels."""
    cells = (int(SIDE / rows) + 4, int(SIDE / columns) + 4)
    grid = rng.standard_normal(cells).astype(np.float32)
    size = (round(cells[1] * columns), round(cells[0] * rows))
    grown = cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC)
    top, left = round(rows), round(columns)
    return grown[top : top + SIDE, left : left + SIDE]


def cloud(rng: RandomState, size: float, octaves: int = 3) -> Field:
    """Return such noise with features of `size` pixels and, ever weaker, of half that and so on."""
    layers = [smooth_noise(rng, size / 2**k, size / 2**k) / 2**k for k in range(octaves)]
    return np.asarray(np.sum(layers, axis=0, dtype=np.float32))


def step(field: Field, softness: float) -> Field:
    """Return 1 where the field is positive and 0 elsewhere, with a ramp `softness` wide at 0."""
    ramp = np.clip(field / softness + 0.5, 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def blob(rng: RandomState, row: float, column: float, radius: float, roughness: float) -> Field:
    """Return the depth in pixels within an irregular round spot, negative outside of it."""
    distance = np.hypot(ROWS - row, COLUMNS - column)
    return radius * (1 + roughness * cloud(rng, max(radius, 4))) - distance


def mix(below: Field, above: Field, share: Field) -> Field:
    """Lay colours over colours: all `above` where the share is 1."""
    weight = share[..., None]
    return below * (1 - weight) + above * weight


def colour(red: float, green: float, blue: float) -> Field:
    """Return a colour (0 black to 1 white)."""
    return np.array([red, green, blue], np.float32)
