"""Covariance estimators: what each makes of the samples, as a metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gad_bench.base.errors import UserError, require_choice
from gad_bench.gaussian.metric import (
    Metric,
    RootMeanSquare,
    SpectralMahalanobis,
    TriangularMahalanobis,
)
from gad_bench.gaussian.projection import varying
from gad_bench.gaussian.pseudo_inverse import DOUBLE, PRECISIONS, pseudo_inverse
from gad_bench.gaussian.statistics import Statistics, unvarying


class Covariance(Protocol):
    """An estimator of a covariance matrix."""

    def fit(self, samples: Statistics) -> Metric:
        """Estimate from samples [samples, dim].

        Raises:
            UserError: the estimate does not exist for these samples.
        """


@dataclass(frozen=True, kw_only=True)
class Identity:
    """No covariance: the root mean square distance from the mean ("L2" in the paper)."""

    def fit(self, samples: Statistics) -> RootMeanSquare:
        """Estimate the mean alone."""
        return RootMeanSquare(mean=samples.mean, weights=np.ones(samples.dimension))


@dataclass(frozen=True, kw_only=True)
class Diagonal:
    """Variances alone: the root mean square of standardised deviations ("SED" in the paper).

    A feature that is the same in all samples has no scale, and is left out.

    Attributes:
        ddof: the squared deviations' sum is divided by the number of samples less this: 0 for the
            maximum likelihood estimate, 1 for the unbiased one of the paper's numbers. The scores
            differ by a constant factor, and AUROC not at all.
    """

    ddof: int = 0

    def __post_init__(self) -> None:
        if self.ddof not in (0, 1):
            raise UserError(f"covariance.ddof must be 0 or 1, not {self.ddof}")

    def fit(self, samples: Statistics) -> RootMeanSquare:
        """Estimate mean and variances.

        Raises:
            UserError: no feature varies.
        """
        kept = varying(samples)
        weights = np.zeros(samples.dimension)
        unbiased = samples.count / (samples.count - self.ddof)  # 1 sample does not vary
        weights[kept] = 1 / np.sqrt(samples.variances[kept] * unbiased)
        return RootMeanSquare(mean=samples.mean, weights=weights)


@dataclass(frozen=True, kw_only=True)
class Empirical:
    """The maximum likelihood estimate, divided by the number of samples."""

    def fit(self, samples: Statistics) -> TriangularMahalanobis:
        """Estimate the covariance.

        Raises:
            UserError: the estimate is singular.
        """
        need_samples(samples, samples.dimension + 1, "empirical")
        constant = np.count_nonzero(samples.variances == 0)
        factor = samples.factor(1.0, 0.0)
        if constant or factor.is_singular:
            reason = f"{constant} do not vary" if constant else "some depend linearly on others"
            raise UserError(
                f"covariance=empirical: of the {samples.dimension} features {reason}, "
                "which gives a singular matrix: use covariance=ledoit_wolf or reduction=pca"
            )
        return TriangularMahalanobis(
            mean=samples.mean, triangle=factor.triangle, samples=samples.count
        )


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """(1 - amount) S + amount tr(S) / dim I, with a given amount."""

    amount: float

    def __post_init__(self) -> None:
        if not 0 < self.amount <= 1:
            raise UserError(f"covariance.amount must lie in (0, 1], not {self.amount}")

    def fit(self, samples: Statistics) -> Metric:
        """Shrink the empirical covariance by the given amount."""
        return _shrunk(samples, self.amount)


@dataclass(frozen=True, kw_only=True)
class LedoitWolf:
    """Shrinkage by the amount of least expected squared error (Ledoit and Wolf 2004).

    The paper's numbers were made with precision float32 and a cutoff of 1.1920929e-07, float32's
    spacing at 1: a pseudo-inverse, which with few samples in many dimensions leaves directions out
    that the shrinkage has just filled (of 1,792 some 1,760 for 33 toothbrushes).

    Attributes:
        precision: in which the matrix is inverted, float64 or float32.
        cutoff: an eigenvalue of up to this times the dimension times the largest one has no part in
            the distance; 0 for the whole inverse, which is not formed in float64.
    """

    precision: str = DOUBLE
    cutoff: float = 0.0

    def __post_init__(self) -> None:
        require_choice("covariance.precision", self.precision, PRECISIONS)
        if not 0 <= self.cutoff < 1:
            raise UserError(f"covariance.cutoff must lie in [0, 1), not {self.cutoff}")

    def fit(self, samples: Statistics) -> Metric:
        """Shrink the empirical covariance by the estimated amount."""
        amount = ledoit_wolf_amount(samples)
        if self.precision == DOUBLE and self.cutoff == 0:
            return _shrunk(samples, amount)
        shrunk = (1 - amount) * samples.covariance
        shrunk.flat[:: samples.dimension + 1] += amount * samples.total_variance / samples.dimension
        return pseudo_inverse(samples.mean, shrunk, self.precision, self.cutoff)


@dataclass(frozen=True, kw_only=True)
class OracleApproximating:
    """Shrinkage for Gaussian samples (Chen, Wiesel, Eldar and Hero 2010), as scikit-learn's OAS."""

    def fit(self, samples: Statistics) -> Metric:
        """Shrink the empirical covariance by the estimated amount."""
        return _shrunk(samples, oracle_approximating_amount(samples))


def ledoit_wolf_amount(samples: Statistics) -> float:
    """Return the shrinkage of Ledoit and Wolf 2004, in [0, 1], without any eigenvalue."""
    square = samples.squared_norm
    delta = square - samples.total_variance**2 / samples.dimension
    beta = (samples.fourth_moment - square) / samples.count
    rounding = np.finfo(np.float64).eps * samples.dimension * square
    return min(beta, delta) / delta if min(beta, delta) > rounding else 0.0


def oracle_approximating_amount(samples: Statistics) -> float:
    """Return the shrinkage of Chen et al. 2010, equation 23, without its terms of order 1 / dim."""
    d = samples.dimension
    alpha = samples.squared_norm / d**2
    squared_mean = (samples.total_variance / d) ** 2
    denominator = (samples.count + 1) * (alpha - squared_mean / d)
    return min((alpha + squared_mean) / denominator, 1.0) if denominator > 0 else 1.0


def need_samples(samples: Statistics, needed: int, name: str) -> None:
    """Refuse fewer samples than needed.

    Raises:
        UserError: there are fewer.
    """
    if samples.count < needed:
        raise UserError(
            f"covariance={name}: {samples.count} samples of {samples.dimension} features are too "
            f"few, it needs {needed}: use covariance=ledoit_wolf, a reduction, "
            "or more training images"
        )


def _shrunk(samples: Statistics, amount: float) -> Metric:
    share, rest = 1 - amount, amount * samples.total_variance / samples.dimension
    if samples.count < samples.dimension:
        spectrum = samples.spectrum
        if rest > 0:
            return SpectralMahalanobis(
                mean=samples.mean,
                directions=spectrum.directions,
                variances=share * spectrum.variances + rest,
                rest=rest,
            )
    else:
        factor = samples.factor(share, rest)
        if not factor.is_singular:
            return TriangularMahalanobis(mean=samples.mean, triangle=factor.triangle)
    raise UserError(
        f"no covariance matrix of {samples.dimension} features comes of {unvarying(samples)}: "
        "use more training images or covariance=identity"
    )
