"""Heat maps and masks of blobs, for the tests of figures by pixel."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from gad_bench.evaluation.pixels import Map, Mask

Images = list[tuple[Map, Mask]]


def some_images(seed: int, *, levels: int | None = None, gain: float = 1.0) -> Images:
    """Blobs as defects, maps that see them through noise; few levels make many ties."""
    generator = np.random.default_rng(seed)
    images = []
    for index in range(6):
        blurred = ndimage.gaussian_filter(generator.standard_normal((24, 31)), 2)
        mask = blurred > np.quantile(blurred, 0.9) if index % 2 else np.zeros((24, 31), bool)
        heat = gain * mask + generator.random((24, 31))
        if levels:
            heat = np.floor(heat * levels) / levels
        images.append((heat.astype(np.float32), mask))
    return images
