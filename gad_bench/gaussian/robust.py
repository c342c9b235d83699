"""Covariance of the samples that agree with one another, whatever the others are."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.gaussian.covariance import need_samples
from gad_bench.gaussian.factor import factor_of_covariance
from gad_bench.gaussian.metric import Projected, TriangularMahalanobis
from gad_bench.gaussian.projection import standardisation
from gad_bench.gaussian.samples import Samples
from gad_bench.gaussian.statistics import Statistics

ROUNDING = 1e3 * np.finfo(np.float64).eps
"""The deviation of a standardised feature that in truth is the same in all samples."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MinimumCovarianceDeterminant:
    """The covariance of the part of the samples in which its determinant is least.

    By scikit-learn's `MinCovDet`, on standardised features, which changes nothing but rounding. A
    feature that is the same in all samples is left out.
    Source: Rousseeuw and Van Driessen 1999, "A fast algorithm for the minimum covariance
    determinant estimator".

    Attributes:
        support: the share of the samples that is trusted; None for (count + dim + 1) / 2 of them.
        seed: of the subsets that the search begins with.
    """

    support: float | None
    seed: int

    def __post_init__(self) -> None:
        if self.support is not None and not 0 < self.support <= 1:
            raise UserError(f"covariance.support must lie in (0, 1] or be null, not {self.support}")

    def fit(self, samples: Statistics) -> Projected:
        """Search for the subset of least determinant.

        Raises:
            UserError: there are too few samples, or too many are alike.
        """
        from sklearn.covariance import MinCovDet

        if not isinstance(samples, Samples):
            raise UserError("covariance=min_cov_det needs the vectors, not their moments alone")
        scaling = standardisation(samples)
        self._check_count(samples, len(scaling.features))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of singular subsets: refused below
            estimate = MinCovDet(support_fraction=self.support, random_state=self.seed)
            estimate.fit(scaling.apply(samples.values))
        factor = factor_of_covariance(estimate.covariance_)
        agreeing = estimate.raw_covariance_
        constant = agreeing.diagonal().min() < ROUNDING**2
        if constant or factor_of_covariance(agreeing).is_singular or factor.is_singular:
            raise UserError(
                "covariance=min_cov_det: the samples that agree best have a singular covariance "
                "matrix: use reduction=pca or covariance=ledoit_wolf"
            )
        metric = TriangularMahalanobis(mean=estimate.location_, triangle=factor.triangle)
        return Projected(projection=scaling, metric=metric)

    def _check_count(self, samples: Samples, dimension: int) -> None:
        trusted = 1.0 if self.support is None else self.support
        need_samples(samples, int(np.ceil((dimension + 2) / trusted)), "min_cov_det")
        if samples.count < 2 * dimension:
            log.warning(
                "covariance=min_cov_det: %d samples of %d features are few; fewer than twice "
                "as many as features leave little to tell outliers by",
                samples.count,
                dimension,
            )
