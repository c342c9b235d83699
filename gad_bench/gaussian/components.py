"""What each principal component adds to a squared distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gad_bench.gaussian.detector import FittedDetector, FittedMetric
from gad_bench.gaussian.metric import (
    Metric,
    Projected,
    SpectralMahalanobis,
    TriangularMahalanobis,
)
from gad_bench.gaussian.statistics import Matrix, Vector


@dataclass(frozen=True, kw_only=True)
class Contributions:
    """What the components of an estimated covariance matrix add to the squared distances.

    Attributes:
        variances: the components' eigenvalues [components], falling.
        squared: [vectors, components]; with `beyond` they sum to the squared distance.
        beyond: what all directions beyond the components add together [vectors]; they share one
            eigenvalue, the smallest. None where there are no such directions.
    """

    variances: Vector
    squared: Matrix
    beyond: Vector | None


def contributions(fitted: FittedDetector, features: ArrayLike) -> Contributions | None:
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
    beyond = None
    if metric.directions.shape[1] < metric.dimension:
        orthogonal = centred - along @ metric.directions.T
        beyond = np.einsum("nd,nd->n", orthogonal, orthogonal) / metric.rest
    order = np.argsort(-metric.variances, kind="stable")
    squared = (along**2 / metric.variances)[:, order]
    return Contributions(variances=metric.variances[order], squared=squared, beyond=beyond)


def _of_triangular(metric: TriangularMahalanobis, values: Matrix) -> Contributions:
    """Decompose S = R'R by R's own singular values: the eigenvalues are their squares."""
    _, lengths, directions = np.linalg.svd(metric.triangle)
    along = (values - metric.mean) @ directions.T
    return Contributions(variances=lengths**2, squared=(along / lengths) ** 2, beyond=None)
