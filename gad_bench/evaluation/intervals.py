"""What other test images of the same kinds might have given: the bootstrap over images.

Source: Efron and Tibshirani 1993, "An introduction to the bootstrap", for the percentile interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gad_bench.evaluation.metrics import STEPS, TRAPEZOID, Vector, check_labels

RESAMPLES, LEVEL = 2000, 0.95
DRAWN_AT_ONCE = 2**19  # images: 4 MiB an array

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
        How often each resample holds each image, [some, images].

    Raises:
        UserError: there are no good or no anomalous images.
    """
    anomalous = check_labels(labels)
    kinds = [np.flatnonzero(~anomalous), np.flatnonzero(anomalous)]
    generators = np.random.default_rng(seed).spawn(2)
    at_once = max(1, DRAWN_AT_ONCE // len(anomalous))
    for start in range(0, count, at_once):
        some = min(at_once, count - start)
        weights = np.empty((some, len(anomalous)))
        for images, generator in zip(kinds, generators, strict=True):
            size = len(images)
            drawn = generator.integers(size, size=(some, size)) + size * np.arange(some)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=some * size)
            weights[:, images] = counts.reshape(some, size)
        yield weights


def resampled_areas(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    seed: int,
    area: str = STEPS,
    count: int = RESAMPLES,
) -> dict[str, Vector]:
    """Return AUROC ("auroc") and average precision ("aupr") of each resample [count].

    Args:
        labels: [images], 1 for anomalous.
        scores: [images], higher is more anomalous.
        seed: of the resamples.
        area: of average precision; see `metrics.average_precision`.
        count: of the resamples.
    """
    found = [
        np.column_stack([_auroc(true, reached), _aupr(true, reached, area)])
        for true, reached in _counts_at_thresholds(labels, scores, seed, count)
    ]
    auroc, aupr = np.concatenate(found).T
    return {"auroc": auroc, "aupr": aupr}


def resampled_auroc(
    labels: ArrayLike, scores: ArrayLike, *, seed: int, count: int = RESAMPLES
) -> Vector:
    """Return the AUROC of each resample [count], as `resampled_areas` does."""
    counted = _counts_at_thresholds(labels, scores, seed, count)
    return np.concatenate([_auroc(true, reached) for true, reached in counted])


def resampled_false_positive_rates(
    labels: ArrayLike,
    scores: ArrayLike,
    found: Sequence[float],
    *,
    seed: int,
    count: int = RESAMPLES,
) -> Matrix:
    """Return each resample's false positive rates [count, rates] where so much is found.

    Args:
        labels: [images], 1 for anomalous.
        scores: [images], higher is more anomalous.
        found: the shares of anomalous images that are to be found, in (0, 1].
        seed: of the resamples.
        count: of the resamples.
    """
    rates = []
    for true, reached in _counts_at_thresholds(labels, scores, seed, count):
        false, rows = reached - true, np.arange(len(true))
        firsts = [np.argmax(true >= share * true[:, -1:] - 1e-9, axis=1) for share in found]
        rates.append(np.column_stack([false[rows, first] / false[:, -1] for first in firsts]))
    return np.concatenate(rates)


def _counts_at_thresholds(
    labels: ArrayLike, scores: ArrayLike, seed: int, count: int
) -> Iterator[tuple[Matrix, Matrix]]:
    """Yield of some resamples how many anomalous and how many images reach each distinct score."""
    anomalous = check_labels(labels)
    values = np.asarray(scores, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    last_of_ties = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    for weights in resamples(labels, seed=seed, count=count):
        of_rank = weights[:, order]
        reached = np.cumsum(of_rank, axis=1)[:, last_of_ties]
        yield np.cumsum(of_rank * anomalous[order], axis=1)[:, last_of_ties], reached


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


def _auroc(true: Matrix, reached: Matrix) -> Vector:
    """Return the area under each row's ROC curve, straight between thresholds."""
    false = reached - true
    steps = np.diff(false, axis=1, prepend=0.0)
    twice = np.einsum("rt,rt->r", steps, true + _before(true))
    return np.asarray(twice / (2 * true[:, -1] * false[:, -1]))


def _aupr(true: Matrix, reached: Matrix, area: str) -> Vector:
    """Return each row's average precision; a threshold that no image reaches has precision 1."""
    precision = np.divide(true, reached, out=np.ones_like(true), where=reached > 0)
    steps = np.diff(true, axis=1, prepend=0.0)
    if area == TRAPEZOID:
        precision = (precision + np.insert(precision[:, :-1], 0, 1.0, axis=1)) / 2
    return np.asarray(np.einsum("rt,rt->r", steps, precision) / true[:, -1])


def _before(values: Matrix) -> Matrix:
    return np.insert(values[:, :-1], 0, 0.0, axis=1)
