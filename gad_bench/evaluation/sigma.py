"""The paper's working points: thresholds at n sigma of a Gaussian."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from gad_bench.evaluation.metrics import check_labels

SIGMAS = range(1, 9)
TAIL, SHARE = "tail", "share"
ROUTES = (TAIL, SHARE)


@cache
def sigma_threshold(sigma: float, dimension: int, route: str = TAIL) -> float:
    """Return the distance within which a Gaussian's vectors lie with p = erf(n / sqrt 2).

    By way of the upper tail, 1 - p, because p itself rounds to 1 from n = 9 on.
    Source: Rippel et al., ICPR 2020, section III-C.

    Args:
        sigma: n.
        dimension: degrees of freedom of the squared distance.
        route: "tail", or "share" for the way by p; see `Definitions`.
    """
    from scipy.special import chdtri, gammaincinv

    if route == SHARE:
        return math.sqrt(2 * gammaincinv(dimension / 2, math.erf(sigma / math.sqrt(2))))
    return math.sqrt(chdtri(dimension, math.erfc(sigma / math.sqrt(2))))


def rates_at_sigma(
    labels: ArrayLike,
    distances: ArrayLike,
    dimension: int,
    sigmas: Sequence[int] = SIGMAS,
    route: str = TAIL,
) -> dict[int, tuple[float, float]]:
    """Return the false and the true positive rate at each number of sigmas."""
    anomalous = check_labels(labels)
    values = np.asarray(distances, dtype=np.float64)
    rates = {}
    for sigma in sigmas:
        flagged = values > sigma_threshold(sigma, dimension, route)
        rates[sigma] = (float(flagged[~anomalous].mean()), float(flagged[anomalous].mean()))
    return rates
