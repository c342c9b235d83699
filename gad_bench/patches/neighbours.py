"""Exact nearest neighbours in a bank of vectors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gad_bench.patches.maps import Patches

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

QUERIES, ENTRIES = 1024, 4096
"""Vectors that are compared at once."""
EXTRA, EXTRA_LEADING = 4, 15
"""Candidates beyond the neighbours asked for, which show that none was overlooked."""
LEADING_SHARE, MOST_LEADING = 0.95, 0.5
"""Of the variance that the leading directions have, and of the directions that they may be."""
SAMPLE = 1024
"""Entries that the directions are those of; a bank of fewer is searched as it is."""
COPIES = 2 + MOST_LEADING
"""How often a bank is in memory while it is searched, at most."""
_INDEXING = Lock()


@dataclass(frozen=True, eq=False)
class _Index:
    """What faiss holds of the entries, by which squared distances are estimated from below.

    Attributes:
        extra: candidates beyond the neighbours asked for.
        directions: orthonormal [dim, leading] of which coordinates are kept, and with them the
            length of the rest, which brings no two vectors farther apart; None for all of the dim.
        flat: faiss's.
    """

    extra: int
    directions: Array | None
    flat: Any

    def add(self, vectors: Patches) -> None:
        self.flat.add(self._shortened(vectors))

    def search(self, vectors: Patches, count: int) -> tuple[Array, Rows]:
        """Return estimates [vectors, count], rising, and whose they are."""
        estimates, rows = self.flat.search(self._shortened(vectors), count)
        return estimates.astype(np.float64), rows.astype(np.intp)

    def _shortened(self, vectors: Patches) -> Patches:
        if self.directions is None:
            return vectors
        exact = vectors.astype(np.float64)
        leading = exact @ self.directions
        rest = np.maximum(_squares(exact) - _squares(leading), 0)
        return np.column_stack([leading, np.sqrt(rest)]).astype(np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Bank:
    """Vectors to find the nearest of, by Euclidean distance.

    faiss finds candidates in float32 (`IndexFlatL2`: a product of matrices and a selection of the
    smallest in one pass), whose distances are then computed in float64. It looks first along the
    entries' leading principal directions alone, where these are few: distances in such a subspace
    are no greater than the true ones, which tells whether a nearer entry may have been overlooked.
    Then a query is searched along all directions, and where rounding leaves that open, too, in
    float64 throughout. faiss holds the entries about their mean and of moderate size, so that
    neither cancels or overflows.

    Attributes:
        entries: float32 [entries, dim].
    """

    entries: Patches

    def nearest(self, queries: Patches, count: int) -> tuple[Array, Rows]:
        """Find the nearest entries of vectors.

        Args:
            queries: float32 [queries, dim].
            count: how many; all where there are fewer.

        Returns:
            Their distances float64 [queries, count], rising, and rows in the bank.
        """
        count = min(count, len(self.entries))
        parts = [
            self._nearest(queries[begin : begin + QUERIES], count)
            for begin in range(0, len(queries), QUERIES)
        ]
        distances, rows = zip(*parts, strict=True)
        return np.concatenate(distances), np.concatenate(rows)

    def distances(self, queries: Patches, rows: Rows) -> Array:
        """Return the distances [queries, some] of vectors from entries [queries, some]."""
        found = np.empty(rows.shape)
        for column in range(rows.shape[1]):  # one at a time, in little memory
            step = queries.astype(np.float64) - self.entries[rows[:, column]]
            found[:, column] = _lengths(step)
        return found

    def _nearest(self, queries: Patches, count: int) -> tuple[Array, Rows]:
        moderate = self._moderate(queries)
        distances, rows = np.empty((len(queries), count)), np.empty((len(queries), count), np.intp)
        unsure = np.arange(len(queries))
        for index in self._indices:
            found, among, sure = self._by(index, queries[unsure], moderate[unsure], count)
            distances[unsure], rows[unsure] = found, among
            unsure = unsure[~sure]
            if not len(unsure):
                return distances, rows
        distances[unsure], rows[unsure] = self._search_slowly(queries[unsure], count)
        return distances, rows

    def _by(
        self, index: _Index, queries: Patches, moderate: Patches, count: int
    ) -> tuple[Array, Rows, NDArray[np.bool_]]:
        """Return distances, rows, and of which queries no nearer entry can have been overlooked."""
        wanted = min(count + index.extra, len(self.entries))
        bounds, candidates = index.search(moderate, wanted)
        bounds -= self._rounding(moderate)[:, None]
        distances, farthest = np.full(bounds.shape, np.inf), np.full(len(queries), np.inf)
        for column in range(wanted):
            near = np.flatnonzero(bounds[:, column] <= farthest)
            exact = self.distances(queries[near], candidates[near, column, None])
            distances[near, column] = exact[:, 0]
            if column >= count - 1:
                farthest = np.partition(distances, count - 1, axis=1)[:, count - 1]
                farthest = (farthest / self._scale) ** 2
        order = np.argsort(distances, axis=1, kind="stable")[:, :count]
        sure = (farthest <= bounds[:, -1]) | (farthest == 0) | (wanted == len(self.entries))
        return (
            np.take_along_axis(distances, order, axis=1),
            np.take_along_axis(candidates, order, axis=1),
            sure,
        )

    def _search_slowly(self, queries: Patches, count: int) -> tuple[Array, Rows]:
        """Search in float64, entries by entries."""
        scaled = self._centred(queries)
        best = np.full((len(queries), count), np.inf)
        rows = np.zeros((len(queries), count), np.intp)
        for begin in range(0, len(self.entries), ENTRIES):
            entries = self._centred(self.entries[begin : begin + ENTRIES])
            squared = np.einsum("nd,nd->n", entries, entries) - 2 * scaled @ entries.T
            numbers = np.broadcast_to(np.arange(begin, begin + len(entries)), squared.shape)
            both = np.concatenate([best, squared], axis=1)
            order = np.argpartition(both, count - 1, axis=1)[:, :count]
            best = np.take_along_axis(both, order, axis=1)
            rows = np.take_along_axis(np.concatenate([rows, numbers], axis=1), order, axis=1)
        distances = self.distances(queries, rows)
        order = np.argsort(distances, axis=1, kind="stable")
        return np.take_along_axis(distances, order, axis=1), np.take_along_axis(rows, order, axis=1)

    def _rounding(self, moderate: Patches) -> Array:
        """Return how far an estimate of a squared distance may be from the truth [queries]."""
        lengths = _lengths(moderate.astype(np.float64)) + self._longest
        return np.finfo(np.float32).eps * np.sqrt(moderate.shape[1]) * lengths**2

    def _centred(self, vectors: Patches) -> Array:
        return (vectors.astype(np.float64) - self._mean) / self._scale

    def _moderate(self, vectors: Patches) -> Patches:
        largest = np.finfo(np.float32).max ** 0.25  # squares still add up
        return np.clip(self._centred(vectors), -largest, largest).astype(np.float32)

    @cached_property
    def _mean(self) -> Array:
        return self.entries.mean(axis=0, dtype=np.float64)

    @cached_property
    def _scale(self) -> float:
        largest = max(float(np.abs(batch - self._mean).max()) for batch in self._batches())
        return largest or 1.0

    @cached_property
    def _longest(self) -> float:
        return max(float(_lengths(self._centred(batch)).max()) for batch in self._batches())

    def __getstate__(self) -> dict[str, Patches]:
        """Leave what is derived from the entries behind: faiss's copy of them is as large."""
        return {"entries": self.entries}

    @property
    def _indices(self) -> list[_Index]:
        """What faiss made of the entries; whoever comes first makes it, the others wait."""
        with _INDEXING:
            return self._made_indices

    @cached_property
    def _made_indices(self) -> list[_Index]:
        logging.getLogger("faiss").setLevel(logging.WARNING)  # it tells how it loads itself
        import faiss

        # A product of matrices pays from here on with one thread (facebookresearch/faiss#5109).
        faiss.cvar.distance_compute_blas_threshold = 800
        dimension = self.entries.shape[1]
        indices = [_Index(EXTRA, None, faiss.IndexFlatL2(dimension))]
        directions = self._leading()
        if directions is not None:
            flat = faiss.IndexFlatL2(directions.shape[1] + 1)
            indices.insert(0, _Index(EXTRA_LEADING, directions, flat))
        for batch in map(self._moderate, self._batches()):
            for index in indices:
                index.add(batch)
        return indices

    def _leading(self) -> Array | None:
        """Return the entries' leading principal directions [dim, leading]; None for too many."""
        step, dimension = len(self.entries) // SAMPLE, self.entries.shape[1]
        if step == 0:
            return None
        _, lengths, directions = np.linalg.svd(
            self._centred(self.entries[::step][:SAMPLE]), full_matrices=False
        )
        variance = np.cumsum(lengths**2)
        count = int(np.searchsorted(variance, LEADING_SHARE * variance[-1])) + 1
        return directions[:count].T if count < MOST_LEADING * dimension else None

    def _batches(self) -> Iterator[Patches]:
        for begin in range(0, len(self.entries), ENTRIES):
            yield self.entries[begin : begin + ENTRIES]


def _lengths(vectors: Array) -> Array:
    return np.sqrt(_squares(vectors))


def _squares(vectors: Array) -> Array:
    return np.asarray(np.einsum("nd,nd->n", vectors, vectors))
