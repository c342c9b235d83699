"""What is done to a block's vector before anything is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gad_bench.gaussian.statistics import Matrix


class Normalisation(Protocol):
    """A map of single vectors."""

    def apply(self, features: Matrix) -> Matrix:
        """Map vectors [vectors, dim] to vectors [vectors, dim]."""


@dataclass(frozen=True, kw_only=True)
class NoNormalisation:
    """Vectors as they are."""

    def apply(self, features: Matrix) -> Matrix:
        """Return the vectors."""
        return features


@dataclass(frozen=True, kw_only=True)
class UnitLength:
    """Vectors divided by their Euclidean length ("Mahalanobis++", ICML 2025); zero stays zero."""

    def apply(self, features: Matrix) -> Matrix:
        """Return vectors of length one."""
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        return features / np.where(lengths > 0, lengths, 1.0)
