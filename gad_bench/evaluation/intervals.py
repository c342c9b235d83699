"""What other test images of the same kinds might have given: the bootstrap over images.

Source: Efron and Tibshirani 1993, "An introduction to the bootstrap", for the percentile interval.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gad_bench.evaluation.metrics import Vector, check_labels

RESAMPLES, LEVEL = 2000, 0.95
ENDING = re.compile(r"(?:_sigma_\d+)?(?:_block_\d+)?$")
DRAWN_AT_ONCE = 2**19  # images: 2 MiB an array

Weights = NDArray[np.int32]
"""How often each resample holds each image [resamples, images]."""


def interval(values: ArrayLike, level: float = LEVEL) -> tuple[float, float]:
    """Return the percentile interval of a figure's values over resamples."""
    low, high = np.quantile(
        np.asarray(values, dtype=np.float64), [(1 - level) / 2, (1 + level) / 2]
    )
    return float(low), float(high)


def resamples(labels: ArrayLike, *, seed: int, count: int = RESAMPLES) -> Iterator[Weights]:
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
    for some in pieces(count, len(anomalous)):
        weights = np.empty((some, len(anomalous)), np.int32)
        for images, generator in zip(kinds, generators, strict=True):
            weights[:, images] = draw(generator, some, len(images))
        yield weights


def pieces(count: int, images: int) -> Iterator[int]:
    """Yield how many of the resamples of so many images are drawn at once."""
    at_once = max(1, DRAWN_AT_ONCE // images)
    for start in range(0, count, at_once):
        yield min(at_once, count - start)


def draw(generator: np.random.Generator, count: int, size: int) -> Weights:
    """Draw so many of so many images with replacement, for each of some resamples."""
    drawn = generator.integers(size, size=(count, size)) + size * np.arange(count)[:, None]
    return np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size).astype(np.int32)


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
