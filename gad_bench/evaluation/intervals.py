"""Confidence intervals of rates."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def clopper_pearson(
    rates: ArrayLike, count: int, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of the exact interval of a binomial share (Clopper and Pearson 1934).

    Args:
        rates: shares of the images. One that is a mean over folds need be no multiple of 1 / count:
            its interval is that of one fold's images, between those of its neighbours.
        count: the number of images.
        level: of confidence.
    """
    from scipy.special import betaincinv

    found = np.asarray(rates, dtype=np.float64) * count
    rest, outside = count - found, (1 - level) / 2
    tiny = np.finfo(np.float64).tiny  # stands for 0, where the beta distribution ends
    low = np.where(found > 0, betaincinv(np.maximum(found, tiny), rest + 1, outside), 0.0)
    high = np.where(rest > 0, betaincinv(found + 1, np.maximum(rest, tiny), 1 - outside), 1.0)
    return low, high
