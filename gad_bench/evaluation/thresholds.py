"""Thresholds: the choice of one, the paper's at n sigma, and the law of a distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gad_bench.base.errors import UserError
from gad_bench.evaluation.metrics import check_labels

GAUSSIAN, CONFORMAL = "gaussian", "conformal"


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A wanted false positive rate, and by which methods it is sought.

    Attributes:
        fpr: the rate, in (0, 1).
        methods: of "gaussian" (a block's distance by its law) and "conformal" (the image's score by
            the images held out).
        required: whether to refuse a run that does not admit the methods; else they are left out.
    """

    fpr: float
    methods: list[str]
    required: bool

    def __post_init__(self) -> None:
        if not 0 < self.fpr < 1:
            raise UserError(f"threshold.fpr must lie in (0, 1), not {self.fpr}")
        unknown = set(self.methods) - {GAUSSIAN, CONFORMAL}
        if unknown:
            raise UserError(
                f"threshold.methods has no {', '.join(sorted(unknown))}: "
                f"choose from {GAUSSIAN}, {CONFORMAL}"
            )

    def require_held_out(self, images: Sequence[int]) -> None:
        """Refuse folds that hold no image out, where conformal thresholds are required.

        Args:
            images: the number held out, by fold.

        Raises:
            UserError: says how to hold some out.
        """
        if self.required and CONFORMAL in self.methods and not all(images):
            raise UserError(
                "threshold=conformal needs validation images that the fit does not see, and this "
                "fold holds none out: use fold=kfold, fold=cross, fold=full with "
                "fold.calibration_folds=5, or threshold=gaussian"
            )

    def require_distances(self, blocks: int) -> None:
        """Refuse scores that are no Mahalanobis distance, where Gaussian ones are required.

        Args:
            blocks: the number of those whose score is one.

        Raises:
            UserError: says what to choose instead.
        """
        if self.required and GAUSSIAN in self.methods and blocks == 0:
            raise UserError(
                "threshold=gaussian needs a Mahalanobis distance, which this detector's or "
                "covariance's score is not: use covariance=ledoit_wolf or threshold=conformal"
            )


SIGMAS = range(1, 9)
TAIL, SHARE = "tail", "share"
ROUTES = (TAIL, SHARE)


@cache
def sigma_threshold(sigma: float, dimension: int, route: str = TAIL) -> float:
    """Return the distance within which a Gaussian's vectors lie with p = erf(n / sqrt 2).

    By way of the upper tail, 1 - p, because p itself rounds to 1 from n = 9 on.
    Source: Rippel et al., ICPR 2020, section III-C.

    Args:
        sigma: n.
        dimension: degrees of freedom of the squared distance.
        route: "tail", or "share" for the way by p; see `Definitions`.
    """
    from scipy.special import chdtri, gammaincinv

    if route == SHARE:
        return math.sqrt(2 * gammaincinv(dimension / 2, math.erf(sigma / math.sqrt(2))))
    return math.sqrt(chdtri(dimension, math.erfc(sigma / math.sqrt(2))))


def rates_at_sigma(
    labels: ArrayLike,
    distances: ArrayLike,
    dimension: int,
    sigmas: Sequence[int] = SIGMAS,
    route: str = TAIL,
) -> dict[int, tuple[float, float]]:
    """Return the false and the true positive rate at each number of sigmas."""
    anomalous = check_labels(labels)
    values = np.asarray(distances, dtype=np.float64)
    rates = {}
    for sigma in sigmas:
        flagged = values > sigma_threshold(sigma, dimension, route)
        rates[sigma] = (float(flagged[~anomalous].mean()), float(flagged[anomalous].mean()))
    return rates


@dataclass(frozen=True, kw_only=True)
class DistanceLaw:
    """How far a new vector lies from the mean, if normal vectors are Gaussian.

    With the maximum likelihood covariance (divided by n) of n independent vectors in d dimensions,
    D^2 = d (n + 1) / (n - d) F(d, n - d): the new vector's Hotelling T^2 with the mean's and the
    covariance's errors (Anderson 2003, "An introduction to multivariate statistical analysis",
    theorem 5.2.2; with the covariance divided by n - 1 the factor is d (n^2 - 1) / (n (n - d))).
    Equivalently D^2 / (D^2 + n + 1) has the distribution Beta(d / 2, (n - d) / 2).

    Without a number of samples D^2 is chi-square with d degrees of freedom, as if mean and
    covariance were known. For a shrunk, structured or robust estimate that promises nothing: its
    error has no such law, and shrinkage biases the distance, by far where n is less than d. Nor
    does either hold after a reduction that was chosen by the variance of the same vectors.

    Attributes:
        dimension: d.
        samples: n, where the covariance is the maximum likelihood estimate; else None.
    """

    dimension: int
    samples: int | None = None

    def threshold(self, fpr: float) -> float:
        """Return the distance beyond which a normal vector lies with this probability."""
        from scipy.special import betaincinv, chdtri

        if self.samples is None:
            return math.sqrt(chdtri(self.dimension, fpr))
        within = betaincinv((self.samples - self.dimension) / 2, self.dimension / 2, fpr)
        return math.sqrt((self.samples + 1) * (1 - within) / within)

    def p_values(self, distances: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of a normal vector at or beyond each of the distances."""
        from scipy.special import betainc, chdtrc

        squared = np.asarray(distances, dtype=np.float64) ** 2
        if self.samples is None:
            return np.asarray(chdtrc(self.dimension, squared))
        within = (self.samples + 1) / (self.samples + 1 + squared)
        return np.asarray(betainc((self.samples - self.dimension) / 2, self.dimension / 2, within))
