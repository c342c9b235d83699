"""The greedy k-centre coreset: a few points such that all others are near one of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.process import one_thread, thread_count

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

MANTISSA = 53
"""Bits of a float64: whole numbers of no more add up exactly."""
ACTIVE_SHARE, FEWEST_ACTIVE = 16, 1024
"""One in so many points is compared with each new centre at once, and no fewer than these."""
BLOCK_VALUES = 2**17
"""Distances that are computed at once: 1 MiB, which the processor's cache holds."""


def greedy_centres(points: Array, count: int, start: int) -> Rows:
    """Choose centres, each the point that is farthest from those before it.

    The result is that of the plain algorithm, index by index; of points equally far, the first. To
    be independent of BLAS, threads and the order of sums, coordinates are rounded to whole numbers
    of as many bits as leave every sum exact, some 22 for 128 dimensions: 1e-7 of the largest.

    How: only the points farthest from the centres, one in 16, are compared with each new centre, as
    long as the farthest of them is beyond all others' last known distance, which can only shrink.
    Then the others catch up, with all new centres in one product of matrices. So the work per
    centre fits into the processor's cache, where the plain way reads all points from memory.

    Source: Sener and Savarese 2018, "Active learning for convolutional neural networks: a core-set
    approach", algorithm 1, as PatchCore uses it.

    Args:
        points: float64 [points, dim], overwritten by whole numbers.
        count: how many centres; fewer where the rest of the points coincide with them.
        start: the first centre.

    Returns:
        The centres' rows in the order of choice [at most count].
    """
    _round(points)
    search = _Search.of(points)
    chosen = added = [start]
    with one_thread(), ThreadPoolExecutor(thread_count()) as threads:
        while len(chosen) < count:
            search.catch_up(added, threads)
            if search.nearest.max() == 0:
                break
            added = search.advance(count - len(chosen))
            chosen = chosen + added
    return np.array(chosen, np.intp)


def _round(points: Array) -> None:
    """Round to whole units, a power of two, about the middle of the range, in place."""
    points -= (points.max(axis=0) + points.min(axis=0)) / 2
    bits = (MANTISSA - 2 - int(np.ceil(np.log2(points.shape[1])))) // 2
    _, exponent = np.frexp(np.abs(points).max())
    np.ldexp(points, bits - exponent, out=points)
    np.rint(points, out=points)


@dataclass(frozen=True)
class _Search:
    """Squared distances to the nearest centre; all whole numbers.

    Attributes:
        points: [points, dim].
        squares: their squared lengths [points].
        nearest: squared distance to the nearest of the centres that are caught up with [points].
    """

    points: Array
    squares: Array
    nearest: Array

    @classmethod
    def of(cls, points: Array) -> _Search:
        squares = np.einsum("nd,nd->n", points, points)
        return cls(points, squares, np.full(len(points), np.inf))

    def catch_up(self, centres: list[int], threads: ThreadPoolExecutor) -> None:
        """Compare all points with some centres."""
        opposite = -2 * self.points[centres].T
        lengths = self.squares[centres]
        size = max(BLOCK_VALUES // max(len(centres), self.points.shape[1]), 1)

        def compare(begin: int) -> None:
            block = slice(begin, begin + size)
            distances = self.points[block] @ opposite
            distances += lengths
            closest = distances.min(axis=1) + self.squares[block]
            np.minimum(self.nearest[block], closest, out=self.nearest[block])

        list(threads.map(compare, range(0, len(self.points), size)))

    def advance(self, most: int) -> list[int]:
        """Choose at least one centre and at most so many, comparing the farthest points alone."""
        active, limit = self._farthest()
        chosen = [int(np.argmax(self.nearest))]
        points, squares, nearest = self.points[active], self.squares[active], self.nearest[active]
        while len(chosen) < most:
            distances = points @ self.points[chosen[-1]]
            distances *= -2
            distances += squares
            distances += self.squares[chosen[-1]]
            np.minimum(nearest, distances, out=nearest)
            farthest = int(np.argmax(nearest))
            if nearest[farthest] <= limit:
                break
            chosen.append(int(active[farthest]))
        return chosen

    def _farthest(self) -> tuple[Rows, float]:
        """Return the points farthest from the centres, rising, and how far any other may be."""
        count = len(self.points)
        size = max(count // ACTIVE_SHARE, FEWEST_ACTIVE)
        if size >= count:
            return np.arange(count), 0.0
        order = np.argpartition(self.nearest, count - size)
        return np.sort(order[-size:]), float(self.nearest[order[:-size]].max())
