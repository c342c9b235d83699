"""What a detector of images reaches at the best threshold, and what one rate costs in the other."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from gad_bench.base.errors import UserError
from gad_bench.evaluation.metrics import check_labels


def best_f1(labels: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """Return the highest F1 of any threshold that scores reach, and the highest such threshold.

    Args:
        labels: [images], 1 for anomalous.
        scores: [images], higher is more anomalous.

    Raises:
        UserError: there are no good or no anomalous images.
    """
    anomalous = check_labels(labels)
    values = np.asarray(scores, dtype=np.float64)
    thresholds = np.unique(values)
    reached = len(values) - np.searchsorted(np.sort(values), thresholds)
    true = anomalous.sum() - np.searchsorted(np.sort(values[anomalous]), thresholds)
    f1 = 2 * true / (reached + anomalous.sum())
    best = len(f1) - 1 - int(np.argmax(f1[::-1]))
    return float(f1[best]), float(thresholds[best])


def true_positive_rate(labels: ArrayLike, scores: ArrayLike, false_positive_rate: float) -> float:
    """Return the highest true positive rate of any threshold within a false positive rate.

    Nothing is interpolated: with 50 good images, 1 % lets none of them pass the threshold.

    Args:
        labels: [images], 1 for anomalous.
        scores: [images], higher is more anomalous.
        false_positive_rate: the highest that is allowed, in [0, 1].

    Raises:
        UserError: the rate is none, or there are no good or no anomalous images.
    """
    if not 0 <= false_positive_rate <= 1:
        raise UserError(f"a false positive rate must lie in [0, 1], not {false_positive_rate}")
    anomalous = check_labels(labels)
    values = np.asarray(scores, dtype=np.float64)
    good = np.sort(values[~anomalous])[::-1]
    allowed = int(false_positive_rate * len(good) * (1 + 1e-12))
    if allowed >= len(good):
        return 1.0
    return float((values[anomalous] > good[allowed]).mean())


def false_positive_rate(labels: ArrayLike, scores: ArrayLike, true_positive_rate: float) -> float:
    """Return the lowest false positive rate of any threshold that reaches a true positive rate.

    Nothing is interpolated, and an image is flagged from the threshold on.

    Args:
        labels: [images], 1 for anomalous.
        scores: [images], higher is more anomalous.
        true_positive_rate: the share of anomalous images to be flagged, in (0, 1].

    Raises:
        UserError: the share is none, or there are no good or no anomalous images.
    """
    if not 0 < true_positive_rate <= 1:
        raise UserError(f"a true positive rate must lie in (0, 1], not {true_positive_rate}")
    anomalous = check_labels(labels)
    values = np.asarray(scores, dtype=np.float64)
    ranked = np.sort(values[anomalous])[::-1]
    needed = math.ceil(true_positive_rate * len(ranked) * (1 - 1e-12))
    return float((values[~anomalous] >= ranked[needed - 1]).mean())
