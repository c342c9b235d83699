"""Whether two detectors differ on the same test images.

Source: DeLong, DeLong and Clarke-Pearson 1988, "Comparing the areas under two or more correlated
receiver operating characteristic curves"; Holm 1979, "A simple sequentially rejective multiple test
procedure".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gad_bench.evaluation.intervals import interval, resampled_auroc
from gad_bench.evaluation.metrics import Vector, check_labels

ALIKE = 0.05
"""Two detectors are told apart where the corrected p-value is less."""

RESAMPLES = 1000

Matrix = NDArray[np.float64]


class Placements(NamedTuple):
    """Where each image lies among the images of the other kind.

    Attributes:
        anomalous: of each the share of good images with a lower score, ties half [anomalous].
        good: of each the share of anomalous images with a higher score, ties half [good].
    """

    anomalous: Vector
    good: Vector

    @property
    def auroc(self) -> float:
        """The mean of either."""
        return float(self.anomalous.mean())


def placements(labels: ArrayLike, folds: ArrayLike) -> Placements:
    """Return the placements of a detector's scores, averaged over its folds.

    Args:
        labels: [images], 1 for anomalous.
        folds: [folds, images], higher is more anomalous.

    Raises:
        UserError: there are no good or no anomalous images.
    """
    labelled = check_labels(labels)
    parts = []
    for scores in np.asarray(folds, dtype=np.float64):
        anomalous, good = scores[labelled], scores[~labelled]
        parts.append((_below(anomalous, good), 1 - _below(good, anomalous)))
    return Placements(*(np.mean(part, axis=0) for part in zip(*parts, strict=True)))


def _below(values: Vector, others: Vector) -> Vector:
    ranked = np.sort(others)
    left, right = (np.searchsorted(ranked, values, side=side) for side in ("left", "right"))
    return np.asarray((left + right) / (2 * len(ranked)))


def delong(first: Placements, second: Placements) -> float:
    """Return the two-sided p-value of equal AUROC, by DeLong's test.

    NaN where one kind has a single image, whose variance nobody knows. Where nothing varies it is
    1 for equal areas, else 0.
    """
    from scipy.special import ndtr

    differences = [one - other for one, other in zip(first, second, strict=True)]
    if min(map(len, differences)) < 2:
        return float("nan")
    variance = sum(float(part.var(ddof=1)) / len(part) for part in differences)
    difference = first.auroc - second.auroc
    if variance <= 0:
        return float(abs(difference) < np.finfo(np.float64).eps)
    return float(2 * ndtr(-abs(difference) / np.sqrt(variance)))


def holm(p_values: ArrayLike) -> Vector:
    """Return p-values [tests] by Holm's correction for that many tests; NaN ones stay out."""
    values = np.array(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    values[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return values


def holm_matrix(p_values: Matrix) -> Matrix:
    """Return the p-values of all pairs [settings, settings] by Holm's correction, 1 with itself."""
    pairs = np.triu_indices(len(p_values), 1)
    corrected = np.ones_like(p_values)
    corrected[pairs] = holm(p_values[pairs])
    return np.minimum(corrected, corrected.T)


def cliques(p_values: Matrix, level: float = ALIKE) -> list[tuple[int, int]]:
    """Return the longest runs of neighbours no two of which are told apart, as first and last.

    Args:
        p_values: of all pairs [settings, settings], in order of the settings; NaN tells nothing
            apart.
        level: below which two are told apart.
    """
    apart = p_values < level
    count = len(apart)
    ends = [
        max(end for end in range(start, count) if not apart[start : end + 1, start : end + 1].any())
        for start in range(count)
    ]
    return [
        (start, end)
        for start, end in enumerate(ends)
        if end > start and (start == 0 or ends[start - 1] < end)
    ]


@dataclass(frozen=True)
class Compared:
    """Detectors on the same test images.

    Attributes:
        order: their positions, the highest AUROC first.
        auroc: [detectors].
        p_values: [detectors, detectors], by DeLong's test and Holm's correction over all pairs.
        below_best: [detectors, 2] the ends of the bootstrap interval of how much less the AUROC is
            than that of the first in order, both on the same resamples.
    """

    order: Sequence[int]
    auroc: Vector
    p_values: Matrix
    below_best: Matrix

    @property
    def alike(self) -> list[int]:
        """Those that are not told apart from the best, itself the first."""
        best = self.order[0]
        return [place for place in self.order if not self.p_values[best, place] < ALIKE]


def compare(labels: ArrayLike, detectors: Sequence[ArrayLike], *, seed: int = 0) -> Compared:
    """Compare detectors by AUROC, the mean over their folds.

    The correction is for all pairs, so that it holds for the comparisons with the best, too, which
    is chosen by the same images.

    Args:
        labels: [images], 1 for anomalous.
        detectors: of each the scores [folds, images].
        seed: of the bootstrap.
    """
    placed = [placements(labels, folds) for folds in detectors]
    auroc = np.array([one.auroc for one in placed])
    order = np.argsort(-auroc, kind="stable")
    p_values = holm_matrix(np.array([[delong(one, other) for other in placed] for one in placed]))
    areas = [_resampled_auroc(labels, np.asarray(folds), seed) for folds in detectors]
    below = np.array([interval(areas[order[0]] - area) for area in areas])
    return Compared(order.tolist(), auroc, p_values, below)


def _resampled_auroc(labels: ArrayLike, folds: Matrix, seed: int) -> Vector:
    """Return each resample's AUROC, the mean over folds [resamples]."""
    return np.asarray(resampled_auroc(labels, [*folds], seed=seed, count=RESAMPLES).mean(axis=0))
