"""What the estimators ask of the vectors that they are fitted on."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gad_bench.gaussian.factor import Factor
from gad_bench.gaussian.spectrum import Spectrum

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]


class Statistics(Protocol):
    """Sums over vectors: of `Samples`, which are at hand, or of `Moments`, seen once and let go.

    All are divided by the number of vectors. S is their covariance matrix, m their mean.
    """

    @property
    def count(self) -> int:
        """The number of vectors."""

    @property
    def dimension(self) -> int:
        """The length of a vector."""

    @property
    def mean(self) -> Vector:
        """The mean m [dim]."""

    @property
    def variances(self) -> Vector:
        """The variance of each feature [dim]; exactly 0 for one that is the same in all vectors."""

    @property
    def total_variance(self) -> float:
        """The trace of S."""

    @property
    def squared_norm(self) -> float:
        """The sum of S's squared elements."""

    @property
    def fourth_moment(self) -> float:
        """The mean of |x - m|^4."""

    @property
    def covariance(self) -> Matrix:
        """The matrix S [dim, dim]."""

    @property
    def spectrum(self) -> Spectrum:
        """The eigenvalues of S that are not zero, and their directions."""

    def factor(self, share: float, rest: float) -> Factor:
        """Return the triangular factor of share S + rest I."""


def unvarying(samples: Statistics) -> str:
    """Return the words for samples from which nothing can be learnt."""
    if samples.count == 1:
        return "one sample alone"
    return f"{samples.count} samples that do not vary enough"
