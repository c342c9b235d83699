"""How much of each image's defect is found where good images show next to nothing: AUPIMO."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.evaluation.intervals import RESAMPLES, Matrix, resamples
from gad_bench.evaluation.pixels import Map, Mask

LOWEST, HIGHEST = 1e-5, 1e-4
BINS = 300  # of the defective pixels' values, for resamples

Vector = NDArray[np.float64]


def per_image_overlap(
    images: Iterable[tuple[Map, Mask]], lowest: float = LOWEST, highest: float = HIGHEST
) -> Vector:
    """Return each anomalous image's AUPIMO, in order; empty where no image is good.

    It is the share of the image's defective pixels that reach a threshold, averaged over the
    logarithm of the threshold's false positive rate. That rate is the share of a good image's
    pixels that reach it, averaged over the good images; anomalous ones have no part in it. It is
    exact: each pixel counts from the rate at its own value on.

    Source: Bertoldo, Arango and others, arXiv 2401.01984, its definition.

    Args:
        images: each image's heat map [height, width], higher is more anomalous, and the mask of its
            defects [height, width], empty for a good image. Iterated over twice.
        lowest: false positive rate from which on it is averaged.
        highest: the rate up to which it is.

    Raises:
        UserError: the rates do not lie in (0, 1] and rise.
    """
    _check(lowest, highest)
    defective = _defective(images)
    values, rates = _rates(images, defective)
    held = _held(rates, lowest, highest)
    return _means(held, values, defective) if len(rates) else np.empty(0)


def resampled_overlap(
    images: Iterable[tuple[Map, Mask]],
    *,
    seed: int,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    count: int = RESAMPLES,
) -> tuple[float, Vector] | None:
    """Return the mean of `per_image_overlap` and that of each resample of the images [count].

    A resample's thresholds are by the good images that it holds. It goes by bins of the defective
    pixels' values, by the rate at them; where the values are few each has one, and it is exact.

    Args:
        images: as there; iterated over three times.
        seed: of the resamples.
        lowest: as there.
        highest: as there.
        count: of the resamples.

    Returns:
        None where no image is good or none has a defect.

    Raises:
        UserError: as there.
    """
    _check(lowest, highest)
    defective = _defective(images)
    values, rates = _rates(images, defective)
    if not len(rates):
        return None
    held = _held(rates, lowest, highest)
    point = float(_means(held, values, defective).mean())
    first = _first_of_bins(rates, lowest)
    middle = values[(first + np.append(first[1:], len(values)) - 1) // 2]
    shares = np.array([_in_bins(own, values[first]) for own in defective])
    anomalous, reached = [], []
    for heat, mask in images:
        anomalous.append(bool(mask.any()))
        if not anomalous[-1]:
            reached.append(1 - np.searchsorted(np.sort(heat, axis=None), middle) / heat.size)
    bad = np.array(anomalous)
    drawn = [
        (weights[bad].T @ shares * _held(weights[~bad].T @ np.array(reached), lowest, highest))
        for weights in _shares_of_kinds(bad, seed, count)
    ]
    return point, np.concatenate([own.sum(axis=1) for own in drawn])


def _check(lowest: float, highest: float) -> None:
    if not 0 < lowest < highest <= 1:
        raise UserError(f"false positive rates of {lowest} to {highest} do not rise within (0, 1]")


def _defective(images: Iterable[tuple[Map, Mask]]) -> list[Map]:
    """Return the values of each anomalous image's defective pixels."""
    return [heat[mask] for heat, mask in images if mask.any()]


def _rates(images: Iterable[tuple[Map, Mask]], defective: Sequence[Map]) -> tuple[Map, Vector]:
    """Return the distinct values, rising, and the rate at each; none where no image is good."""
    values = np.unique(np.concatenate(defective)) if defective else np.empty(0, np.float32)
    rates, good = np.zeros(len(values)), 0
    for heat, mask in images:
        if not mask.any():
            rates += 1 - np.searchsorted(np.sort(heat, axis=None), values) / heat.size
            good += 1
    return values, rates / good if good else np.empty(0)


def _held(rates: Vector, lowest: float, highest: float) -> Vector:
    """Return over which share of the rates' logarithm a pixel counts, by the rate at its value."""
    return np.asarray(np.log(highest / np.clip(rates, lowest, highest)) / np.log(highest / lowest))


def _means(held: Vector, values: Map, defective: Sequence[Map]) -> Vector:
    """Return the mean over each anomalous image's defective pixels [anomalous images]."""
    return np.array([held[np.searchsorted(values, own)].mean() for own in defective])


def _first_of_bins(rates: Vector, lowest: float) -> NDArray[np.intp]:
    """Return the first value of each bin, by the rates at the values, which fall.

    The bins are even by the rate's logarithm, up to 1: without one good image that holds nearly all
    high pixels the rate may be a small part of what it is.
    """
    if len(rates) <= BINS:
        return np.arange(len(rates))
    grid = np.geomspace(1, lowest / 10, BINS)
    first = np.unique(np.concatenate([[0], np.searchsorted(-rates, -grid)]))
    return first[first < len(rates)]


def _in_bins(own: Map, least: Map) -> Vector:
    bins = np.searchsorted(least, own, side="right") - 1
    return np.bincount(bins, minlength=len(least)) / len(own)


def _shares_of_kinds(bad: NDArray[np.bool_], seed: int, count: int) -> Iterator[Matrix]:
    """Yield resamples in which each image stands with its share of its kind [images, some]."""
    sizes = np.where(bad, bad.sum(), (~bad).sum())[:, None]
    for weights in resamples(bad, seed=seed, count=count):
        yield weights / sizes
