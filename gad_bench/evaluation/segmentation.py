"""Defects' pixels at a threshold that good images set beforehand: SegF1, of MVTec AD 2."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.evaluation.intervals import RESAMPLES, Matrix, resamples
from gad_bench.evaluation.metrics import Vector
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
    return float(_f1(_counts(images, threshold).sum(axis=0)))


def resampled_segmentation_f1(
    images: Iterable[tuple[Map, Mask]], threshold: float, *, seed: int, count: int = RESAMPLES
) -> tuple[float, Vector]:
    """Return `segmentation_f1`, and that of each resample of the images [count].

    The threshold stays: other images set it.

    Args:
        images: as there, of both kinds.
        threshold: as there.
        seed: of the resamples.
        count: of the resamples.
    """
    counts = _counts(images, threshold)
    drawn = resamples(counts[:, 2] > 0, seed=seed, count=count)
    over = np.concatenate([_f1(weights.T @ counts) for weights in drawn])
    return float(_f1(counts.sum(axis=0))), over


def _counts(images: Iterable[tuple[Map, Mask]], threshold: float) -> Matrix:
    """Return each image's pixels [images, 3]: defective and reached, reached, defective."""
    found = []
    for heat, mask in images:
        above = heat >= threshold
        found.append([np.count_nonzero(own) for own in (above & mask, above, mask)])
    return np.array(found, np.float64).reshape(-1, 3)


def _f1(counts: Vector | Matrix) -> Vector:
    true, reached, defective = np.moveaxis(counts, -1, 0)
    total = reached + defective
    return np.asarray(2 * true / np.where(total > 0, total, 1))
