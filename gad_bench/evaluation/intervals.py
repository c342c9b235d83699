"""What other test images of the same kinds might have given: the bootstrap over images.

Source: Efron and Tibshirani 1993, "An introduction to the bootstrap", for the percentile interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gad_bench.evaluation.metrics import STEPS, TRAPEZOID, Vector, check_labels

RESAMPLES, LEVEL = 2000, 0.95
DRAWN_AT_ONCE = 2**14  # images: 128 KiB an array, which stay in the processor's cache

Matrix = NDArray[np.float64]


def interval(values: ArrayLike, level: float = LEVEL) -> tuple[float, float]:
    """Return the percentile interval of a figure's values over resamples."""
    low, high = np.quantile(
        np.asarray(values, dtype=np.float64), [(1 - level) / 2, (1 + level) / 2]
    )
    return float(low), float(high)


def resamples(labels: ArrayLike, *, seed: int, count: int = RESAMPLES) -> Iterator[Matrix]:
    """Yield some resamples at a time; how many at a time changes memory alone.

    Good and anomalous images are drawn separately, so that every resample holds as many of each.
    The same labels and seed give the same resamples, so that figures of two detectors are paired.

    Yields:
        How often each image is in each resample, [images, some].

    Raises:
        UserError: there are no good or no anomalous images.
    """
    anomalous = check_labels(labels)
    kinds = [np.flatnonzero(~anomalous), np.flatnonzero(anomalous)]
    generators = np.random.default_rng(seed).spawn(2)
    at_once = max(1, DRAWN_AT_ONCE // len(anomalous))
    for start in range(0, count, at_once):
        some = min(at_once, count - start)
        weights = np.empty((len(anomalous), some))
        for images, generator in zip(kinds, generators, strict=True):
            size = len(images)
            drawn = generator.integers(size, size=(some, size)) * some + np.arange(some)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=size * some)
            weights[images] = counts.reshape(size, some)
        yield weights


def resampled_areas(
    labels: ArrayLike,
    detectors: Sequence[ArrayLike],
    *,
    seed: int,
    area: str = STEPS,
    count: int = RESAMPLES,
) -> dict[str, Matrix]:
    """Return AUROC ("auroc") and average precision ("aupr") of each resample [detectors, count].

    Args:
        labels: [images], 1 for anomalous.
        detectors: of each the scores [images], higher is more anomalous.
        seed: of the resamples.
        area: of average precision; see `metrics.average_precision`.
        count: of the resamples.
    """

    def areas(counted: _Counted) -> Matrix:
        return np.stack([_auroc(counted), _aupr(counted, area)])

    auroc, aupr = np.moveaxis(_over_resamples(labels, detectors, areas, seed, count), 1, 0)
    return {"auroc": auroc, "aupr": aupr}


def resampled_auroc(
    labels: ArrayLike, detectors: Sequence[ArrayLike], *, seed: int, count: int = RESAMPLES
) -> Matrix:
    """Return the AUROC of each resample [detectors, count], as `resampled_areas` does."""
    return _over_resamples(labels, detectors, _auroc, seed, count)


def resampled_false_positive_rates(
    labels: ArrayLike,
    scores: ArrayLike,
    found: Sequence[float],
    *,
    seed: int,
    count: int = RESAMPLES,
) -> Matrix:
    """Return each resample's false positive rates [rates, count] where so much is found.

    Args:
        labels: [images], 1 for anomalous.
        scores: [images], higher is more anomalous.
        found: the shares of anomalous images that are to be found, in (0, 1].
        seed: of the resamples.
        count: of the resamples.
    """

    def rates(counted: _Counted) -> Matrix:
        columns = np.arange(counted.true.shape[1])
        needed = [share * len(counted.true) - 1e-9 for share in found]
        firsts = [np.argmax(counted.true >= least, axis=0) for least in needed]
        return np.stack([counted.false[first, columns] for first in firsts]) / counted.good

    return _over_resamples(labels, [scores], rates, seed, count)[0]


def _over_resamples(
    labels: ArrayLike,
    detectors: Sequence[ArrayLike],
    figure: Callable[[_Counted], Matrix | Vector],
    seed: int,
    count: int,
) -> Matrix:
    """Return a figure [..., some] of each detector and resample, [detectors, ..., count]."""
    ranked = [_rank(labels, scores) for scores in detectors]
    parts = [
        np.stack([figure(_Counted(own, weights)) for own in ranked])
        for weights in resamples(labels, seed=seed, count=count)
    ]
    return np.concatenate(parts, axis=-1)


@dataclass(frozen=True)
class _Ranked:
    """Where a detector's scores stand.

    Attributes:
        anomalous: the rows of the anomalous images, the highest score first.
        good: the rows of the good images, likewise.
        true: of each anomalous image, how many anomalous ones reach its score.
        true_above: how many exceed it.
        false: how many good images reach it.
        false_above: how many exceed it.
    """

    anomalous: NDArray[np.intp]
    good: NDArray[np.intp]
    true: NDArray[np.intp]
    true_above: NDArray[np.intp]
    false: NDArray[np.intp]
    false_above: NDArray[np.intp]


def _rank(labels: ArrayLike, scores: ArrayLike) -> _Ranked:
    anomalous = check_labels(labels)
    falling = -np.asarray(scores, dtype=np.float64)
    rows = [np.flatnonzero(kind) for kind in (anomalous, ~anomalous)]
    bad, good = (own[np.argsort(falling[own], kind="stable")] for own in rows)
    places = [
        np.searchsorted(falling[own], falling[bad], side=side)
        for own in (bad, good)
        for side in ("right", "left")
    ]
    return _Ranked(bad, good, *places)


class _Counted:
    """A detector's ranks in some resamples: all are [anomalous, some], as `_Ranked`'s positions.

    Attributes:
        times: how often each resample holds each anomalous image.
    """

    def __init__(self, ranked: _Ranked, weights: Matrix) -> None:
        self.ranked = ranked
        self.times = weights[ranked.anomalous]
        self.good = len(ranked.good)
        self._true, self._false = _sums(self.times), _sums(weights[ranked.good])

    @cached_property
    def true(self) -> Matrix:
        return self._true[self.ranked.true]

    @property
    def true_above(self) -> Matrix:
        return self._true[self.ranked.true_above]

    @cached_property
    def false(self) -> Matrix:
        return self._false[self.ranked.false]

    @cached_property
    def false_above(self) -> Matrix:
        tied = (self.ranked.false != self.ranked.false_above).any()
        return self._false[self.ranked.false_above] if tied else self.false


def _sums(weights: Matrix) -> Matrix:
    """Return the sums of the first none, one, ... all rows."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]))
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums


def with_intervals(
    points: Mapping[str, float], over_resamples: Mapping[str, Vector]
) -> dict[str, float]:
    """Return figures, each followed by the ends of its interval, `_ci_low` and `_ci_high`.

    A figure's name may end with that of its block, as `auroc_block_2`: so do its interval's.
    """
    found = {}
    for name, value in points.items():
        found[name] = value
        if name in over_resamples:
            ends = interval(over_resamples[name])
            found |= dict(zip(interval_names(name), ends, strict=True))
    return found


def interval_names(name: str) -> tuple[str, str]:
    """Return the names of the ends of a figure's interval: `auroc_ci_low_block_2`."""
    metric, block, number = name.partition("_block_")
    return f"{metric}_ci_low{block}{number}", f"{metric}_ci_high{block}{number}"


def _auroc(counted: _Counted) -> Vector:
    """Return the share of pairs of a good and an anomalous image that are in order, ties half."""
    above = np.einsum("it,it->t", counted.times, counted.false + counted.false_above)
    return 1 - above / (2 * len(counted.times) * counted.good)


def _aupr(counted: _Counted, area: str) -> Vector:
    """Return the average precision, by the thresholds that an anomalous image reaches."""
    precision = _precision(counted.true, counted.false)
    if area == TRAPEZOID:
        precision = (precision + _precision(counted.true_above, counted.false_above)) / 2
    return np.asarray(np.einsum("it,it->t", counted.times, precision) / len(counted.times))


def _precision(true: Matrix, false: Matrix) -> Matrix:
    """Return the precision; where no image reaches the threshold it is 1."""
    reached = true + false
    return np.divide(true, reached, out=np.ones_like(true), where=reached > 0)
