"""Triangular factors of covariance matrices, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ACCURATE = 1e7
"""The condition number up to which Cholesky's distances keep some nine digits."""


@dataclass(frozen=True)
class Factor:
    """An upper triangular R with R'R = S.

    Attributes:
        triangle: R [dim, dim].
        condition: estimated condition number of R with columns of length one. Scaling the features
            leaves it as it is, as it leaves the accuracy of distances.
        limit: the condition number from which on S is singular to working precision.
    """

    triangle: Array
    condition: float
    limit: float

    @property
    def is_singular(self) -> bool:
        """Whether S has no inverse that could be told from rounding."""
        return not self.condition < self.limit

    @property
    def is_accurate(self) -> bool:
        """Whether a factor made from S itself, not from the samples, is as good as theirs."""
        return self.condition**2 < ACCURATE * len(self.triangle)


def factor_of_covariance(covariance: Array) -> Factor:
    """Factor S by Cholesky's method; the condition is infinite where that fails."""
    lengths: Array = np.sqrt(covariance.diagonal())
    scale = np.where(lengths > 0, lengths, 1.0)
    correlation = covariance / scale / scale[:, None]
    limit = 1 / np.sqrt(np.finfo(np.float64).eps * len(covariance))
    try:
        triangle = np.asarray(np.linalg.cholesky(correlation, upper=True), dtype=np.float64)
    except np.linalg.LinAlgError:
        return Factor(np.zeros_like(covariance), np.inf, limit)
    return Factor(triangle * scale, _condition(triangle), limit)


def factor_of_rows(batches: Iterable[Array], dimension: int, count: int) -> Factor:
    """Factor the sum of rows' rows over batches of rows [any, dim], by orthogonal transformations.

    The products are never formed, so that the condition number is not squared.
    """
    triangle = triangle_of_rows(batches, dimension)
    lengths = np.linalg.norm(triangle, axis=0)
    scaled = triangle / np.where(lengths > 0, lengths, 1.0)
    limit = 1 / (np.finfo(np.float64).eps * max(dimension, count))
    return Factor(triangle, _condition(scaled), limit)


def triangle_of_rows(batches: Iterable[Array], dimension: int) -> Array:
    """Return an upper triangular R [at most dim, dim] with R'R the sum of rows' rows."""
    triangle = np.empty((0, dimension))
    for rows in batches:
        triangle = np.asarray(np.linalg.qr(np.concatenate([triangle, rows]), mode="r"))
    return triangle


def _condition(triangle: Array) -> float:
    from scipy.linalg import lapack

    if triangle.shape[0] < triangle.shape[1]:
        return np.inf
    reciprocal, _ = lapack.dtrcon(triangle, norm="1", uplo="U", diag="N")
    return float(1 / reciprocal) if reciprocal > 0 else np.inf
