"""By what a configuration is chosen where no defect is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.data.augmentation import Augmentation
from gad_bench.data.catalog import CategoryFacts
from gad_bench.data.painting.recipes import Painted, Pixels, cut_and_paste, noise_blend

RECIPES = {"cut_paste": cut_and_paste, "noise": noise_blend}


class Selection(Augmentation, Protocol):
    """Painted copies of good images held out, a copy a pass."""

    @property
    def recipes(self) -> Sequence[str]:
        """The ways to paint."""

    def recipe(self, number: int) -> str:
        """Return the recipe of a copy."""

    def paint(self, image: Pixels, digest: str, number: int) -> Painted:
        """Return a copy with its mask; the arguments are those of `augment`."""


@dataclass(frozen=True, kw_only=True)
class NoSelection:
    """Nothing is painted."""


@dataclass(frozen=True, kw_only=True)
class PaintedDefects:
    """Copies of the good images held out, each with a painted defect.

    Attributes:
        recipes: how they are painted, in turn: "cut_paste", "noise".
        copies: of an image by each recipe.
        seed: of the defects.
    """

    recipes: list[str]
    copies: int
    seed: int

    def __post_init__(self) -> None:
        unknown = [name for name in self.recipes if name not in RECIPES]
        if unknown or not self.recipes:
            raise UserError(f"selection.recipes={self.recipes}: choose from {', '.join(RECIPES)}")
        if self.copies < 1:
            raise UserError(f"selection.copies must be at least 1, not {self.copies}")

    @property
    def passes(self) -> int:
        """How many copies an image has."""
        return self.copies * len(self.recipes)

    def facts(self, category: CategoryFacts) -> Mapping[str, Any]:  # noqa: ARG002
        """Return, as JSON values, everything that changes a pixel."""
        return {"painted": list(self.recipes), "seed": self.seed, "version": 1}

    def augment(self, image: Pixels, digest: str, number: int, category: CategoryFacts) -> Pixels:  # noqa: ARG002
        """Return a copy of an image; see `paint`."""
        return self.paint(image, digest, number).image

    def paint(self, image: Pixels, digest: str, number: int) -> Painted:
        """Paint a defect.

        Args:
            image: uint8 [H, W, 3] RGB.
            digest: the image file's, in hexadecimal; with the seed and the number it seeds the
                defect.
            number: of the copy, from 0; it chooses the recipe.
        """
        generator = np.random.default_rng([self.seed, number, int(digest[:16], 16)])
        return RECIPES[self.recipe(number)](image, generator)

    def recipe(self, number: int) -> str:
        """Return the recipe of a copy."""
        return self.recipes[number % len(self.recipes)]
