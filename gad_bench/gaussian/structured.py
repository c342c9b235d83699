"""Covariance matrices of few parameters: factors, or few partial correlations."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.gaussian.metric import Projected, SpectralMahalanobis
from gad_bench.gaussian.projection import standardisation
from gad_bench.gaussian.reduction import check_share, first_beyond
from gad_bench.gaussian.samples import Samples
from gad_bench.gaussian.statistics import Matrix, Statistics

COLUMN_TOLERANCE = 1e-8
"""Of the regression for each column; with scikit-learn's own, collinear features never converge."""


@dataclass(frozen=True, kw_only=True)
class ProbabilisticPrincipalComponents:
    """The leading principal components, and one variance for all directions beyond them.

    Source: Tipping and Bishop 1999, "Probabilistic principal component analysis", equations 7
    and 8.

    Attributes:
        threshold: the share of the variance that the leading components just exceed.
    """

    threshold: float

    def __post_init__(self) -> None:
        check_share("covariance.threshold", self.threshold)

    def fit(self, samples: Statistics) -> SpectralMahalanobis:
        """Estimate the components and the variance of the rest.

        Raises:
            UserError: the components leave no variance for the rest.
        """
        spectrum = samples.spectrum
        first = first_beyond(spectrum.variances, self.threshold)
        count = len(spectrum.variances) if first is None else first + 1
        beyond = samples.dimension - count
        rest = float(spectrum.variances[count:].sum()) / beyond if beyond else 0.0
        if beyond and rest == 0:
            raise UserError(
                f"covariance.threshold={self.threshold} takes all {count} components of the "
                f"{samples.count} samples and leaves no variance for the other {beyond} of "
                f"{samples.dimension} dimensions: lower it"
            )
        return SpectralMahalanobis(
            mean=samples.mean,
            directions=spectrum.directions[:, :count],
            variances=spectrum.variances[:count],
            rest=rest,
        )


@dataclass(frozen=True, kw_only=True)
class FactorAnalysis:
    """Some common factors, and a variance of its own for each feature.

    By scikit-learn's `FactorAnalysis`, on standardised features. A feature that is the same in all
    samples is left out.
    Source: Barber 2012, "Bayesian reasoning and machine learning", algorithm 21.1.

    Attributes:
        factors: their number; fewer where it exceeds half the number of features or of samples.
        max_iterations: of the maximisation of the likelihood.
    """

    factors: int
    max_iterations: int

    def __post_init__(self) -> None:
        if self.factors < 1:
            raise UserError(f"covariance.factors must be at least 1, not {self.factors}")

    def fit(self, samples: Statistics) -> Projected:
        """Estimate loadings and variances by maximum likelihood.

        Raises:
            UserError: the maximisation does not converge.
        """
        from sklearn import decomposition
        from sklearn.exceptions import ConvergenceWarning

        if not isinstance(samples, Samples):
            raise UserError("covariance=factor_analysis needs the vectors, not their moments alone")
        scaling = standardisation(samples)
        factors = max(min(self.factors, len(scaling.features) // 2, samples.count // 2), 1)
        model = decomposition.FactorAnalysis(
            n_components=factors, max_iter=self.max_iterations, svd_method="lapack"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            try:
                model.fit(scaling.apply(samples.values))
            except ConvergenceWarning as error:
                raise UserError(
                    f"covariance=factor_analysis does not converge in {self.max_iterations} "
                    "iterations: raise covariance.max_iterations or lower covariance.factors"
                ) from error
        deviations = scaling.deviations * np.sqrt(model.noise_variance_)
        return Projected(
            projection=replace(scaling, deviations=deviations),
            metric=_identity_plus(model.components_ / np.sqrt(model.noise_variance_)),
        )


@dataclass(frozen=True, kw_only=True)
class GraphicalLasso:
    """A precision matrix whose elements off the diagonal are few, by a penalty on them.

    By scikit-learn's `graphical_lasso`, on correlations, so that one penalty suits features of any
    scale. A feature that is the same in all samples is left out.
    Source: Friedman, Hastie and Tibshirani 2008, "Sparse inverse covariance estimation with the
    graphical lasso".

    Attributes:
        alpha: the penalty, in (0, 1).
        max_iterations: of the block coordinate descent.
    """

    alpha: float
    max_iterations: int

    def __post_init__(self) -> None:
        check_share("covariance.alpha", self.alpha)

    def fit(self, samples: Statistics) -> Projected:
        """Estimate the precision matrix of the correlations.

        Raises:
            UserError: the descent does not converge.
        """
        scaling = standardisation(samples)
        kept, scale = scaling.features, scaling.deviations
        correlation = samples.covariance[np.ix_(kept, kept)] / scale / scale[:, None]
        eigenvalues, directions = np.linalg.eigh(self._precision(correlation))
        if not eigenvalues[0] > 0:
            raise self._no_convergence()
        metric = SpectralMahalanobis(
            mean=np.zeros(len(kept)), directions=directions, variances=1 / eigenvalues, rest=0.0
        )
        return Projected(projection=scaling, metric=metric)

    def _precision(self, correlation: Matrix) -> Matrix:
        from sklearn.covariance import graphical_lasso

        if len(correlation) == 1:
            return correlation
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                _, precision = graphical_lasso(
                    correlation, self.alpha, max_iter=self.max_iterations, enet_tol=COLUMN_TOLERANCE
                )
            except FloatingPointError as error:
                raise self._no_convergence() from error
        if any("graphical_lasso: did not converge" in str(each.message) for each in caught):
            raise self._no_convergence()
        symmetric: Matrix = (precision + precision.T) / 2
        return symmetric

    def _no_convergence(self) -> UserError:
        return UserError(
            f"covariance=graphical_lasso does not converge in {self.max_iterations} iterations "
            f"with covariance.alpha={self.alpha}: raise either, or use covariance=ledoit_wolf"
        )


def _identity_plus(loadings: Matrix) -> SpectralMahalanobis:
    """Return the distance from 0 by I + loadings' loadings, for loadings [factors, dim]."""
    _, lengths, directions = np.linalg.svd(loadings, full_matrices=False)
    return SpectralMahalanobis(
        mean=np.zeros(loadings.shape[1]),
        directions=directions.T,
        variances=1 + lengths**2,
        rest=1.0,
    )
