"""What augmentation is to the rest, and none of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gad_bench.data.catalog import CategoryFacts

Pixels = NDArray[np.uint8]


class Augmentation(Protocol):
    """Passes over the training images, each with other random changes."""

    @property
    def passes(self) -> int:
        """The number of passes."""

    def facts(self, category: CategoryFacts) -> Mapping[str, Any]:
        """Return, as JSON values, everything that changes a pixel of the category's images."""

    def augment(self, image: Pixels, digest: str, number: int, category: CategoryFacts) -> Pixels:
        """Return an image as a pass shows it.

        Args:
            image: uint8 [S, S, 3] RGB.
            digest: the image file's, in hexadecimal; with the pass it seeds the changes, so that
                they do not depend on which images there are or who computes them.
            number: the pass, from 0.
            category: its limits on geometry.
        """


@dataclass(frozen=True, kw_only=True)
class NoAugmentation:
    """Training images as they are; nothing is ever asked of it but its name."""

    passes = 1

    def facts(self, category: CategoryFacts) -> dict[str, Any]:  # noqa: ARG002
        """Return nothing."""
        return {}

    def augment(self, image: Pixels, digest: str, number: int, category: CategoryFacts) -> Pixels:  # noqa: ARG002
        """Return the image."""
        return image
