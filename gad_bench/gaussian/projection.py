"""Fixed maps of vectors to vectors of another length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.gaussian.statistics import Matrix, Statistics, Vector


class Projection(Protocol):
    """A map of single vectors."""

    def apply(self, features: Matrix) -> Matrix:
        """Map vectors [vectors, dim] to vectors [vectors, new dim]."""


@dataclass(frozen=True)
class Linear:
    """(x - mean) directions, for directions [dim, new dim]."""

    mean: Vector
    directions: Matrix

    def apply(self, features: Matrix) -> Matrix:
        """Map vectors [vectors, dim] to vectors [vectors, new dim]."""
        return (features - self.mean) @ self.directions


@dataclass(frozen=True)
class Selection:
    """Some of the features."""

    features: NDArray[np.intp]

    def apply(self, features: Matrix) -> Matrix:
        """Map vectors [vectors, dim] to vectors [vectors, new dim]."""
        return features[:, self.features]


@dataclass(frozen=True)
class Standardisation:
    """(x - mean) / deviation of some of the features."""

    features: NDArray[np.intp]
    mean: Vector
    deviations: Vector

    def apply(self, features: Matrix) -> Matrix:
        """Map vectors [vectors, dim] to vectors [vectors, new dim]."""
        return (features[:, self.features] - self.mean) / self.deviations


def varying(statistics: Statistics) -> NDArray[np.intp]:
    """Return which features vary.

    Raises:
        UserError: none does.
    """
    found = np.flatnonzero(statistics.variances > 0)
    if len(found) == 0:
        raise UserError(
            f"no feature varies over the {statistics.count} samples: "
            "use more training images or covariance=identity"
        )
    return found


def standardisation(statistics: Statistics) -> Standardisation:
    """Return the standardisation of the features that vary.

    Raises:
        UserError: none does.
    """
    kept = varying(statistics)
    return Standardisation(kept, statistics.mean[kept], np.sqrt(statistics.variances[kept]))
