"""What other test images of the same kinds might have given: the bootstrap over images.

Source: Efron and Tibshirani 1993, "An introduction to the bootstrap", for the percentile interval.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gad_bench.evaluation.metrics import STEPS, TRAPEZOID, Vector, check_labels

RESAMPLES, LEVEL = 2000, 0.95
ENDING = re.compile(r"(?:_sigma_\d+)?(?:_block_\d+)?$")
DRAWN_AT_ONCE = 2**16  # images: 512 KiB an array, which stay in the processor's cache
KEPT_FOR_THE_NEXT = 2**19  # images in all resamples: 4 MiB
LONG_ROW = 150  # numbers: shorter rows are added up sooner by one cumsum than one by one

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
    if len(anomalous) * count <= KEPT_FOR_THE_NEXT:
        yield from _kept(anomalous.tobytes(), seed, count)
    else:
        yield from _drawn(anomalous, seed, count)


@lru_cache(maxsize=8)
def _kept(anomalous: bytes, seed: int, count: int) -> list[Matrix]:
    """Return resamples that are used again, by the next figure or fold."""
    return [*_drawn(np.frombuffer(anomalous, dtype=bool), seed, count)]


def _drawn(anomalous: NDArray[np.bool_], seed: int, count: int) -> Iterator[Matrix]:
    kinds = [np.flatnonzero(~anomalous), np.flatnonzero(anomalous)]
    generators = np.random.default_rng(seed).spawn(2)
    for some in _pieces(count, len(anomalous)):
        weights = np.empty((len(anomalous), some))
        for images, generator in zip(kinds, generators, strict=True):
            weights[images] = _draw(generator, len(images), some)
        weights.setflags(write=False)
        yield weights


def _pieces(count: int, images: int) -> Iterator[int]:
    """Yield how many of the resamples of so many images are drawn at once."""
    at_once = max(1, DRAWN_AT_ONCE // images)
    for start in range(0, count, at_once):
        yield min(at_once, count - start)


def _draw(generator: np.random.Generator, size: int, count: int) -> NDArray[np.intp]:
    """Return how often each of so many images is in each of some resamples [size, count]."""
    drawn = generator.integers(size, size=(count, size)) * count + np.arange(count)[:, None]
    return np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)


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

    drawn = resamples(labels, seed=seed, count=count)
    auroc, aupr = np.moveaxis(_over_resamples(labels, detectors, areas, drawn), 1, 0)
    return {"auroc": auroc, "aupr": aupr}


def resampled_auroc(
    labels: ArrayLike, detectors: Sequence[ArrayLike], *, seed: int, count: int = RESAMPLES
) -> Matrix:
    """Return the AUROC of each resample [detectors, count], as `resampled_areas` does."""
    drawn = resamples(labels, seed=seed, count=count)
    return _over_resamples(labels, detectors, _auroc, drawn)


def resampled_rates(
    labels: ArrayLike,
    scores: ArrayLike,
    found: Sequence[float],
    allowed: Sequence[float],
    *,
    seed: int,
    count: int = RESAMPLES,
) -> dict[str, Matrix]:
    """Return what one rate costs in the other in each resample, and the highest F1.

    Args:
        labels: [images], 1 for anomalous.
        scores: [images], higher is more anomalous.
        found: the shares of anomalous images that are to be found, in (0, 1].
        allowed: the shares of good images that may be flagged, in [0, 1].
        seed: of the resamples.
        count: of the resamples.

    Returns:
        fpr: the false positive rates where so much is found [found, count].
        tpr: the true positive rates where so much is allowed [allowed, count].
        f1: [1, count].
    """

    def rates(counted: _Counted) -> Matrix:
        true, false, anomalous = counted.true, counted.false, len(counted.true)
        columns = np.arange(true.shape[1])
        firsts = [np.argmax(true >= share * anomalous - 1e-9, axis=0) for share in found]
        most = [int(share * counted.good * (1 + 1e-12)) for share in allowed]
        return np.stack(
            [
                *(false[first, columns] / counted.good for first in firsts),
                *(np.where(false <= limit, true, 0).max(axis=0) / anomalous for limit in most),
                (2 * true / (true + false + anomalous)).max(axis=0),
            ]
        )

    (all_rates,) = _over_resamples(
        labels, [scores], rates, resamples(labels, seed=seed, count=count)
    )
    fpr, tpr, f1 = np.split(all_rates, [len(found), len(found) + len(allowed)])
    return {"fpr": fpr, "tpr": tpr, "f1": f1}


def resampled_auroc_of_copies(
    good: Vector, copies: Matrix, generator: np.random.Generator, count: int = RESAMPLES
) -> Vector:
    """Return the AUROC of images against copies of them with defects, of each resample [count].

    An image is drawn with all its copies: they are no independent images.

    Args:
        good: the images' scores [images].
        copies: their copies' scores [images, copies].
        generator: draws.
        count: of the resamples.
    """
    size, each = copies.shape
    labels = np.repeat([0, 1], [size, size * each])
    drawn = (
        np.concatenate([weights, np.repeat(weights, each, axis=0)])
        for weights in (_draw(generator, size, some) for some in _pieces(count, len(labels)))
    )
    scores = np.concatenate([good, copies.ravel()])
    return _over_resamples(labels, [scores], _auroc, drawn)[0]


def _over_resamples(
    labels: ArrayLike,
    detectors: Sequence[ArrayLike],
    figure: Callable[[_Counted], Matrix | Vector],
    drawn: Iterable[Matrix],
) -> Matrix:
    """Return a figure [..., some] of each detector and resample, [detectors, ..., count]."""
    ranked = [_rank(labels, scores) for scores in detectors]
    parts = [np.stack([figure(_Counted(own, weights)) for own in ranked]) for weights in drawn]
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
    """Return the sums of the first none, one, ... all rows.

    NumPy's cumsum along columns takes five times as long as adding long rows.
    """
    sums = np.zeros((len(weights) + 1, weights.shape[1]))
    if weights.shape[1] < LONG_ROW:
        np.cumsum(weights, axis=0, out=sums[1:])
        return sums
    for before, row, after in zip(sums[:-1], weights, sums[1:], strict=True):
        np.add(before, row, out=after)
    return sums


def with_intervals(
    points: Mapping[str, float], over_resamples: Mapping[str, Vector]
) -> dict[str, float]:
    """Return figures, each followed by the ends of its interval, `_ci_low` and `_ci_high`.

    A figure's name may end with its block's or sigma's, as `auroc_block_2`: so do its interval's.
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
    metric = ENDING.sub("", name)
    ending = name.removeprefix(metric)
    return f"{metric}_ci_low{ending}", f"{metric}_ci_high{ending}"


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
