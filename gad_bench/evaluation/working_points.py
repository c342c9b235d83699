"""Working points for a wanted false positive rate: promised, and measured on the test set."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from gad_bench.evaluation.conformal import Calibration, CrossCalibration
from gad_bench.evaluation.metrics import clopper_pearson
from gad_bench.evaluation.scores import HeldOut, Scores
from gad_bench.evaluation.thresholds import CONFORMAL, GAUSSIAN, DistanceLaw, Threshold

log = logging.getLogger(__name__)

Rows = NDArray[np.intp]
Vector = NDArray[np.float64]
Chosen = Callable[[Scores | HeldOut], Vector]
"""Which of the scores: the combined one, or a block's."""


@dataclass(frozen=True, kw_only=True)
class WorkingPoints:
    """What the wanted rate comes to.

    Attributes:
        scores: by fold, with conformal p-values where there are any.
        metrics: thresholds, promises, and measured rates with their 95 % intervals, by name.
    """

    scores: Sequence[Scores]
    metrics: dict[str, float]


def working_points(
    threshold: Threshold,
    folds: Sequence[Scores],
    tested: Sequence[Rows],
    calibrating: Sequence[Scores] = (),
) -> WorkingPoints:
    """Seek the wanted rate by the methods that were chosen, and measure what the test set shows.

    Args:
        threshold: the wanted rate.
        folds: the folds' scores.
        tested: of each fold's scores the images, in rising order.
        calibrating: the same images' scores by the fits that hold some of the only fold's images
            out, where that fold holds none; else the folds calibrate themselves.

    Raises:
        UserError: Gaussian thresholds are required and no block's score is a Mahalanobis distance.
    """
    blocks = [block for block in folds[0].blocks if all(block in fold.dimensions for fold in folds)]
    threshold.require_distances(len(blocks))
    metrics = {"fpr_wanted": threshold.fpr}
    if GAUSSIAN in threshold.methods:
        for block in blocks:
            metrics |= _gaussian_metrics(folds, block, threshold.fpr)
    if CONFORMAL not in threshold.methods:
        return WorkingPoints(scores=folds, metrics=metrics)
    by, rows = calibrated_by(folds, tested, calibrating)
    if any(fold.held_out is None for fold in by):
        return WorkingPoints(scores=folds, metrics=metrics)
    p_values = conformal_p_values(by, rows, _combined)
    scores = [replace(fold, p_values=p) for fold, p in zip(folds, p_values, strict=False)]
    calibration = calibrate(by, _combined)
    metrics |= _conformal_metrics(scores[0], calibration, threshold.fpr)
    return WorkingPoints(scores=scores, metrics=metrics)


def calibrated_by(
    folds: Sequence[Scores], tested: Sequence[Rows], calibrating: Sequence[Scores]
) -> tuple[Sequence[Scores], Sequence[Rows]]:
    """Return whose images held out calibrate, and which images each of them tests."""
    return (calibrating, [tested[0]] * len(calibrating)) if calibrating else (folds, tested)


def _combined(scores: Scores | HeldOut) -> Vector:
    return scores.combined


def calibrate(folds: Sequence[Scores], chosen: Chosen) -> Calibration | CrossCalibration:
    """Calibrate by the folds' images held out: split conformal for one fold, else cross-conformal.

    Raises:
        ValueError: a fold holds none out.
    """
    held_out = [fold.held_out for fold in folds if fold.held_out is not None]
    if len(held_out) < len(folds):
        raise ValueError("a fold holds no image out")
    if len(folds) == 1:
        return Calibration.of(chosen(held_out[0]))
    return CrossCalibration.of([part.images for part in held_out], [*map(chosen, held_out)])


def conformal_p_values(
    folds: Sequence[Scores], tested: Sequence[Rows], chosen: Chosen
) -> list[Vector]:
    """Return the p-values of each fold's test images; the same in all folds for the same image.

    NaN for an image that some fold does not test: contamination has it fitted there.

    Args:
        folds: the folds' scores, with images held out.
        tested: of each fold's scores the images, in rising order.
        chosen: which of the scores.
    """
    calibration = calibrate(folds, chosen)
    if isinstance(calibration, Calibration):
        return [calibration.p_values(chosen(folds[0]))]
    common = reduce(np.intersect1d, tested)
    places = [np.searchsorted(rows, common) for rows in tested]
    scores = [chosen(fold)[place] for fold, place in zip(folds, places, strict=True)]
    found = calibration.p_values(scores)
    return [_spread(found, place, len(rows)) for place, rows in zip(places, tested, strict=True)]


def distance_laws(folds: Sequence[Scores], block: int) -> list[DistanceLaw]:
    """Return by fold the law of a block's distance, in all folds a Mahalanobis distance."""
    return [
        DistanceLaw(dimension=fold.dimensions[block], samples=fold.samples.get(block))
        for fold in folds
    ]


def _gaussian_metrics(folds: Sequence[Scores], block: int, fpr: float) -> dict[str, float]:
    """Rates and thresholds are means over the folds; the intervals are those of one test set."""
    laws = distance_laws(folds, block)
    thresholds = [law.threshold(fpr) for law in laws]
    flagged = [fold.blocks[block] > limit for fold, limit in zip(folds, thresholds, strict=True)]
    labels = np.concatenate([fold.labels for fold in folds])
    rates = dict(measured_rates(labels, np.concatenate(flagged), GAUSSIAN, folds=len(folds)))
    found = {f"threshold_{GAUSSIAN}": float(np.mean(thresholds))} | rates
    return {f"{key}_block_{block}": value for key, value in found.items()}


def _conformal_metrics(
    scores: Scores, calibration: Calibration | CrossCalibration, fpr: float
) -> dict[str, float]:
    """Measure by the p-values, at the lowest rate that there is where images are too few."""
    p_values, labels = np.asarray(scores.p_values), scores.labels
    rate = calibration.admitted(fpr)
    if rate > fpr:
        log.warning(too_few(calibration.images, fpr))
    found: dict[str, float] = {"images_held_out": calibration.images, "fpr_used": rate}
    if isinstance(calibration, CrossCalibration):
        found[f"fpr_{CONFORMAL}_promised"] = calibration.promise(rate)
    else:
        found[f"threshold_{CONFORMAL}"] = calibration.threshold(rate)
        found[f"fpr_{CONFORMAL}_promised"] = rate
    known = ~np.isnan(p_values)
    return found | dict(measured_rates(labels[known], p_values[known] <= rate, CONFORMAL))


def too_few(images: int, fpr: float) -> str:
    """Say that so few images admit no such rate, which rate they do admit, and what it takes."""
    needed = math.ceil(1 / Fraction(repr(fpr))) - 1
    return (
        f"{images} images held out admit no false positive rate below {100 / (images + 1):.3g} %, "
        f"which is used in place of the {100 * fpr:g} % wanted: that takes {needed} images"
    )


def measured_rates(
    labels: NDArray[np.integer], flagged: NDArray[np.bool_], name: str, folds: int = 1
) -> Iterator[tuple[str, float]]:
    """Yield the false and the true positive rate by name, each with its 95 % interval.

    A rate of images that there are none of is left out.

    Args:
        labels: [images], 1 for anomalous.
        flagged: [images], whether an image was called anomalous.
        name: of what called it so.
        folds: how many times each image is among them.
    """
    for rate, label in (("fpr", 0), ("tpr", 1)):
        chosen = flagged[labels == label]
        if not len(chosen):
            continue
        share = float(chosen.mean())
        low, high = clopper_pearson(share, len(chosen) // folds)
        yield f"{rate}_{name}", share
        yield f"{rate}_{name}_ci_low", float(low)
        yield f"{rate}_{name}_ci_high", float(high)


def _spread(values: Vector, places: Rows, count: int) -> Vector:
    spread = np.full(count, np.nan)
    spread[places] = values
    return spread
