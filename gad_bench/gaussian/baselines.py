"""Detectors without a Gaussian, by scikit-learn, to compare it with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gad_bench.errors import UserError
from gad_bench.gaussian.detector import MetricDetector
from gad_bench.gaussian.samples import Samples
from gad_bench.gaussian.statistics import Matrix, Vector


@dataclass(frozen=True)
class Score:
    """A score that is no Mahalanobis distance."""

    function: Callable[[Matrix], Vector]

    @property
    def dimension(self) -> None:
        """No Mahalanobis distance."""

    def distance(self, features: Matrix) -> Vector:
        """Return the score [vectors]."""
        return np.asarray(self.function(features), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class OneClassSVM(MetricDetector):
    """One-class SVM with an RBF kernel; the score is minus its decision function.

    Source: Schoelkopf et al. 2001, "Estimating the support of a high-dimensional distribution".

    Attributes:
        nu: the share of the samples that may lie outside, in (0, 1].
    """

    nu: float

    def __post_init__(self) -> None:
        if not 0 < self.nu <= 1:
            raise UserError(f"detector.nu must lie in (0, 1], not {self.nu}")

    def learn(self, samples: Samples) -> Score:
        """Find the support vectors."""
        from sklearn import svm

        model = svm.OneClassSVM(kernel="rbf", gamma="scale", nu=self.nu).fit(samples.values)
        return Score(lambda features: -model.decision_function(features))


@dataclass(frozen=True, kw_only=True)
class NearestNeighbours(MetricDetector):
    """The mean Euclidean distance from the nearest samples.

    Source: Bergman, Cohen and Hoshen 2020, "Deep nearest neighbor anomaly detection".

    Attributes:
        k: the number of neighbours.
    """

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UserError(f"detector.k must be at least 1, not {self.k}")

    def learn(self, samples: Samples) -> Score:
        """Keep the samples.

        Raises:
            UserError: there are fewer of them than neighbours.
        """
        from sklearn.neighbors import NearestNeighbors

        if samples.count < self.k:
            raise UserError(f"detector.k={self.k} exceeds the {samples.count} samples: lower it")
        model = NearestNeighbors(n_neighbors=self.k).fit(samples.values)
        return Score(lambda features: model.kneighbors(features)[0].mean(axis=1))


@dataclass(frozen=True, kw_only=True)
class KernelDensity(MetricDetector):
    """A Gaussian kernel around each sample; the score is minus the logarithm of the density.

    Source: Scott 1992, "Multivariate density estimation", for the bandwidth's rule.

    Attributes:
        bandwidth: in units of count^(-1 / (dim + 4)) times the root mean variance of the features.
    """

    bandwidth: float

    def __post_init__(self) -> None:
        if not self.bandwidth > 0:
            raise UserError(f"detector.bandwidth must be more than 0, not {self.bandwidth}")

    def learn(self, samples: Samples) -> Score:
        """Keep the samples and choose the bandwidth.

        Raises:
            UserError: the samples do not vary.
        """
        from sklearn import neighbors

        if samples.total_variance == 0:
            raise UserError(f"{samples.count} samples that do not vary have no density")
        deviation = np.sqrt(samples.total_variance / samples.dimension)
        rule = samples.count ** (-1 / (samples.dimension + 4))
        model = neighbors.KernelDensity(bandwidth=self.bandwidth * deviation * rule)
        model.fit(samples.values)
        return Score(lambda features: -model.score_samples(features))


@dataclass(frozen=True, kw_only=True)
class IsolationForest(MetricDetector):
    """How few random splits it takes to isolate a vector, over many trees.

    Source: Liu, Ting and Zhou 2008, "Isolation forest".

    Attributes:
        trees: their number.
        seed: of the splits.
    """

    trees: int
    seed: int

    def __post_init__(self) -> None:
        if self.trees < 1:
            raise UserError(f"detector.trees must be at least 1, not {self.trees}")

    def learn(self, samples: Samples) -> Score:
        """Grow the trees."""
        from sklearn import ensemble

        model = ensemble.IsolationForest(n_estimators=self.trees, random_state=self.seed)
        model.fit(samples.values)
        return Score(lambda features: -model.score_samples(features))
