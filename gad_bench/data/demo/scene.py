"""Scenes: random fields and shapes, and the picture that is painted of them.

Randomness comes from `numpy.random.RandomState`, whose stream numpy has frozen, so that a seed
gives the same pictures under any version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

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


MARGIN = 24  # pixels at the border of a texture where no defect begins


@dataclass(frozen=True)
class Scene:
    """A flawless picture, before the camera."""

    image: Field  # [SIDE, SIDE, 3]
    surface: NDArray[np.bool_]  # [SIDE, SIDE], where a defect may begin
    background: Field  # [SIDE, SIDE, 3], what is seen where the surface is gone

    @classmethod
    def of_material(cls, image: Field) -> Scene:
        """Return the scene of a material that fills the picture; below it is darkness."""
        surface = np.zeros((SIDE, SIDE), bool)
        surface[MARGIN:-MARGIN, MARGIN:-MARGIN] = True
        return cls(image, surface, 0.15 * image)

    def place(self, rng: RandomState) -> tuple[int, int]:
        """Draw a row and a column on the surface."""
        return _draw(rng, self.surface)

    def outline_place(self, rng: RandomState) -> tuple[int, int]:
        """Draw a row and a column where the surface ends."""
        grown = cv2.dilate(self.surface.astype(np.uint8), np.ones((3, 3), np.uint8))
        return _draw(rng, (grown > 0) & ~self.surface)


Flaw: TypeAlias = Callable[[RandomState, Scene], Field]
"""Draws a defect and returns the scene's picture with it."""


class Product(NamedTuple):
    """A category: how its good pieces look, and what may be wrong with one."""

    paint: Callable[[RandomState], Scene]
    flaws: Mapping[str, Flaw]


def _draw(rng: RandomState, region: NDArray[np.bool_]) -> tuple[int, int]:
    rows, columns = np.nonzero(region)
    number = rng.randint(len(rows))
    return int(rows[number]), int(columns[number])
