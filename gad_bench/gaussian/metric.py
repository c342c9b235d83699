"""Distances of vectors from a fitted distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gad_bench.gaussian.projection import Projection
from gad_bench.gaussian.statistics import Matrix, Vector


class Metric(Protocol):
    """A fitted measure of how far a vector lies from the normal ones."""

    @property
    def dimension(self) -> int | None:
        """Degrees of freedom of the chi-square that the squared distance of normal vectors follows.

        None where the distance is no Mahalanobis distance.
        """

    def distance(self, features: Matrix) -> Vector:
        """Return the distance [vectors] of each of the vectors [vectors, dim]."""


@dataclass(frozen=True, kw_only=True)
class SpectralMahalanobis:
    """sqrt((x - m)' S^-1 (x - m)), by way of S's eigenvectors; S^-1 is never formed.

    Attributes:
        mean: m [dim].
        directions: eigenvectors of S [dim, rank].
        variances: their eigenvalues [rank].
        rest: the eigenvalue of every direction orthogonal to those.
    """

    mean: Vector
    directions: Matrix
    variances: Vector
    rest: float

    @property
    def dimension(self) -> int:
        """All of them."""
        return len(self.mean)

    def distance(self, features: Matrix) -> Vector:
        """Return the Mahalanobis distance [vectors]."""
        centred = features - self.mean
        along = centred @ self.directions
        squared: Vector = (along**2) @ (1 / self.variances)
        if self.directions.shape[1] < self.dimension:
            orthogonal = centred - along @ self.directions.T
            squared += np.einsum("nd,nd->n", orthogonal, orthogonal) / self.rest
        return np.sqrt(squared)


@dataclass(frozen=True, kw_only=True)
class TriangularMahalanobis:
    """sqrt((x - m)' S^-1 (x - m)) = |R'^-1 (x - m)| for S = R'R; no inverse is formed.

    Attributes:
        mean: m [dim].
        triangle: R [dim, dim], upper triangular.
        samples: their number, where S is their maximum likelihood covariance and nothing else.
    """

    mean: Vector
    triangle: Matrix
    samples: int | None = None

    @property
    def dimension(self) -> int:
        """All of them."""
        return len(self.mean)

    def distance(self, features: Matrix) -> Vector:
        """Return the Mahalanobis distance [vectors]."""
        from scipy.linalg import solve_triangular

        centred = (features - self.mean).T
        whitened = solve_triangular(self.triangle, centred, trans="T", check_finite=False)
        return np.sqrt(np.einsum("dn,dn->n", whitened, whitened))


@dataclass(frozen=True, kw_only=True)
class RootMeanSquare:
    """sqrt(mean over the features of ((x - m) / scale)^2).

    Attributes:
        mean: m [dim].
        weights: 1 / scale [dim], 0 for a feature that is left out.
    """

    mean: Vector
    weights: Vector

    @property
    def dimension(self) -> None:
        """No Mahalanobis distance."""

    def distance(self, features: Matrix) -> Vector:
        """Return the root mean square [vectors]."""
        squared = ((features - self.mean) * self.weights) ** 2
        return np.sqrt(squared.sum(axis=1) / np.count_nonzero(self.weights))


@dataclass(frozen=True, kw_only=True)
class Projected:
    """A metric of projected vectors."""

    projection: Projection
    metric: Metric

    @property
    def dimension(self) -> int | None:
        """Those of the metric."""
        return self.metric.dimension

    def distance(self, features: Matrix) -> Vector:
        """Return the metric's distance [vectors]."""
        return self.metric.distance(self.projection.apply(features))
