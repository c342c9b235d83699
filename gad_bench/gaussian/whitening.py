"""Metrics as maps of vectors, after which the Euclidean distance is the metric's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gad_bench.gaussian.metric import Metric, QuadraticForm
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
        UserError: the metric is no distance by a matrix.
    """
    *before, form = metric.steps()
    return Whitening([*before, Linear(form.mean, _root(form))])


def _root(form: QuadraticForm) -> Matrix:
    """Return a matrix W [dim, new dim] with |(x - m) W| the form's distance."""
    directions, kept = form.directions, np.flatnonzero(form.scales)
    if directions is None:
        chosen = np.zeros((len(form.mean), len(kept)))
        chosen[kept, np.arange(len(kept))] = form.scales[kept]
        return chosen
    if form.rest is None:
        return directions * form.scales
    rest = 1 / np.sqrt(form.rest)  # in the features' base, for some directions are not known
    along = directions * (form.scales - rest)
    return along @ directions.T + rest * np.eye(len(directions))
