"""Detectors: from a block's normal features to scores of other features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gad_bench.base.errors import UserError
from gad_bench.gaussian.metric import Contributions, Metric
from gad_bench.gaussian.normalisation import NoNormalisation, Normalisation
from gad_bench.gaussian.projection import Projection
from gad_bench.gaussian.reduction import NoReduction
from gad_bench.gaussian.samples import Samples
from gad_bench.gaussian.statistics import Matrix, Vector


class FittedBlock(Protocol):
    """A detector that knows what is normal."""

    @property
    def dimension(self) -> int | None:
        """Degrees of freedom where the score is a Mahalanobis distance, else None."""

    @property
    def samples(self) -> int | None:
        """Their number where the covariance is their maximum likelihood estimate, else None."""

    def score(self, features: ArrayLike) -> Vector:
        """Return a score [vectors] of vectors [vectors, dim], higher is more anomalous."""

    def contributions(self, features: ArrayLike) -> Contributions | None:
        """Split the squared distance of vectors [vectors, dim]; None where it is none."""


class Detector(Protocol):
    """A way to learn what is normal."""

    def fit(self, samples: Samples) -> FittedBlock:
        """Learn from normal samples."""


@runtime_checkable
class SupervisedDetector(Protocol):
    """A way to learn to tell what is anomalous from what is normal."""

    def taught(self, labels: NDArray[np.integer]) -> Detector:
        """Return what learns from samples that have these labels [samples], 1 for anomalous."""


@dataclass(frozen=True)
class FittedMetric:
    """A metric in the normalised, reduced space.

    Attributes:
        width: the length of a vector before that.
    """

    width: int
    normalisation: Normalisation
    projection: Projection
    metric: Metric

    @property
    def dimension(self) -> int | None:
        """Degrees of freedom where the score is a Mahalanobis distance, else None."""
        return self.metric.dimension

    @property
    def kept(self) -> int:
        """How many dimensions the score sees, of the width."""
        if self.metric.dimension is not None:
            return self.metric.dimension
        return self.projection.apply(np.empty((0, self.width))).shape[1]

    @property
    def samples(self) -> int | None:
        """Their number where the covariance is their maximum likelihood estimate, else None."""
        return self.metric.sample_count

    def score(self, features: ArrayLike) -> Vector:
        """Return the distance [vectors] of vectors [vectors, dim].

        Raises:
            UserError: the vectors are not as long as the fitted ones, or not finite.
        """
        values = np.atleast_2d(np.asarray(features, dtype=np.float64))
        self._check(values)
        return self.metric.distance(self._reduced(values))

    def contributions(self, features: ArrayLike) -> Contributions | None:
        """Split the squared distance of vectors [vectors, dim] over principal components.

        None where it is no Mahalanobis distance.
        """
        return self.metric.contributions(self._reduced(np.asarray(features, np.float64)))

    def _reduced(self, values: Matrix) -> Matrix:
        return self.projection.apply(self.normalisation.apply(values))

    def _check(self, values: Matrix) -> None:
        if values.shape[1] != self.width:
            raise UserError(
                f"the vectors to score have {values.shape[1]} features, "
                f"those that were fitted had {self.width}"
            )
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            raise UserError(f"vector {int(np.argmin(finite))} of {len(values)} is not finite")


@dataclass(frozen=True, kw_only=True)
class MetricDetector(ABC):
    """What all detectors share: normalisation and reduction, then a metric.

    Attributes:
        normalisation: a `Normalisation`; Any because the typed config knows no protocols.
        reduction: a `Reduction`.
    """

    normalisation: Any
    reduction: Any

    def fit(self, samples: Samples) -> FittedMetric:
        """Learn a metric after normalisation and reduction.

        Raises:
            UserError: the samples do not admit it.
        """
        width = samples.dimension
        if not isinstance(self.normalisation, NoNormalisation):
            samples = samples.map(self.normalisation.apply)
        projection = self.reduction.fit(samples)
        if not isinstance(projection, NoReduction):
            samples = samples.map(projection.apply)
        return FittedMetric(width, self.normalisation, projection, self.learn(samples))

    @abstractmethod
    def learn(self, samples: Samples) -> Metric:
        """Learn a metric from the normalised, reduced samples."""


@dataclass(frozen=True, kw_only=True)
class GaussianDetector(MetricDetector):
    """The paper's: one Gaussian, the score its distance.

    Attributes:
        covariance: a `Covariance`.
    """

    covariance: Any

    def learn(self, samples: Samples) -> Metric:
        """Fit mean and covariance."""
        metric: Metric = self.covariance.fit(samples)
        return metric
