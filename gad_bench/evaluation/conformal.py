"""False positive rates by held-out images: split conformal and cross-conformal p-values.

A p-value tells how high an image scores among good images that the fit did not see: it is the share
of scores at or above its own, its own among them. Flagging what has a p-value of at most a rate
raises false alarms at no more than that rate, whatever the scores' distribution, as long as the
image and those held out are exchangeable: good ones of the same process, in random order.

What the fit saw need not be like them. With contamination the fit holds anomalous images, the same
for all that is scored, and the images held out stay clean, so the promise stands; what suffers is
the true positive rate. (Anomalies among the images held out would score high, raise every p-value
and so hide defects; they would not add false alarms.)

A detector for use is fitted on all good images, and so none is left to hold out. Then each of them
is held out of a further fit, with its fold, and two rules come to mind (Barber, Candes, Ramdas and
Tibshirani 2021, "Predictive inference with the jackknife+"):

- Compare its score with the new image's score by the fit on all images: one threshold, but the two
  scores are of fits on different numbers of images. Where those scale scores differently nothing
  holds: `reduction=npca` with fewer images than dimensions raised 22 % false alarms for 5 %.
- Compare its score with the new image's score by the same fit: `CrossCalibration`. All fits have to
  be kept, there is no single threshold, and a bound holds without any assumption. This is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gad_bench.base.errors import UserError

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Split conformal, fitted: the scores of the images held out, all that p-values need.

    With m scores, P(p <= fpr) is at most fpr over draws of the images held out and the new one
    (Vovk, Gammerman and Shafer 2022, "Algorithmic learning in a random world", section 4.2). For
    those at hand the rate is a draw from a beta distribution: see `rate_interval`.

    Attributes:
        scores: in rising order; plain numbers, to be kept as JSON.
    """

    scores: tuple[float, ...]

    @classmethod
    def of(cls, scores: ArrayLike) -> Calibration:
        """Return the calibration by scores [images].

        Raises:
            UserError: a score is NaN.
        """
        values = np.sort(np.asarray(scores, dtype=np.float64))
        _refuse_nan(values)
        return cls(tuple(values.tolist()))

    @property
    def images(self) -> int:
        """The number m of images held out."""
        return len(self.scores)

    @property
    def lowest_rate(self) -> float:
        """The lowest false positive rate that so many images can promise, 1 / (m + 1)."""
        return 1 / (self.images + 1)

    def admitted(self, fpr: float) -> float:
        """Return the wanted rate, or the lowest one where the images are too few for that."""
        return max(fpr, self.lowest_rate)

    def p_values(self, scores: ArrayLike) -> Vector:
        """Return (1 + the number of calibration scores at or above) / (m + 1) for scores [images].

        Raises:
            UserError: a score is NaN.
        """
        return (1 + _count_at_or_above(np.asarray(self.scores), scores)) / (self.images + 1)

    def threshold(self, fpr: float) -> float:
        """Return the ceil((m + 1)(1 - fpr))-th lowest score: what lies above has p <= fpr.

        Infinite where the rate is less than `lowest_rate`.
        """
        flagged = allowed(fpr, self.images)
        return self.scores[-flagged] if flagged else math.inf

    def rate_interval(self, fpr: float, level: float = 0.95) -> tuple[float, float]:
        """Return between which rates false alarms lie, for so many images drawn at random.

        Given the images held out, the rate has the distribution Beta(k, m + 1 - k) with
        k = floor((m + 1) fpr), if no scores are equal; stochastically less if some are.
        Source: Vovk 2012, "Conditional validity of inductive conformal predictors".
        """
        from scipy.special import betaincinv

        flagged = allowed(fpr, self.images)
        rest = self.images + 1 - flagged
        if 0 in (flagged, rest):
            return float(rest == 0), float(rest == 0)
        low, high = betaincinv(flagged, rest, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


@dataclass(frozen=True)
class CrossCalibration:
    """Cross-conformal: every fold's images held out, each scored by the fold that did not see it.

    Attributes:
        scores: by fold, of the images that it holds out.
        weights: by fold, of the same images: 1 / the number of folds that hold the image out.
        images: the number of images held out.
        shared: whether some are held out by several folds, as a data set's own validation images.
    """

    scores: tuple[Vector, ...]
    weights: tuple[Vector, ...]
    images: int
    shared: bool

    @classmethod
    def of(
        cls, images: Sequence[NDArray[np.integer]], scores: Sequence[ArrayLike]
    ) -> CrossCalibration:
        """Return the calibration by the folds' images held out, by number, and their scores.

        Raises:
            UserError: a score is NaN.
        """
        known, folds = np.unique(np.concatenate(images), return_counts=True)
        weights = [1 / folds[np.searchsorted(known, rows)] for rows in images]
        values = [np.asarray(fold, dtype=np.float64) for fold in scores]
        _refuse_nan(*values)
        orders = [np.argsort(fold, kind="stable") for fold in values]
        return cls(
            scores=tuple(fold[order] for fold, order in zip(values, orders, strict=True)),
            weights=tuple(fold[order] for fold, order in zip(weights, orders, strict=True)),
            images=len(known),
            shared=bool((folds > 1).any()),
        )

    @property
    def lowest_rate(self) -> float:
        """The lowest p-value of so many images, 1 / (n + 1)."""
        return 1 / (self.images + 1)

    def admitted(self, fpr: float) -> float:
        """Return the wanted rate, or the lowest one where the images are too few for that."""
        return max(fpr, self.lowest_rate)

    def p_values(self, scores: Sequence[ArrayLike]) -> Vector:
        """Return (1 + the number of images held out that score at or above) / (n + 1).

        Each image held out is compared with the new image's score by the same fold; one that
        several folds hold out counts in each by its share. Source: Vovk 2015, "Cross-conformal
        predictors"; its like for regression is the CV+ of Barber, Candes, Ramdas and Tibshirani
        2021, "Predictive inference with the jackknife+".

        Args:
            scores: by fold, of the same images.

        Raises:
            UserError: a score is NaN.
        """
        beaten = sum(
            _weight_at_or_above(*fold)
            for fold in zip(self.scores, self.weights, scores, strict=True)
        )
        return np.asarray(1 + beaten) / (self.images + 1)

    def promise(self, fpr: float) -> float:
        """Return the rate that p <= fpr cannot exceed, over draws of all the images.

        In practice the rate is near fpr. What always holds, for K folds and n images held out, is
        2 fpr + 2 (1 - fpr)(K - 1) / (n + K), as for CV+ (Barber et al. 2021, theorem 4): each
        fold's p-value is valid, this one is their weighted mean but for the ones that each fold
        adds, and a mean of valid p-values, doubled, is valid (Vovk and Wang 2020, "Combining
        p-values via averaging").
        """
        added = len(self.scores) + self.shared
        mean = (fpr * (self.images + 1) + added - 1) / (self.images + added)
        return min(2 * mean, 1.0)


def allowed(fpr: float, images: int) -> int:
    """Return floor((m + 1) fpr): the rank from above of the threshold among m scores.

    Exact for the rate as it is written: 0.29 is 29/100, though no float is. A rate that was itself
    computed as k / (m + 1) has rank k, so that the threshold and p <= fpr always agree.
    """
    rank = math.floor(Fraction(repr(float(fpr))) * (images + 1))
    return rank + ((rank + 1) / (images + 1) <= fpr)


def _count_at_or_above(rising: Vector, scores: ArrayLike) -> NDArray[np.intp]:
    values = np.asarray(scores, dtype=np.float64)
    _refuse_nan(values)
    return len(rising) - np.searchsorted(rising, values, side="left")


def _weight_at_or_above(rising: Vector, weights: Vector, scores: ArrayLike) -> Vector:
    above = np.append(np.cumsum(weights[::-1])[::-1], 0.0)
    return above[len(rising) - _count_at_or_above(rising, scores)]


def _refuse_nan(*scores: Vector) -> None:
    if any(np.isnan(values).any() for values in scores):
        raise UserError(
            "the score of an image is not a number, so it has no p-value: "
            "choose another covariance, reduction or combination"
        )
