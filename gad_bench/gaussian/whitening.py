"""Metrics as maps of vectors, after which the Euclidean distance is the metric's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.gaussian.metric import (
    Metric,
    Projected,
    RootMeanSquare,
    SpectralMahalanobis,
    TriangularMahalanobis,
)
from gad_bench.gaussian.projection import Linear, Projection
from gad_bench.gaussian.statistics import Matrix


@dataclass(frozen=True)
class Whitening:
    """Affine maps, one after the other.

    Attributes:
        steps: each a `Projection`; Any because they are read from files, too.
    """

    steps: list[Any]

    def apply(self, features: Matrix) -> Matrix:
        """Map vectors [vectors, dim] to vectors [vectors, new dim]."""
        for step in self.steps:
            features = step.apply(features)
        return features

    def after(self, first: Projection) -> Whitening:
        """Return the same with another map before it."""
        return Whitening([first, *self.steps])


def whitening(metric: Metric) -> Whitening:
    """Return the affine map to where the metric is the Euclidean distance from 0.

    So the distance between two mapped vectors is that by the metric's covariance matrix.

    Raises:
        UserError: the metric is not of this package.
    """
    steps: list[Any] = []
    while isinstance(metric, Projected):
        steps.append(metric.projection)
        metric = metric.metric
    if isinstance(metric, TriangularMahalanobis):
        return Whitening([*steps, Linear(metric.mean, _inverse(metric.triangle))])
    if isinstance(metric, SpectralMahalanobis):
        return Whitening([*steps, Linear(metric.mean, _inverse_root(metric))])
    if isinstance(metric, RootMeanSquare):
        return Whitening([*steps, Linear(metric.mean, _scaling(metric))])
    raise UserError(f"a metric of {type(metric).__name__} gives no whitening")


def _inverse(triangle: Matrix) -> Matrix:
    from scipy.linalg import solve_triangular

    return solve_triangular(triangle, np.eye(len(triangle)), check_finite=False)


def _inverse_root(metric: SpectralMahalanobis) -> Matrix:
    """Return S^-1/2 in the base of the eigenvectors; in the features' where some are not known."""
    directions, deviations = metric.directions, np.sqrt(metric.variances)
    if directions.shape[1] == metric.dimension:
        return directions / deviations
    rest = 1 / np.sqrt(metric.rest)
    along = directions * (1 / deviations - rest)
    return along @ directions.T + rest * np.eye(metric.dimension)


def _scaling(metric: RootMeanSquare) -> Matrix:
    kept = np.flatnonzero(metric.weights)
    directions = np.zeros((len(metric.mean), len(kept)))
    directions[kept, np.arange(len(kept))] = metric.weights[kept] / np.sqrt(len(kept))
    return directions
