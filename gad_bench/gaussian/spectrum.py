"""Eigenvalues and directions of a covariance matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RESOLVED = 1e-6
"""An eigenvalue this far below the largest has lost some ten digits in a product of the samples."""


@dataclass(frozen=True)
class Spectrum:
    """The eigenvalues that are not zero of a covariance matrix, and their directions.

    Attributes:
        variances: [rank], falling.
        directions: [dim, rank], orthonormal columns.
    """

    variances: Array
    directions: Array

    @property
    def resolved(self) -> int:
        """The number of eigenvalues that a product of the samples gives with full accuracy."""
        return int(np.count_nonzero(self.variances > RESOLVED * self.variances[:1]))

    def beyond_rounding(self, count: int) -> Spectrum:
        """Return what rounding in the variances' precision does not explain, of so many samples."""
        size = max(count, len(self.directions))
        rounding = (np.finfo(self.variances.dtype).eps * size) ** 2
        kept = self.variances > rounding * self.variances[:1]
        return Spectrum(self.variances[kept], self.directions[:, kept])


def spectrum_of_covariance(covariance: Array) -> Spectrum:
    """Decompose a covariance matrix [dim, dim]."""
    variances, directions = np.linalg.eigh(covariance)
    kept = _not_rounding(variances, len(covariance))
    return Spectrum(variances[kept][::-1], directions[:, kept][:, ::-1])


def spectrum_of_gram(gram: Array, centred: Array) -> Spectrum:
    """Decompose by way of the inner products [samples, samples] of samples [samples, dim]."""
    count, dimension = centred.shape
    eigenvalues, vectors = np.linalg.eigh(gram)
    kept = _not_rounding(eigenvalues, max(count, dimension))
    eigenvalues, vectors = eigenvalues[kept][::-1], vectors[:, kept][:, ::-1]
    return Spectrum(eigenvalues / count, centred.T @ (vectors / np.sqrt(eigenvalues)))


def spectrum_of_rows(rows: Array, count: int) -> Spectrum:
    """Decompose rows' rows / count by rows [any, dim] themselves, whose product is never formed.

    The product squares the condition number: a small eigenvalue loses twice the digits in it.
    """
    _, lengths, directions = np.linalg.svd(rows, full_matrices=False)
    kept = lengths > np.finfo(np.float64).eps * max(count, rows.shape[1]) * lengths[:1]
    return Spectrum(lengths[kept] ** 2 / count, directions[kept].T)


def whole_spectrum(rows: NDArray[np.floating]) -> Spectrum:
    """Decompose rows' rows / count by rows [count, dim], in the rows' own precision.

    Returns:
        All min(count, dim) components, those without any variance but rounding among them.
    """
    from scipy.linalg import svd  # numpy's own computes in double precision, whatever it is given

    _, lengths, directions = svd(rows, full_matrices=False, check_finite=False)
    return Spectrum(lengths**2 / len(rows), directions.T.astype(np.float64))


def _not_rounding(eigenvalues: Array, size: int) -> NDArray[np.bool_]:
    """Tell which of the rising eigenvalues are more than rounding."""
    rounding = np.finfo(np.float64).eps * size * max(eigenvalues[-1], 0)
    kept: NDArray[np.bool_] = eigenvalues > rounding
    return kept
