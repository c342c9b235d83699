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

from gad_bench.evaluation.intervals import interval, resampled_areas
from gad_bench.evaluation.metrics import Vector, average_precision, check_labels

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
    """Detectors on the same test images, by one figure.

    Attributes:
        order: their positions, the highest figure first.
        values: [detectors] the figure.
        p_values: [detectors, detectors] of the hypothesis that two are alike, by Holm's correction
            over all pairs.
        below_best: [detectors, 2] the ends of the bootstrap interval of how much less the figure is
            than that of the first in order, both on the same resamples.
    """

    order: Sequence[int]
    values: Vector
    p_values: Matrix
    below_best: Matrix

    @classmethod
    def of(cls, values: Vector, p_values: Matrix, drawn: Matrix) -> Compared:
        """Put detectors in order.

        Args:
            values: [detectors].
            p_values: [detectors, detectors], not corrected.
            drawn: the figure over the same resamples of images [detectors, resamples].
        """
        order = np.argsort(-values, kind="stable")
        below = np.array([interval(drawn[order[0]] - own) for own in drawn])
        return cls(order.tolist(), values, holm_matrix(p_values), below)

    @property
    def alike(self) -> list[int]:
        """Those that are not told apart from the best, itself the first."""
        best = self.order[0]
        return [place for place in self.order if not self.p_values[best, place] < ALIKE]


def compare(
    labels: ArrayLike, detectors: Sequence[ArrayLike], *, seed: int = 0
) -> dict[str, Compared]:
    """Compare detectors by "auroc" and "aupr", means over their folds.

    AUROC by DeLong's test, average precision by `compare_resampled`. The correction is for all
    pairs, so that it holds for the comparisons with the best, too, which is chosen by the same
    images.

    Args:
        labels: [images], 1 for anomalous.
        detectors: of each the scores [folds, images].
        seed: of the bootstrap.
    """
    placed = [placements(labels, folds) for folds in detectors]
    p_values = np.array([[delong(one, other) for other in placed] for one in placed])
    drawn = _resampled_areas(labels, detectors, seed)
    fewest = int(min(np.bincount(check_labels(labels).astype(int))))
    precision = [
        np.mean([average_precision(labels, fold) for fold in np.asarray(folds)])
        for folds in detectors
    ]
    return {
        "auroc": Compared.of(np.array([own.auroc for own in placed]), p_values, drawn["auroc"]),
        "aupr": compare_resampled(np.array(precision), drawn["aupr"], fewest),
    }


def compare_resampled(values: Vector, drawn: Matrix, fewest: int) -> Compared:
    """Compare detectors by any figure, by its differences over the same resamples of images.

    A difference by its standard deviation over the resamples is held against the normal law, as
    DeLong's test does with a variance of its own. Where nothing varies the p-value is 1 for equal
    figures, else 0.

    Args:
        values: the figure [detectors], higher is better.
        drawn: the figure over the same resamples [detectors, resamples].
        fewest: how many images the rarer kind has: of a single one nobody knows the variance, and
            the p-values are NaN.
    """
    from scipy.special import ndtr

    apart = np.abs(values[:, None] - values)
    error = np.array([(drawn - own).std(axis=1, ddof=1) for own in drawn])
    tiny = np.finfo(np.float64).eps ** 0.5  # a float32's error is more, any image's part much more
    varies = error > tiny
    p_values = np.where(apart > tiny, 0.0, 1.0)
    p_values[varies] = 2 * ndtr(-apart[varies] / error[varies])
    return Compared.of(values, p_values if fewest > 1 else np.full_like(p_values, np.nan), drawn)


def _resampled_areas(
    labels: ArrayLike, detectors: Sequence[ArrayLike], seed: int
) -> dict[str, Matrix]:
    """Return each resample's areas, the means over folds [detectors, resamples]."""
    folds = [np.asarray(own) for own in detectors]
    ends = np.cumsum([len(own) for own in folds])[:-1]
    areas = resampled_areas(labels, [*np.concatenate(folds)], seed=seed, count=RESAMPLES)
    return {
        name: np.array([own.mean(axis=0) for own in np.split(values, ends)])
        for name, values in areas.items()
    }
