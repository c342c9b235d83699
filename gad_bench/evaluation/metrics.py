"""How well scores tell good images from anomalous ones.

Written in plain numpy, because importing scikit-learn takes longer than a run from a warm store;
the tests hold every figure against scikit-learn's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gad_bench.base.errors import UserError

STEPS, TRAPEZOID = "steps", "trapezoid"
AREAS = (STEPS, TRAPEZOID)

Vector = NDArray[np.float64]


def check_labels(labels: ArrayLike) -> NDArray[np.bool_]:
    """Return the labels as booleans, True for anomalous.

    Raises:
        UserError: the test set lacks good or anomalous images, so that nothing can be measured.
    """
    anomalous = np.asarray(labels).astype(bool)
    for kind, count in (("anomalous", anomalous.sum()), ("good", (~anomalous).sum())):
        if count == 0:
            raise UserError(
                f"the test set has no {kind} image, so AUROC is undefined: "
                "add some to the test folder or choose another category"
            )
    return anomalous


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve: P(anomalous > good) + P(equal) / 2.

    Args:
        labels: [images], 1 for anomalous.
        scores: [images], higher is more anomalous.
    """
    anomalous = check_labels(labels)
    values = np.asarray(scores, dtype=np.float64)
    good = np.sort(values[~anomalous])
    below = np.searchsorted(good, values[anomalous], side="left")
    not_above = np.searchsorted(good, values[anomalous], side="right")
    return float((below + not_above).mean() / (2 * len(good)))


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[Vector, Vector]:
    """Return false and true positive rates at each threshold, from (0, 0) to (1, 1)."""
    anomalous = check_labels(labels)
    true, false = _counts_at_thresholds(anomalous, scores)
    return (
        np.concatenate([[0.0], false / false[-1]]),
        np.concatenate([[0.0], true / true[-1]]),
    )


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[Vector, Vector]:
    """Return recall and precision at each threshold, from the highest one down."""
    anomalous = check_labels(labels)
    true, false = _counts_at_thresholds(anomalous, scores)
    return true / true[-1], true / (true + false)


def average_precision(labels: ArrayLike, scores: ArrayLike, area: str = STEPS) -> float:
    """Return the area under the precision-recall curve.

    Args:
        labels: [images], 1 for anomalous.
        scores: [images], higher is more anomalous.
        area: "steps" for the mean precision over recall's steps, as scikit-learn defines it;
            "trapezoid" for straight lines from recall 0 and precision 1 on.
    """
    recall, precision = precision_recall_curve(labels, scores)
    steps = np.diff(recall, prepend=0.0)
    if area == TRAPEZOID:
        return float(np.sum(steps * (np.append(1.0, precision[:-1]) + precision)) / 2)
    return float(np.sum(steps * precision))


def _counts_at_thresholds(anomalous: NDArray[np.bool_], scores: ArrayLike) -> tuple[Vector, Vector]:
    """Return how many anomalous and good images reach each distinct score, highest first."""
    values = np.asarray(scores, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    last_of_ties = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    true = np.cumsum(anomalous[order])[last_of_ties].astype(np.float64)
    false = last_of_ties + 1 - true
    return true, false


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
