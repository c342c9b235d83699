"""How much of each image's defect is found where good images show next to nothing: AUPIMO."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.evaluation.pixels import Map, Mask

LOWEST, HIGHEST = 1e-5, 1e-4

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
    if not 0 < lowest < highest <= 1:
        raise UserError(f"false positive rates of {lowest} to {highest} do not rise within (0, 1]")
    defective = [heat[mask] for heat, mask in images if mask.any()]
    values = np.unique(np.concatenate(defective)) if defective else np.empty(0, np.float32)
    rates, good = np.zeros(len(values)), 0
    for heat, mask in images:
        if not mask.any():
            rates += 1 - np.searchsorted(np.sort(heat, axis=None), values) / heat.size
            good += 1
    if good == 0:
        return np.empty(0)
    held = np.log(highest / np.clip(rates / good, lowest, highest)) / np.log(highest / lowest)
    return np.array([held[np.searchsorted(values, own)].mean() for own in defective])
