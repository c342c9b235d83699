"""How well heat maps find the defects' pixels: exact figures, over any number of images.

Only the defects' pixels are kept. The many pixels without a defect pass by in blocks; what is
needed of them is how many lie below each defective pixel's value, and counts add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.arrays import join_up
from gad_bench.base.errors import UserError

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
Vector = NDArray[np.float64]
Counts = NDArray[Any]  # whole numbers, as floats where they were weighted

FALSE_POSITIVE_LIMIT = 0.3
BLOCK = 2**25
"""Pixels that are sorted at once: 128 MiB, and as much again while they are gathered."""


def pixel_metrics(
    images: Iterable[tuple[Map, Mask]], limits: Sequence[float] = (FALSE_POSITIVE_LIMIT,)
) -> dict[str, float]:
    """Return figures by pixel; nothing where no pixel is defective, or every one.

    - pixel_auroc, pixel_ap: AUROC and average precision with every pixel as a sample.
    - aupro: the area under the per-region overlap (the share of a connected defect's pixels that
      reach the threshold, averaged over the defects) against the false positive rate of pixels, up
      to a limit of the rate and divided by it. Pixels that touch at a corner are connected. At 0.3
      it is called so; at another limit, as 0.05, aupro_0.05.
    - pixel_f1, pixel_f1_threshold: the highest F1 of any threshold, and the threshold.

    Source: Bergmann, Batzner, Fauser, Sattlegger and Steger 2021, "The MVTec anomaly detection
    dataset", section 5.2.

    Args:
        images: each image's heat map [height, width], higher is more anomalous, and the mask of its
            defects [height, width], empty for a good image. Iterated over twice.
        limits: of the false positive rate, each in (0, 1].

    Raises:
        UserError: a limit is none.
    """
    named = by_name("aupro", limits)
    ranked = rank_defective(images)
    return measure(*ranked, named) if ranked else {}


def by_name(metric: str, limits: Sequence[float]) -> dict[str, float]:
    """Return the limits of the false positive rate by the names of a metric's figures.

    Raises:
        UserError: a limit is none.
    """
    return {limited_name(metric, limit): limit for limit in limits}


def rank_defective(images: Iterable[tuple[Map, Mask]]) -> tuple[Ranks, Defective] | None:
    """Return where the defective pixels' values lie, and those pixels; None where a kind lacks."""
    defective = gather(images)
    if defective is None:
        return None
    ranks = rank(images, defective.values)
    return (ranks, defective) if ranks.total else None


def measure(ranks: Ranks, defective: Defective, limits: Mapping[str, float]) -> dict[str, float]:
    """Return the figures of `pixel_metrics`.

    Args:
        ranks: where the defective pixels' values lie.
        defective: those pixels.
        limits: of the false positive rate, by the figure's name.
    """
    f1 = ranks.f1(defective.counts)
    best = len(f1) - 1 - int(np.argmax(f1[::-1]))
    return {
        "pixel_auroc": float(ranks.auroc(defective.counts)),
        "pixel_ap": float(ranks.average_precision(defective.counts)),
        **{
            name: float(ranks.limited_area(defective.overlap, limit))
            for name, limit in limits.items()
        },
        "pixel_f1": float(f1[best]),
        "pixel_f1_threshold": float(defective.values[best]),
    }


def limited_name(area: str, limit: float) -> str:
    """Return what an area up to a limit of the false positive rate is called.

    Raises:
        UserError: the limit is not in (0, 1].
    """
    if not 0 < limit <= 1:
        raise UserError(f"a limit of the false positive rate must lie in (0, 1], not {limit}")
    return area if limit == FALSE_POSITIVE_LIMIT else f"{area}_{limit:g}"


@dataclass(frozen=True)
class Defective:
    """The defects' pixels.

    Attributes:
        values: their distinct values in the heat maps [values], rising.
        counts: how many have each value [values].
        overlap: what those add to the mean overlap of the defects [values]; the sum is 1.
    """

    values: Map
    counts: NDArray[np.intp]
    overlap: Vector


@dataclass(frozen=True)
class Ranks:
    """Where the defective pixels' values lie among all the other pixels' values.

    The last axis is that of the values; any before it are of several test sets, as resamples are.

    Attributes:
        total: the number of other pixels, [..., 1] of several test sets.
        below: how many of them have a lower value [..., values].
        not_above: how many have a lower or the same value [..., values].
    """

    total: int | Vector
    below: Counts
    not_above: Counts

    def auroc(self, counts: Counts) -> Vector:
        """Return P(defective > other) + P(equal) / 2 [...]."""
        defective = counts.astype(np.float64)
        wins = _dot((self.below + self.not_above) / (2 * self.total), defective)
        return np.asarray(wins / defective.sum(axis=-1))

    def average_precision(self, counts: Counts) -> Vector:
        """Return the mean precision over recall's steps, as scikit-learn defines it [...]."""
        true = _reached(counts)
        reached = true + self.total - self.below
        precision = np.divide(true, reached, out=np.zeros(true.shape), where=reached > 0)
        return np.asarray(_dot(precision, counts.astype(np.float64)) / counts.sum(axis=-1))

    def f1(self, counts: Counts) -> Vector:
        """Return F1 with each value as the threshold [..., values]."""
        true = _reached(counts)
        defective = counts.sum(axis=-1, keepdims=True)
        return np.asarray(2 * true / (true + self.total - self.below + defective))

    def limited_area(self, steps: Vector, limit: float) -> Vector:
        """Return the area under a curve over the false positive rate, up to a limit, by that limit.

        As the threshold falls past a value the curve rises by its step, between the rates at which
        the pixels above the value and those that equal it are counted; straight where these differ.
        So each step holds from its rate to the limit, a sum without any curve.
        """
        first = (self.total - self.not_above) / self.total
        last = (self.total - self.below) / self.total
        rising = np.maximum(np.minimum(last, limit) - first, 0)
        slope = np.divide(rising, last - first, out=np.zeros_like(first), where=last > first)
        held = np.maximum(limit - last, 0) * (first < limit)
        return np.asarray(_dot(steps, held + slope * rising / 2) / limit)


def _reached(counts: Counts) -> Counts:
    """Return how many defective pixels reach each value."""
    return np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]


def _dot(first: Vector, second: Vector) -> Vector:
    """Return the sums of products over the last axis."""
    return np.asarray(np.einsum("...v,...v->...", first, second))


def gather(images: Iterable[tuple[Map, Mask]]) -> Defective | None:
    """Keep the defective pixels of all images, ordered by value."""
    found = [overlap_shares(heat, mask) for heat, mask in images if mask.any()]
    if not found:
        return None
    values = np.concatenate([values for values, _, _ in found])
    shares = np.concatenate([shares for _, shares, _ in found])
    order = np.argsort(values)
    values, shares = values[order], shares[order]
    first = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    counts = np.diff(np.append(first, len(values)))
    overlap = np.add.reduceat(shares, first) / sum(defects for _, _, defects in found)
    return Defective(values[first], counts, overlap)


def overlap_shares(heat: Map, mask: Mask) -> tuple[Map, Vector, int]:
    """Return the defective pixels' values, each one's share of its defect, and how many defects."""
    import cv2

    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    own = labels[mask]
    return heat[mask], 1 / np.bincount(own)[own], count - 1


def rank(images: Iterable[tuple[Map, Mask]], values: Map) -> Ranks:
    """Count the pixels without a defect below and up to each of some values."""
    total, below, not_above = 0, np.zeros(len(values), np.intp), np.zeros(len(values), np.intp)
    for block in join_up((heat[~mask] for heat, mask in images), BLOCK):
        block.sort()
        total += len(block)
        below += np.searchsorted(block, values, side="left")
        not_above += np.searchsorted(block, values, side="right")
    return Ranks(total, below, not_above)
