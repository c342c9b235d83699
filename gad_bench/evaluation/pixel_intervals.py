"""Bootstrap intervals of the figures by pixel, over images: a whole image is drawn or not.

A pixel's neighbours are no further evidence, so that pixels are not drawn by themselves. Each image
is first counted out over some bins of the defective pixels' values; a resample then only adds up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gad_bench.evaluation.intervals import RESAMPLES, Matrix, resamples
from gad_bench.evaluation.metrics import Vector
from gad_bench.evaluation.pixels import (
    FALSE_POSITIVE_LIMIT,
    Defective,
    Map,
    Mask,
    Ranks,
    by_name,
    measure,
    overlap_shares,
    rank_defective,
)

BINS = 500
"""By the defective pixels' share that reaches a value, and as many by the other pixels'."""


def resampled_pixel_metrics(
    images: Iterable[tuple[Map, Mask]],
    *,
    seed: int,
    limits: Sequence[float] = (FALSE_POSITIVE_LIMIT,),
    count: int = RESAMPLES,
) -> tuple[dict[str, float], dict[str, Vector]]:
    """Return `pixels.pixel_metrics`, and its figures over resamples [count]; none of one kind.

    Args:
        images: as there; iterated over three times.
        seed: of the resamples.
        limits: of the false positive rate, each in (0, 1].
        count: of the resamples.

    Raises:
        UserError: a limit is none.
    """
    named = by_name("aupro", limits)
    ranked = rank_defective(images)
    if ranked is None:
        return {}, {}
    ranks, defective = ranked
    points = measure(ranks, defective, named)
    counted = count_out(map(_beside_defects, images), *bins_of(defective, ranks))
    if not 0 < counted.anomalous.sum() < len(counted.anomalous):
        return points, {}
    drawn = resamples(counted.anomalous, seed=seed, count=count)
    return points, joined(counted.figures(weights, named) for weights in drawn)


def joined(parts: Iterable[dict[str, Vector]]) -> dict[str, Vector]:
    """Return figures over all resamples from those over some at a time."""
    drawn = [*parts]
    return {name: np.concatenate([part[name] for part in drawn]) for name in drawn[0]}


@dataclass(frozen=True)
class Counted:
    """Every image's pixels over bins, each bin a range of the defective pixels' values.

    Attributes:
        anomalous: [images] whether it has defective pixels.
        total: [images] its pixels without a defect.
        below: [images, bins] those of them below the bin.
        not_above: [images, bins] those of them below it or in it.
        counts: [images, bins] its defective pixels in the bin.
        overlap: [images, bins] what those add to the overlap of its defects.
        defects: [images] how many it has.
    """

    anomalous: NDArray[np.bool_]
    total: Vector
    below: Matrix
    not_above: Matrix
    counts: Matrix
    overlap: Matrix
    defects: Vector

    def figures(self, weights: Matrix, limits: dict[str, float]) -> dict[str, Vector]:
        """Return each figure of some resamples.

        Args:
            weights: how often each image is in each of them [images, resamples].
            limits: of the false positive rate, by the figure's name.
        """
        ranks, counts = self._ranks(weights), weights.T @ self.counts
        return {
            "pixel_auroc": ranks.auroc(counts),
            "pixel_ap": ranks.average_precision(counts),
            **self._limited_areas(ranks, weights, limits),
            "pixel_f1": ranks.f1(counts).max(axis=-1),
        }

    def limited_areas(self, weights: Matrix, limits: dict[str, float]) -> dict[str, Vector]:
        """Return the areas under the overlap of some resamples; the arguments are `figures`'."""
        return self._limited_areas(self._ranks(weights), weights, limits)

    def _ranks(self, weights: Matrix) -> Ranks:
        return Ranks(
            total=(weights.T @ self.total)[:, None],
            below=weights.T @ self.below,
            not_above=weights.T @ self.not_above,
        )

    def _limited_areas(
        self, ranks: Ranks, weights: Matrix, limits: dict[str, float]
    ) -> dict[str, Vector]:
        steps = weights.T @ self.overlap / (weights.T @ self.defects)[:, None]
        return {name: ranks.limited_area(steps, limit) for name, limit in limits.items()}


def bins_of(defective: Defective, ranks: Ranks) -> tuple[Map, Map]:
    """Return the least and the greatest defective pixel's value of each bin, rising [bins].

    Where the values are few each has a bin of its own, and the figures are exact.
    """
    shares_of_defective = np.cumsum(defective.counts) / defective.counts.sum()
    shares_of_others = ranks.below / ranks.total
    grid = np.arange(BINS) / BINS
    places = [np.searchsorted(own, grid) for own in (shares_of_defective, shares_of_others)]
    count = len(defective.values)
    first = np.arange(count) if count <= BINS else np.unique(np.concatenate([[0], *places]))
    first = first[first < count]
    last = np.append(first[1:], count) - 1
    return defective.values[first], defective.values[last]


class Beside(NamedTuple):
    """An image's defective pixels beside its others.

    Attributes:
        others: the other pixels' values.
        values: the defective pixels'.
        shares: what each adds to the overlap with its defect.
        defects: how many there are.
    """

    others: Map
    values: Map
    shares: Vector
    defects: int


def count_out(images: Iterable[Beside], least: Map, greatest: Map) -> Counted:
    """Count images out over the bins that lie between two of `bins_of`'s values."""
    rows = []
    for image in images:
        others, bins = np.sort(image.others), np.searchsorted(least, image.values, "right") - 1
        rows.append(
            (
                bool(image.defects),
                len(others),
                np.searchsorted(others, least, side="left"),
                np.searchsorted(others, greatest, side="right"),
                np.bincount(bins, minlength=len(least)),
                np.bincount(bins, image.shares, minlength=len(least)),
                image.defects,
            )
        )
    anomalous, *numbers = (np.array(column) for column in zip(*rows, strict=True))
    return Counted(anomalous, *(column.astype(np.float64) for column in numbers))


def _beside_defects(image: tuple[Map, Mask]) -> Beside:
    heat, mask = image
    found = overlap_shares(heat, mask) if mask.any() else (np.empty(0, np.float32), np.empty(0), 0)
    return Beside(heat[~mask], *found)
