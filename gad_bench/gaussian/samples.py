"""The vectors that a distribution is fitted on, with what their estimators share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gad_bench.base.errors import UserError
from gad_bench.gaussian.factor import (
    Factor,
    factor_of_covariance,
    factor_of_rows,
    triangle_of_rows,
)
from gad_bench.gaussian.spectrum import (
    Spectrum,
    spectrum_of_covariance,
    spectrum_of_gram,
    spectrum_of_rows,
)
from gad_bench.gaussian.statistics import Matrix, Vector

Rows = NDArray[np.intp]

BATCH_VALUES = 2**22
"""Numbers that are converted to float64 at once: 32 MiB."""
CANCELLED = 1e6
"""How much of an inner product may cancel when it is centred again: some six of sixteen digits."""


class Samples:
    """Vectors [samples, dim], of which float64 copies are made batch by batch.

    What is derived from them is computed when first asked for, and once. With fewer samples than
    dimensions it comes from their Gram matrix; subsets made by `take` share it: that of a fold is a
    part of its category's, centred again. With more samples it comes from sums over batches, in
    memory that depends on the dimension alone. All sums are over the samples less their mean.
    """

    def __init__(self, source: ArrayLike, rows: Rows | None = None) -> None:
        self._source = np.atleast_2d(np.asarray(source))
        self._rows = rows
        self._step: Callable[[Matrix], Matrix] | None = None
        self._parent: tuple[Samples, Rows] | None = None

    def take(self, rows: Rows) -> Samples:
        """Return some of the samples, which share this one's Gram matrix."""
        taken = Samples(self._source, rows if self._rows is None else self._rows[rows])
        taken._step, taken._parent = self._step, (self, rows)
        return taken

    def map(self, step: Callable[[Matrix], Matrix]) -> Samples:
        """Return the samples that a map of [any, dim] to [any, new dim] makes of these."""
        mapped, before = Samples(self._source, self._rows), self._step
        mapped._step = step if before is None else lambda values: step(before(values))
        return mapped

    @cached_property
    def count(self) -> int:
        """The number of samples."""
        return len(self._source if self._rows is None else self._rows)

    @cached_property
    def dimension(self) -> int:
        """The length of a sample."""
        return self._convert(slice(0, 0)).shape[1]

    @cached_property
    def values(self) -> Matrix:
        """All samples at once [samples, dim].

        Raises:
            UserError: there is no sample, or one is not finite.
        """
        values = self._convert(slice(None))
        self._check(values.sum())
        return values

    @cached_property
    def centred(self) -> Matrix:
        """All samples less their mean [samples, dim]."""
        return self.values - self.mean

    @cached_property
    def mean(self) -> Vector:
        """The mean [dim], to the last digit that of the samples where these are all the same.

        Raises:
            UserError: there is no sample, or one is not finite.
        """
        first = self._convert(slice(0, 1)).sum(axis=0)
        total = _sum((batch - first).sum(axis=0) for batch in self._batches())
        mean: Vector = first + total / self.count
        self._check(mean.sum())
        return mean

    @cached_property
    def variances(self) -> Vector:
        """The variance of each feature [dim]; exactly 0 for one that is the same in all samples."""
        return _sum(np.einsum("nd,nd->d", c, c) for c in self._centred()) / self.count

    @cached_property
    def total_variance(self) -> float:
        """The trace of the covariance matrix."""
        return float(self.variances.sum())

    @cached_property
    def fourth_moment(self) -> float:
        """The mean of |x - m|^4."""
        return float(_sum((_squared_lengths(c) ** 2).sum() for c in self._centred())) / self.count

    @cached_property
    def squared_norm(self) -> float:
        """The sum of the covariance matrix's squared elements."""
        if self.is_wide:
            return float(np.sum(self.gram**2)) / self.count**2
        return float(np.sum(self.covariance**2))

    @cached_property
    def covariance(self) -> Matrix:
        """The covariance matrix [dim, dim]."""
        return _sum(c.T @ c for c in self._centred()) / self.count

    @cached_property
    def gram(self) -> Matrix:
        """The inner products of the samples less their mean [samples, samples]."""
        if self._parent is None:
            return self.centred @ self.centred.T
        parent, rows = self._parent
        inner = parent.gram[np.ix_(rows, rows)]
        means = inner.mean(axis=0)
        gram = inner - means[:, None] - means[None, :] + means.mean()
        if inner.diagonal().max(initial=0) > CANCELLED * gram.diagonal().mean():
            return self.centred @ self.centred.T
        return gram

    @cached_property
    def spectrum(self) -> Spectrum:
        """The covariance matrix's eigenvalues that are not zero, and their directions.

        By way of the smaller of the two products of the samples; by the samples themselves where
        the product cannot resolve the small eigenvalues.
        """
        if self.is_wide:
            spectrum = spectrum_of_gram(self.gram, self.centred)
        else:
            spectrum = spectrum_of_covariance(self.covariance)
        rank = min(self.count - 1, int(np.count_nonzero(self.variances)))
        if spectrum.resolved >= rank:
            return spectrum
        rows = self.centred if self.is_wide else triangle_of_rows(self._centred(), self.dimension)
        return spectrum_of_rows(rows, self.count)

    @property
    def is_wide(self) -> bool:
        """Whether there are fewer samples than dimensions."""
        return self.count < self.dimension

    def factor(self, share: float, rest: float) -> Factor:
        """Return the triangular factor of share S + rest I.

        From the matrix; from the samples themselves where that is not accurate enough.
        """
        matrix = share * self.covariance
        matrix.flat[:: self.dimension + 1] += rest
        factor = factor_of_covariance(matrix)
        if factor.is_accurate:
            return factor
        return factor_of_rows(self._weighted(share, rest), self.dimension, self.count)

    def _weighted(self, share: float, rest: float) -> Iterator[Matrix]:
        """Yield rows whose products sum to share S + rest I."""
        if rest > 0:
            yield np.sqrt(rest) * np.eye(self.dimension)
        for centred in self._centred():
            yield np.sqrt(share / self.count) * centred

    def _convert(self, part: slice) -> Matrix:
        chosen = self._source[part if self._rows is None else self._rows[part]]
        values = chosen.astype(np.float64, copy=False)
        return values if self._step is None else self._step(values)

    def _batches(self) -> Iterator[Matrix]:
        size = max(BATCH_VALUES // max(self._source.shape[1], 1), 1)
        if self.count <= size:
            yield self.values
            return
        for start in range(0, self.count, size):
            yield self._convert(slice(start, start + size))

    def _centred(self) -> Iterator[Matrix]:
        if "centred" in self.__dict__ or self.is_wide:
            yield self.centred
            return
        for batch in self._batches():
            yield batch - self.mean

    def _check(self, total: float) -> None:
        """Refuse samples by a sum over them, which is finite if all are."""
        if self.count == 0:
            raise UserError("no sample to fit: the training set is empty")
        if not np.isfinite(total):
            wrong = ~np.isfinite(self._convert(slice(None))).all(axis=1)
            raise UserError(f"sample {int(np.argmax(wrong))} of {self.count} is not finite")


def _squared_lengths(vectors: Matrix) -> Vector:
    return np.einsum("nd,nd->n", vectors, vectors)


def _sum(parts: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    parts = iter(parts)
    total = np.array(next(parts))
    for part in parts:
        total += part
    return total
