"""What a category's painter hands over: the picture, and where a defect may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from gad_bench.data.demo.noise import SIDE, Field

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
