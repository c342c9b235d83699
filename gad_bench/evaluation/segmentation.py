"""Defects' pixels at a threshold that good images set beforehand: SegF1, of MVTec AD 2."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.evaluation.pixels import Map, Mask


def good_threshold(maps: Iterable[Map], deviations: float) -> float:
    """Return the mean of all pixels of good images and so many standard deviations.

    Args:
        maps: good images' heat maps [height, width]; iterated over once, one at a time.
        deviations: how many.

    Raises:
        UserError: there is no map.
    """
    count, mean, squares = 0, 0.0, 0.0
    for heat in maps:
        values = heat.astype(np.float64)
        step = float(values.mean()) - mean
        together = count + heat.size
        squares += float(values.var()) * heat.size + step**2 * count * heat.size / together
        mean += step * heat.size / together
        count = together
    if count == 0:
        raise UserError("no heat map of a good image to set a threshold by: hold some images out")
    return mean + deviations * float(np.sqrt(squares / count))


def segmentation_f1(images: Iterable[tuple[Map, Mask]], threshold: float) -> float:
    """Return the F1 of all images' pixels that reach a threshold.

    Args:
        images: each image's heat map [height, width], higher is more anomalous, and the mask of its
            defects [height, width], empty for a good image.
        threshold: set without these images.

    Returns:
        2 true / (reached + defective), by pixels; 0 where there is neither.
    """
    true = reached = defective = 0
    for heat, mask in images:
        above = heat >= threshold
        true += int(np.count_nonzero(above & mask))
        reached += int(np.count_nonzero(above))
        defective += int(np.count_nonzero(mask))
    return 2 * true / (reached + defective) if reached + defective else 0.0
