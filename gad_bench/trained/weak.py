"""The autoencoder's weak score: how high a threshold leaves a defect's worth of pixels together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gad_bench.data.defect_sizes import largest_part


def weak_score(errors: NDArray[np.floating], area: int) -> float:
    """Return the highest threshold at which a connected part of a least area is left.

    Pixels are left whose error is at or above the threshold; they are connected by edges or
    corners. The area of the largest part falls as the threshold rises, so the errors are searched
    by bisection.

    Args:
        errors: of an image's pixels [height, width].
        area: in pixels; the whole image where it is more.
    """
    levels = np.unique(errors)
    needed = min(area, errors.size)
    low, high = 0, len(levels) - 1  # at the lowest level all pixels are left
    while low < high:
        middle = (low + high + 1) // 2
        if largest_part(errors >= levels[middle]) >= needed:
            low = middle
        else:
            high = middle - 1
    return float(levels[low])
