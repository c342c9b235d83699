"""Detectors: from a block's normal features to scores of other features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from gad_bench.gaussian.metric import Metric
from gad_bench.gaussian.normalisation import NoNormalisation, Normalisation
from gad_bench.gaussian.reduction import NoReduction, Projection
from gad_bench.gaussian.samples import Samples, Vector


class FittedDetector(Protocol):
    """A detector that knows what is normal."""

    @property
    def dimension(self) -> int | None:
        """Degrees of freedom where the score is a Mahalanobis distance, else None."""

    def score(self, features: ArrayLike) -> Vector:
        """Return a score [vectors] of vectors [vectors, dim], higher is more anomalous."""


class Detector(Protocol):
    """A way to learn what is normal."""

    def fit(self, samples: Samples) -> FittedDetector:
        """Learn from normal samples."""


@dataclass(frozen=True)
class FittedGaussian:
    """A Gaussian in the normalised, reduced space."""

    normalisation: Normalisation
    projection: Projection
    metric: Metric

    @property
    def dimension(self) -> int | None:
        """Degrees of freedom where the score is a Mahalanobis distance, else None."""
        return self.metric.dimension

    def score(self, features: ArrayLike) -> Vector:
        """Return the distance [vectors] of vectors [vectors, dim]."""
        values = self.normalisation.apply(np.asarray(features, dtype=np.float64))
        return self.metric.distance(self.projection.apply(values))


@dataclass(frozen=True, kw_only=True)
class GaussianDetector:
    """The paper's: one Gaussian, the score its distance.

    Attributes:
        normalisation: a `Normalisation`; Any because the typed config knows no protocols.
        reduction: a `Reduction`.
        covariance: a `Covariance`.
    """

    normalisation: Any
    reduction: Any
    covariance: Any

    def fit(self, samples: Samples) -> FittedGaussian:
        """Fit mean and covariance after normalisation and reduction."""
        if not isinstance(self.normalisation, NoNormalisation):
            samples = Samples(self.normalisation.apply(samples.values))
        projection = self.reduction.fit(samples)
        if not isinstance(projection, NoReduction):
            samples = Samples(projection.apply(samples.values))
        return FittedGaussian(self.normalisation, projection, self.covariance.fit(samples))
