"""Heat maps that are hard to measure, and overlap curves by every threshold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gad_bench.evaluation.pixels import Map, Mask

Images = list[tuple[Map, Mask]]


def blobs(seed: int, *, levels: int | None = None) -> Images:
    """Three good and three bad images; few levels make many ties."""
    generator = np.random.default_rng(seed)
    images = []
    for index in range(6):
        blurred = ndimage.gaussian_filter(generator.standard_normal((24, 31)), 2)
        mask = blurred > np.quantile(blurred, 0.9) if index % 2 else np.zeros((24, 31), bool)
        heat = 0.7 * mask + generator.random((24, 31))
        images.append(((np.floor(heat * levels) / levels if levels else heat), mask))
    return [(heat.astype(np.float32), mask) for heat, mask in images]


def one_pixel() -> Images:
    mask = np.zeros((5, 5), bool)
    mask[2, 3] = True
    return [(heat, mask if index else mask & False) for index, (heat, _) in enumerate(squares(3))]


def squares(count: int) -> Images:
    generator = np.random.default_rng(0)
    heats = generator.random((count, 5, 5)).astype(np.float32)
    return [(heat, np.zeros((5, 5), bool)) for heat in heats]


def all_anomalous() -> Images:
    """One good image, two of which every pixel is defective."""
    return [(heat, mask | bool(index)) for index, (heat, mask) in enumerate(squares(3))]


HARD: dict[str, Images] = {
    "blobs": blobs(0),
    "ties": blobs(1, levels=4),
    "constant": [(np.ones_like(heat), mask) for heat, mask in blobs(2)],
    "one pixel": one_pixel(),
    "all anomalous": all_anomalous(),
}


def plain_area(images: Images, overlap: Callable[[float], float], limit: float) -> float:
    """The area under an overlap over the false positive rate, threshold by threshold."""
    everywhere = np.unique(np.concatenate([heat.ravel() for heat, _ in images]))
    good: NDArray[np.float32] = np.concatenate([heat[~mask] for heat, mask in images])
    rates = np.array([0.0, *((good >= threshold).mean() for threshold in everywhere[::-1])])
    overlaps = np.array([0.0, *(overlap(float(threshold)) for threshold in everywhere[::-1])])
    area = 0.0
    for left, right, low, high in zip(rates, rates[1:], overlaps, overlaps[1:], strict=False):
        if left < limit and right > left:
            end = min(right, limit)
            at_end = low + (high - low) * (end - left) / (right - left)
            area += (end - left) * (low + at_end) / 2
    return area / limit
