"""Covariance estimators: what each makes of the samples, as a metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gad_bench.errors import UserError
from gad_bench.gaussian.metric import Mahalanobis, Metric, RootMeanSquare
from gad_bench.gaussian.samples import Samples


class Covariance(Protocol):
    """An estimator of a covariance matrix."""

    def fit(self, samples: Samples) -> Metric:
        """Estimate from samples [samples, dim].

        Raises:
            UserError: the estimate does not exist for these samples.
        """


@dataclass(frozen=True, kw_only=True)
class Identity:
    """No covariance: the root mean square distance from the mean ("L2" in the paper)."""

    def fit(self, samples: Samples) -> RootMeanSquare:
        """Estimate the mean alone."""
        return RootMeanSquare(mean=samples.mean, weights=np.ones(samples.dimension))


@dataclass(frozen=True, kw_only=True)
class Diagonal:
    """Variances alone: the root mean square of standardised deviations ("SED" in the paper).

    A feature that is the same in all samples has no scale, and is left out.
    """

    def fit(self, samples: Samples) -> RootMeanSquare:
        """Estimate mean and variances.

        Raises:
            UserError: no feature varies.
        """
        deviations = samples.deviations
        varies = deviations > 0
        if not varies.any():
            raise UserError(
                f"covariance=diagonal: no feature varies over the {samples.count} samples: "
                "use more training images or covariance=identity"
            )
        weights = np.divide(1.0, deviations, out=np.zeros_like(deviations), where=varies)
        return RootMeanSquare(mean=samples.mean, weights=weights)


@dataclass(frozen=True, kw_only=True)
class Empirical:
    """The maximum likelihood estimate, divided by the number of samples."""

    def fit(self, samples: Samples) -> Mahalanobis:
        """Estimate the covariance.

        Raises:
            UserError: the estimate is singular.
        """
        rank = len(samples.spectrum.variances)
        if rank < samples.dimension:
            raise UserError(
                f"covariance=empirical: {samples.count} samples of {samples.dimension} features "
                f"give a singular matrix of rank {rank}: use covariance=ledoit_wolf, "
                "a reduction, or more training images"
            )
        return _shrunk(samples, 0.0)


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """(1 - amount) S + amount tr(S) / dim I, with a given amount."""

    amount: float

    def __post_init__(self) -> None:
        if not 0 < self.amount <= 1:
            raise UserError(f"covariance.amount must lie in (0, 1], not {self.amount}")

    def fit(self, samples: Samples) -> Mahalanobis:
        """Shrink the empirical covariance by the given amount."""
        return _shrunk(samples, self.amount)


@dataclass(frozen=True, kw_only=True)
class LedoitWolf:
    """Shrinkage by the amount of least expected squared error (Ledoit and Wolf 2004)."""

    def fit(self, samples: Samples) -> Mahalanobis:
        """Shrink the empirical covariance by the estimated amount."""
        return _shrunk(samples, ledoit_wolf_amount(samples))


@dataclass(frozen=True, kw_only=True)
class OracleApproximating:
    """Shrinkage for Gaussian samples (Chen, Wiesel, Eldar and Hero 2010), as scikit-learn's OAS."""

    def fit(self, samples: Samples) -> Mahalanobis:
        """Shrink the empirical covariance by the estimated amount."""
        return _shrunk(samples, oracle_approximating_amount(samples))


def ledoit_wolf_amount(samples: Samples) -> float:
    """Return the shrinkage of Ledoit and Wolf 2004, in [0, 1], by eigenvalues and lengths alone."""
    n, d = samples.count, samples.dimension
    square = float(np.sum(samples.spectrum.variances**2))
    delta = square - samples.total_variance**2 / d
    beta = (float(np.sum(samples.norms**2)) / n - square) / n
    return min(beta, delta) / delta if delta > 0 and beta > 0 else 0.0


def oracle_approximating_amount(samples: Samples) -> float:
    """Return the shrinkage of Chen et al. 2010, equation 23, without its terms of order 1 / dim."""
    n, d = samples.count, samples.dimension
    alpha = float(np.sum(samples.spectrum.variances**2)) / d**2
    squared_mean = (samples.total_variance / d) ** 2
    denominator = (n + 1) * (alpha - squared_mean / d)
    return min((alpha + squared_mean) / denominator, 1.0) if denominator > 0 else 1.0


def _shrunk(samples: Samples, amount: float) -> Mahalanobis:
    rest = amount * samples.total_variance / samples.dimension
    spectrum = samples.spectrum
    if len(spectrum.variances) < samples.dimension and rest == 0:
        raise UserError(
            f"{samples.count} samples that do not vary enough give no covariance matrix of "
            f"{samples.dimension} features: use more training images or covariance=identity"
        )
    return Mahalanobis(
        mean=samples.mean,
        directions=spectrum.directions,
        variances=(1 - amount) * spectrum.variances + rest,
        rest=rest,
    )
