"""Distances of vectors from a fitted distribution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.gaussian.projection import Projection
from gad_bench.gaussian.statistics import Matrix, Vector


@dataclass(frozen=True, kw_only=True)
class QuadraticForm:
    """|(x - m) directions * scales|^2 + |what of x - m is orthogonal to the directions|^2 / rest.

    Attributes:
        mean: m [dim].
        directions: [dim, rank]; None for the features themselves.
        scales: [rank], 0 for one that has no part.
        rest: None where there is nothing orthogonal, or where that has no part.
    """

    mean: Vector
    directions: Matrix | None
    scales: Vector
    rest: float | None


@dataclass(frozen=True, kw_only=True)
class Contributions:
    """What the components of an estimated covariance matrix add to squared distances.

    All directions orthogonal to the fitted vectors share one eigenvalue, the smallest. Together
    they are the last component where there are such directions.

    Attributes:
        variances: the components' eigenvalues [components], falling.
        directions: how many directions each component is [components]: 1, but for the last.
        squared: [vectors, components], which sum to the squared distance.
    """

    variances: Vector
    directions: NDArray[np.intp]
    squared: Matrix


class Metric(ABC):
    """A fitted measure of how far a vector lies from the normal ones.

    Attributes:
        dimension: degrees of freedom of the chi-square that the squared distance of normal vectors
            follows; None where the distance is no Mahalanobis distance.
        sample_count: of those whose maximum likelihood estimate the covariance is; None where it is
            another estimate.
    """

    dimension: int | None = None
    sample_count: int | None = None

    @abstractmethod
    def distance(self, features: Matrix) -> Vector:
        """Return the distance [vectors] of each of the vectors [vectors, dim]."""

    def steps(self) -> list[Any]:
        """Return the distance as `Projection`s and, last, a `QuadraticForm` of what they leave.

        Raises:
            UserError: it is none.
        """
        raise UserError(f"{type(self).__name__} is no distance by a matrix")

    def contributions(self, features: Matrix) -> Contributions | None:  # noqa: ARG002
        """Split the squared distance of vectors [vectors, dim] over principal components.

        None where it is no Mahalanobis distance.
        """
        return None


@dataclass(frozen=True, kw_only=True)
class SpectralMahalanobis(Metric):
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
    def dimension(self) -> int:  # type: ignore[override]
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

    def steps(self) -> list[Any]:
        """Return the eigenvectors, each by its deviation."""
        rest = self.rest if self.directions.shape[1] < self.dimension else None
        scales = 1 / np.sqrt(self.variances)
        form = QuadraticForm(mean=self.mean, directions=self.directions, scales=scales, rest=rest)
        return [form]

    def contributions(self, features: Matrix) -> Contributions:
        """Split by eigenvectors; all directions beyond them are the last component."""
        centred = features - self.mean
        along = centred @ self.directions
        order = np.argsort(-self.variances, kind="stable")
        variances = self.variances[order]
        squared = (along**2 / self.variances)[:, order]
        directions = np.ones(len(order), np.intp)
        orthogonal = self.dimension - len(order)
        if orthogonal:
            rest = centred - along @ self.directions.T
            beyond = np.einsum("nd,nd->n", rest, rest) / self.rest
            variances = np.append(variances, self.rest)
            squared = np.column_stack([squared, beyond])
            directions = np.append(directions, orthogonal)
        return Contributions(variances=variances, directions=directions, squared=squared)


@dataclass(frozen=True, kw_only=True)
class TriangularMahalanobis(Metric):
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
    def dimension(self) -> int:  # type: ignore[override]
        """All of them."""
        return len(self.mean)

    @property
    def sample_count(self) -> int | None:  # type: ignore[override]
        """The number of samples."""
        return self.samples

    def distance(self, features: Matrix) -> Vector:
        """Return the Mahalanobis distance [vectors]."""
        from scipy.linalg import solve_triangular

        centred = (features - self.mean).T
        whitened = solve_triangular(self.triangle, centred, trans="T", check_finite=False)
        return np.sqrt(np.einsum("dn,dn->n", whitened, whitened))

    def steps(self) -> list[Any]:
        """Return R^-1: elsewhere, as in an exported graph, no triangular system is solved."""
        from scipy.linalg import solve_triangular

        inverse = solve_triangular(self.triangle, np.eye(self.dimension), check_finite=False)
        scales = np.ones(self.dimension)
        return [QuadraticForm(mean=self.mean, directions=inverse, scales=scales, rest=None)]

    def contributions(self, features: Matrix) -> Contributions:
        """Decompose S = R'R by R's own singular values: the eigenvalues are their squares."""
        _, lengths, axes = np.linalg.svd(self.triangle)
        squared = ((features - self.mean) @ axes.T / lengths) ** 2
        ones = np.ones(len(lengths), np.intp)
        return Contributions(variances=lengths**2, directions=ones, squared=squared)


@dataclass(frozen=True, kw_only=True)
class RootMeanSquare(Metric):
    """sqrt(mean over the features of ((x - m) / scale)^2).

    Attributes:
        mean: m [dim].
        weights: 1 / scale [dim], 0 for a feature that is left out.
    """

    mean: Vector
    weights: Vector

    def distance(self, features: Matrix) -> Vector:
        """Return the root mean square [vectors]."""
        squared = ((features - self.mean) * self.weights) ** 2
        return np.sqrt(squared.sum(axis=1) / np.count_nonzero(self.weights))

    def steps(self) -> list[Any]:
        """Return the weights, by the root of how many there are."""
        scales = self.weights / np.sqrt(np.count_nonzero(self.weights))
        return [QuadraticForm(mean=self.mean, directions=None, scales=scales, rest=None)]


@dataclass(frozen=True, kw_only=True)
class Projected(Metric):
    """A metric of projected vectors."""

    projection: Projection
    metric: Metric

    @property
    def dimension(self) -> int | None:  # type: ignore[override]
        """Those of the metric."""
        return self.metric.dimension

    def distance(self, features: Matrix) -> Vector:
        """Return the metric's distance [vectors]."""
        return self.metric.distance(self.projection.apply(features))

    def steps(self) -> list[Any]:
        """Return the projection, then the metric's own."""
        return [self.projection, *self.metric.steps()]

    def contributions(self, features: Matrix) -> Contributions | None:
        """Split as the metric does."""
        return self.metric.contributions(self.projection.apply(features))
