"""False positive rates by the Gaussian assumption: the law of a block's Mahalanobis distance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
