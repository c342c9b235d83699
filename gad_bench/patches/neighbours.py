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

EXTRA = 4
"""Candidates beyond the neighbours asked for, which show that none was overlooked."""
_INDEXING = Lock()
QUERIES, ENTRIES = 1024, 4096
"""Vectors that are compared at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bank:
    """Vectors to find the nearest of, by Euclidean distance.

    faiss finds candidates in float32 (`IndexFlatL2`: a product of matrices and a selection of the
    smallest in one pass), whose distances are then computed in float64. Where rounding may have
    hidden a nearer one, a query is searched in float64 throughout. faiss holds a second copy of the
    entries, about their mean and of moderate size, so that neither cancels or overflows.

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
        wanted = min(count + EXTRA, len(self.entries))
        estimates, candidates = self._index.search(moderate, wanted)
        distances = self.distances(queries, candidates)
        order = np.argsort(distances, axis=1, kind="stable")[:, :count]
        distances = np.take_along_axis(distances, order, axis=1)
        rows = np.take_along_axis(candidates.astype(np.intp), order, axis=1)
        if wanted < len(self.entries):
            farthest = (distances[:, -1] / self._scale) ** 2
            sure = farthest <= estimates[:, -1] - self._rounding(moderate)
            unsure = np.flatnonzero(~sure & (farthest > 0))
            if len(unsure):
                distances[unsure], rows[unsure] = self._search_slowly(queries[unsure], count)
        return distances, rows

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
    def _index(self) -> Any:  # noqa: ANN401 - faiss has no types
        """What faiss made of the entries; whoever comes first makes it, the others wait."""
        with _INDEXING:
            return self._made_index

    @cached_property
    def _made_index(self) -> Any:  # noqa: ANN401 - faiss has no types
        logging.getLogger("faiss").setLevel(logging.WARNING)  # it tells how it loads itself
        import faiss

        index = faiss.IndexFlatL2(self.entries.shape[1])
        for batch in self._batches():
            index.add(self._moderate(batch))
        return index

    def _batches(self) -> Iterator[Patches]:
        for begin in range(0, len(self.entries), ENTRIES):
            yield self.entries[begin : begin + ENTRIES]


def _lengths(vectors: Array) -> Array:
    return np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
