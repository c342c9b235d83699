"""Detectors without a Gaussian, by scikit-learn, to compare it with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gad_bench.base.errors import UserError, require_choice
from gad_bench.gaussian.detector import MetricDetector
from gad_bench.gaussian.metric import Metric
from gad_bench.gaussian.samples import Samples
from gad_bench.gaussian.statistics import Matrix, Vector, unvarying

VARIANCE, DEVIATION = "variance", "deviation"
GAMMAS = (VARIANCE, DEVIATION)


@dataclass(frozen=True, kw_only=True)
class SupportVectors(Metric):
    """offset - sum over the support vectors of weight exp(-gamma |x - v|^2).

    Attributes:
        vectors: v [support vectors, dim].
        weights: [support vectors].
        gamma: of the kernel.
        offset: the decision's.
    """

    vectors: Matrix
    weights: Vector
    gamma: float
    offset: float

    def distance(self, features: Matrix) -> Vector:
        """Return minus the decision function [vectors]."""
        from sklearn.metrics.pairwise import rbf_kernel

        return self.offset - rbf_kernel(features, self.vectors, self.gamma) @ self.weights


@dataclass(frozen=True, kw_only=True)
class NearestSamples(Metric):
    """The mean Euclidean distance from the nearest samples.

    Attributes:
        samples: [samples, dim].
        k: how many of them.
    """

    samples: Matrix
    k: int

    def distance(self, features: Matrix) -> Vector:
        """Return the mean distance [vectors]."""
        distances: Matrix = self._model.kneighbors(features)[0]
        return distances.mean(axis=1)

    @cached_property
    def _model(self) -> Any:  # noqa: ANN401 - scikit-learn has no types
        from sklearn.neighbors import NearestNeighbors

        return NearestNeighbors(n_neighbors=self.k).fit(self.samples)


@dataclass(frozen=True, kw_only=True)
class KernelSum(Metric):
    """Minus the logarithm of the density by a Gaussian kernel around each sample.

    Attributes:
        samples: [samples, dim].
        bandwidth: the kernel's standard deviation.
    """

    samples: Matrix
    bandwidth: float

    def distance(self, features: Matrix) -> Vector:
        """Return minus the logarithm of the density [vectors]."""
        return -np.asarray(self._model.score_samples(features), np.float64)

    @cached_property
    def _model(self) -> Any:  # noqa: ANN401 - scikit-learn has no types
        from sklearn.neighbors import KernelDensity

        return KernelDensity(bandwidth=self.bandwidth).fit(self.samples)


@dataclass(frozen=True)
class Forest(Metric):
    """How few splits isolate a vector, by scikit-learn's trees.

    Attributes:
        model: scikit-learn's `IsolationForest`, fitted.
    """

    model: Any

    def distance(self, features: Matrix) -> Vector:
        """Return minus scikit-learn's score [vectors]."""
        return -np.asarray(self.model.score_samples(features), np.float64)


@dataclass(frozen=True, kw_only=True)
class OneClassSVM(MetricDetector):
    """One-class SVM with an RBF kernel; the score is minus its decision function.

    Source: Schoelkopf et al. 2001, "Estimating the support of a high-dimensional distribution".

    Attributes:
        nu: the share of the samples that may lie outside, in (0, 1].
        gamma: of the kernel exp(-gamma |x - v|^2): 1 / (dim * variance of all values), or
            1 / (dim * their standard deviation). The paper's numbers have the latter, which
            scikit-learn 0.20 called "scale" as later versions call the former.
    """

    nu: float
    gamma: str = VARIANCE

    def __post_init__(self) -> None:
        if not 0 < self.nu <= 1:
            raise UserError(f"detector.nu must lie in (0, 1], not {self.nu}")
        require_choice("detector.gamma", self.gamma, GAMMAS)

    def learn(self, samples: Samples) -> Metric:
        """Find the support vectors."""
        from sklearn import svm

        values = samples.values
        model = svm.OneClassSVM(kernel="rbf", gamma=self._gamma(values), nu=self.nu).fit(values)
        return SupportVectors(
            vectors=model.support_vectors_,
            weights=model.dual_coef_[0],
            gamma=float(model._gamma),  # what "scale" came to
            offset=-float(model.intercept_[0]),
        )

    def _gamma(self, values: Matrix) -> float | str:
        deviation = float(values.std())
        if self.gamma == VARIANCE or deviation == 0:
            return "scale"
        return 1 / (values.shape[1] * deviation)


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

    def learn(self, samples: Samples) -> Metric:
        """Keep the samples.

        Raises:
            UserError: there are fewer of them than neighbours.
        """
        values = samples.values
        if len(values) < self.k:
            raise UserError(f"detector.k={self.k} exceeds the {len(values)} samples: lower it")
        return NearestSamples(samples=values, k=self.k)


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

    def learn(self, samples: Samples) -> Metric:
        """Keep the samples and choose the bandwidth.

        Raises:
            UserError: the samples do not vary.
        """
        if samples.total_variance == 0:
            raise UserError(f"no density comes of {unvarying(samples)}")
        deviation = np.sqrt(samples.total_variance / samples.dimension)
        rule = samples.count ** (-1 / (samples.dimension + 4))
        bandwidth = float(self.bandwidth * deviation * rule)
        return KernelSum(samples=samples.values, bandwidth=bandwidth)


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

    def learn(self, samples: Samples) -> Metric:
        """Grow the trees.

        Raises:
            UserError: one sample alone, which no split isolates.
        """
        if samples.count == 1:
            raise UserError(
                "detector=isolation_forest splits samples apart, and 1 is there: use more"
            )
        from sklearn import ensemble

        model = ensemble.IsolationForest(n_estimators=self.trees, random_state=self.seed)
        model.fit(samples.values)
        return Forest(model)
