"""Statistics of vectors that are seen once and let go: summed batch by batch, merged at will."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from gad_bench.base.errors import UserError
from gad_bench.gaussian.factor import Factor, factor_of_covariance
from gad_bench.gaussian.spectrum import Spectrum, spectrum_of_covariance
from gad_bench.gaussian.statistics import Matrix, Vector


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Sums over vectors x of dimension dim, with y = x - mean.

    A sum of moments is that of all their vectors: `reduce(add, map(Moments.of, batches))` holds no
    more than one batch. Every estimator fits them that needs no more than mean and scatter.
    Source: Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for computing
    sample variances", for mean and scatter; the other two follow from (y - d) likewise.

    Attributes:
        count: the number of vectors.
        mean: their mean [dim].
        scatter: the sum of y y' [dim, dim].
        cubic: the sum of |y|^2 y [dim].
        quartic: the sum of |y|^4, which Ledoit and Wolf's amount needs.
    """

    count: int
    mean: Vector
    scatter: Matrix
    cubic: Vector
    quartic: float

    @classmethod
    def of(cls, vectors: ArrayLike) -> Moments:
        """Sum over vectors [vectors, dim].

        Raises:
            UserError: there is none, or one of them is not finite.
        """
        values = np.array(vectors, dtype=np.float64, ndmin=2)
        count = len(values)
        if count == 0:
            raise UserError("no vector to sum over: leave empty batches out")
        if not np.isfinite(values).all():
            wrong = int(np.argmax(~np.isfinite(values).all(axis=1)))
            raise UserError(f"vector {wrong} of {count} is not finite")
        first = values[0].copy()
        values -= first
        shift = values.mean(axis=0)
        values -= shift
        squares = np.einsum("nd,nd->n", values, values)
        return cls(
            count=count,
            mean=first + shift,
            scatter=values.T @ values,
            cubic=squares @ values,
            quartic=float(squares @ squares),
        )

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of both's vectors.

        Raises:
            UserError: their vectors differ in length.
        """
        if self.dimension != other.dimension:
            raise UserError(
                f"moments of vectors of length {self.dimension} and {other.dimension} "
                "cannot be merged"
            )
        mean = self.mean + (other.mean - self.mean) * (other.count / (self.count + other.count))
        one, two = self._about(mean), other._about(mean)
        return Moments(
            count=one.count + two.count,
            mean=mean,
            scatter=one.scatter + two.scatter,
            cubic=one.cubic + two.cubic,
            quartic=one.quartic + two.quartic,
        )

    def _about(self, centre: Vector) -> Moments:
        """Return the same sums with y = x - centre."""
        step = centre - self.mean
        square, trace = float(step @ step), float(np.trace(self.scatter))
        carried = self.scatter @ step
        return Moments(
            count=self.count,
            mean=centre,
            scatter=self.scatter + self.count * np.outer(step, step),
            cubic=self.cubic - (trace + self.count * square) * step - 2 * carried,
            quartic=self.quartic
            - 4 * float(step @ self.cubic)
            + 4 * float(step @ carried)
            + 2 * square * trace
            + self.count * square**2,
        )

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return len(self.mean)

    @cached_property
    def covariance(self) -> Matrix:
        """The covariance matrix [dim, dim]."""
        return self.scatter / self.count

    @property
    def variances(self) -> Vector:
        """The variance of each feature [dim]; exactly 0 for one that is the same in all vectors."""
        return self.covariance.diagonal()

    @property
    def total_variance(self) -> float:
        """The trace of the covariance matrix."""
        return float(self.variances.sum())

    @property
    def squared_norm(self) -> float:
        """The sum of the covariance matrix's squared elements."""
        return float(np.sum(self.covariance**2))

    @property
    def fourth_moment(self) -> float:
        """The mean of |x - m|^4."""
        return self.quartic / self.count

    @cached_property
    def spectrum(self) -> Spectrum:
        """The covariance matrix's eigenvalues that are not zero, and their directions."""
        return spectrum_of_covariance(self.covariance)

    def factor(self, share: float, rest: float) -> Factor:
        """Return the triangular factor of share S + rest I."""
        return factor_of_covariance(share * self.covariance + rest * np.eye(self.dimension))
