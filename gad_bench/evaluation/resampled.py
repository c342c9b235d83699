"""Figures of scores over resamples of the test images, all from one draw."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gad_bench.evaluation.intervals import RESAMPLES, Weights, draw, pieces, resamples
from gad_bench.evaluation.metrics import STEPS, TRAPEZOID, Vector, check_labels

Counts = NDArray[np.int32]
Matrix = NDArray[np.float64]


class Reached(NamedTuple):
    """How many images reach each distinct score, the highest first, in some resamples.

    Attributes:
        anomalous: [resamples, scores] of the anomalous images.
        images: [resamples, scores] of all.
    """

    anomalous: Counts
    images: Counts

    def auroc(self) -> Vector:
        """Return the areas under the ROC curves, straight between thresholds [resamples]."""
        steps = np.diff(self._good, axis=1, prepend=np.int32(0))
        heights = self.anomalous + _before(self.anomalous)
        twice = np.einsum("rt,rt->r", steps, heights, dtype=np.float64)
        return np.asarray(twice / (2.0 * self.anomalous[:, -1] * self._good[:, -1]))

    def average_precision(self, area: str = STEPS) -> Vector:
        """Return the average precisions [resamples]; see `metrics.average_precision`.

        A threshold that no image reaches has precision 1.
        """
        precision = np.ones(self.images.shape)
        np.divide(self.anomalous, self.images, out=precision, where=self.images > 0)
        steps = np.diff(self.anomalous, axis=1, prepend=np.int32(0))
        if area == TRAPEZOID:
            precision = (precision + np.insert(precision[:, :-1], 0, 1.0, axis=1)) / 2
        return np.asarray(np.einsum("rt,rt->r", steps, precision) / self.anomalous[:, -1])

    def best_f1(self) -> Vector:
        """Return the highest F1 of any threshold [resamples]."""
        return np.asarray((2 * self.anomalous / (self.images + self.anomalous[:, -1:])).max(axis=1))

    def true_positive_rate(self, false_positive_rate: float) -> Vector:
        """Return the highest true positive rates within a false positive rate [resamples]."""
        good = self._good
        allowed = int(false_positive_rate * good[0, -1] * (1 + 1e-12))
        within = np.where(good <= allowed, self.anomalous, 0).max(axis=1)
        return np.asarray(within / self.anomalous[:, -1])

    def false_positive_rate(self, true_positive_rate: float) -> Vector:
        """Return the lowest false positive rates of those thresholds that reach a true one."""
        good, needed = self._good, true_positive_rate * self.anomalous[:, -1:] - 1e-9
        first = np.argmax(self.anomalous >= needed, axis=1)
        return np.asarray(good[np.arange(len(good)), first] / good[:, -1])

    @property
    def _good(self) -> Counts:
        return self.images - self.anomalous


Figures = Callable[[Reached], Mapping[str, Vector]]
"""What is asked of some resamples: figures [resamples] by name."""


def resampled(
    labels: ArrayLike, asked: Sequence[tuple[ArrayLike, Figures]], drawn: Iterable[Weights]
) -> dict[str, Vector]:
    """Return figures of several scores of the same images over the same resamples [resamples].

    Args:
        labels: [images], 1 for anomalous.
        asked: scores [images], higher is more anomalous, and what is wanted of them.
        drawn: the resamples, some at a time.

    Raises:
        UserError: there are no good or no anomalous images.
    """
    ranked = [(_Ranked.of(labels, scores), figures) for scores, figures in asked]
    parts: list[dict[str, Vector]] = []
    for weights in drawn:
        found: dict[str, Vector] = {}
        for own, figures in ranked:
            found |= figures(own.reached(weights))
        parts.append(found)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def resampled_auroc(
    labels: ArrayLike, scores: ArrayLike, *, seed: int, count: int = RESAMPLES
) -> Vector:
    """Return the AUROC of each resample [count]."""
    drawn = resamples(labels, seed=seed, count=count)
    return resampled(labels, [(scores, _auroc)], drawn)["auroc"]


def resampled_auroc_of_copies(
    good: Vector, copies: Matrix, generator: np.random.Generator, count: int = RESAMPLES
) -> Vector:
    """Return the AUROC of images against copies of them with defects, of each resample [count].

    An image is drawn with all its copies: they are no independent images.

    Args:
        good: the images' scores [images].
        copies: their copies' scores [images, copies].
        generator: draws.
        count: of the resamples.
    """
    size, each = copies.shape
    scores = np.concatenate([good, copies.ravel()])
    labels = np.repeat([0, 1], [size, size * each])
    drawn = _with_copies(generator, size, each, count)
    return resampled(labels, [(scores, _auroc)], drawn)["auroc"]


def _with_copies(
    generator: np.random.Generator, size: int, each: int, count: int
) -> Iterator[Weights]:
    for some in pieces(count, size * (1 + each)):
        weights = draw(generator, some, size)
        yield np.concatenate([weights, np.repeat(weights, each, axis=1)], axis=1)


def _auroc(reached: Reached) -> dict[str, Vector]:
    return {"auroc": reached.auroc()}


class _Ranked(NamedTuple):
    """A test set's images in falling order of their scores.

    Attributes:
        order: [images].
        anomalous: [images] in that order, 1 for anomalous.
        last_of_ties: the last place of each distinct score; None where all are.
    """

    order: NDArray[np.intp]
    anomalous: Counts
    last_of_ties: NDArray[np.intp] | None

    @classmethod
    def of(cls, labels: ArrayLike, scores: ArrayLike) -> _Ranked:
        values = np.asarray(scores, dtype=np.float64)
        order = np.argsort(-values, kind="stable")
        ranked = values[order]
        last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        anomalous = check_labels(labels)[order].astype(np.int32)
        return cls(order, anomalous, None if len(last) == len(order) else last)

    def reached(self, weights: Weights) -> Reached:
        of_rank = weights[:, self.order]
        images = np.cumsum(of_rank, axis=1, dtype=np.int32)
        anomalous = np.cumsum(of_rank * self.anomalous, axis=1, dtype=np.int32)
        if self.last_of_ties is None:
            return Reached(anomalous, images)
        return Reached(anomalous[:, self.last_of_ties], images[:, self.last_of_ties])


def _before(values: Counts) -> Counts:
    return np.insert(values[:, :-1], 0, 0, axis=1)
