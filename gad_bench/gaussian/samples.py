"""The vectors that a Gaussian is fitted on, with what their estimators share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gad_bench.errors import UserError

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Spectrum:
    """The eigenvalues that are not zero of a covariance matrix, and their directions.

    Attributes:
        variances: [rank], falling.
        directions: [dim, rank], orthonormal columns.
    """

    variances: Vector
    directions: Matrix


class Samples:
    """Vectors [samples, dim] in float64.

    What is derived from them is computed when first asked for, and once. Subsets made by `take`
    share the Gram matrix: that of a fold is a part of its category's, centred again.
    """

    def __init__(self, values: ArrayLike) -> None:
        self.values: Matrix = np.array(values, dtype=np.float64, ndmin=2, copy=None)
        self._parent: Samples | None = None
        self._rows: NDArray[np.intp] | None = None

    def take(self, rows: NDArray[np.intp]) -> Samples:
        """Return some of the samples."""
        taken = Samples(self.values[rows])
        taken._parent, taken._rows = self, rows
        return taken

    @property
    def count(self) -> int:
        """The number of samples."""
        return len(self.values)

    @property
    def dimension(self) -> int:
        """The length of a sample."""
        return self.values.shape[1]

    @cached_property
    def mean(self) -> Vector:
        """The mean [dim].

        Raises:
            UserError: there is no sample.
        """
        if self.count == 0:
            raise UserError("no sample to fit: the training set is empty")
        return self.values.mean(axis=0)

    @cached_property
    def centred(self) -> Matrix:
        """The samples less their mean [samples, dim]."""
        return self.values - self.mean

    @cached_property
    def deviations(self) -> Vector:
        """The standard deviation of each feature [dim], divided by the number of samples."""
        return np.sqrt(np.mean(self.centred**2, axis=0))

    @cached_property
    def gram(self) -> Matrix:
        """The inner products of the centred samples [samples, samples]."""
        if self._parent is None or self._rows is None:
            return self.centred @ self.centred.T
        inner = self._parent.gram[np.ix_(self._rows, self._rows)]
        means = inner.mean(axis=0)
        return inner - means[:, None] - means[None, :] + means.mean()

    @cached_property
    def norms(self) -> Vector:
        """The squared length of each centred sample [samples]."""
        return np.einsum("nd,nd->n", self.centred, self.centred)

    @cached_property
    def total_variance(self) -> float:
        """The trace of the covariance matrix."""
        return float(self.norms.sum() / self.count)

    @cached_property
    def spectrum(self) -> Spectrum:
        """The eigenvalues and directions of the empirical covariance, divided by the count.

        By way of the samples' Gram matrix where that is the smaller.
        """
        if self.count < self.dimension:
            return self._spectrum_of_gram()
        scatter = self.centred.T @ self.centred / self.count
        variances, directions = np.linalg.eigh(scatter)
        kept = self._kept(variances)
        return Spectrum(variances[kept][::-1], directions[:, kept][:, ::-1])

    def _spectrum_of_gram(self) -> Spectrum:
        eigenvalues, vectors = np.linalg.eigh(self.gram)
        kept = self._kept(eigenvalues)
        eigenvalues, vectors = eigenvalues[kept][::-1], vectors[:, kept][:, ::-1]
        directions = self.centred.T @ (vectors / np.sqrt(eigenvalues))
        return Spectrum(eigenvalues / self.count, directions)

    def _kept(self, eigenvalues: Vector) -> NDArray[np.bool_]:
        """Tell which eigenvalues are more than rounding."""
        precision = np.finfo(np.float64).eps * max(self.count, self.dimension)
        kept: NDArray[np.bool_] = eigenvalues > precision * max(eigenvalues[-1], 0.0)
        return kept
