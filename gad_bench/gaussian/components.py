"""What each principal component adds to a squared distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gad_bench.gaussian.detector import FittedBlock, FittedMetric
from gad_bench.gaussian.metric import (
    Metric,
    Projected,
    SpectralMahalanobis,
    TriangularMahalanobis,
)
from gad_bench.gaussian.statistics import Matrix, Vector


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


def contributions(fitted: FittedBlock, features: ArrayLike) -> Contributions | None:
    """Split the squared distance of vectors [vectors, dim]; None where it is no Mahalanobis one."""
    if not isinstance(fitted, FittedMetric):
        return None
    values = fitted.projection.apply(fitted.normalisation.apply(np.asarray(features, np.float64)))
    return _of_metric(fitted.metric, values)


def _of_metric(metric: Metric, values: Matrix) -> Contributions | None:
    if isinstance(metric, Projected):
        return _of_metric(metric.metric, metric.projection.apply(values))
    if isinstance(metric, SpectralMahalanobis):
        return _of_spectral(metric, values)
    if isinstance(metric, TriangularMahalanobis):
        return _of_triangular(metric, values)
    return None


def _of_spectral(metric: SpectralMahalanobis, values: Matrix) -> Contributions:
    centred = values - metric.mean
    along = centred @ metric.directions
    order = np.argsort(-metric.variances, kind="stable")
    variances = metric.variances[order]
    squared = (along**2 / metric.variances)[:, order]
    directions = np.ones(len(order), np.intp)
    orthogonal = metric.dimension - len(order)
    if orthogonal:
        rest = centred - along @ metric.directions.T
        beyond = np.einsum("nd,nd->n", rest, rest) / metric.rest
        variances = np.append(variances, metric.rest)
        squared = np.column_stack([squared, beyond])
        directions = np.append(directions, orthogonal)
    return Contributions(variances=variances, directions=directions, squared=squared)


def _of_triangular(metric: TriangularMahalanobis, values: Matrix) -> Contributions:
    """Decompose S = R'R by R's own singular values: the eigenvalues are their squares."""
    _, lengths, axes = np.linalg.svd(metric.triangle)
    squared = ((values - metric.mean) @ axes.T / lengths) ** 2
    ones = np.ones(len(lengths), np.intp)
    return Contributions(variances=lengths**2, directions=ones, squared=squared)
