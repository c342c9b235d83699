"""How the blocks' scores become an image's score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.gaussian.statistics import Matrix, Vector

Need = Literal["fitted_scores", "as_one"]
"""What costs a fit or a pass more: fitted images' scores, or a detector of all blocks as one."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What there is to combine; what costs a computation is a function.

    Attributes:
        scores: the blocks' scores of the images [images, blocks].
        fitted_scores: those of the fitted images [samples, blocks].
        score_as_one: the scores [images] of one detector on all blocks' features as one vector.
    """

    scores: Matrix
    fitted_scores: Callable[[], Matrix]
    score_as_one: Callable[[], Vector]


class Combination(Protocol):
    """A map from what the blocks say of images to one score.

    Attributes:
        needs: what it asks of the evidence beside the blocks' scores.
    """

    needs: ClassVar[tuple[Need, ...]]

    def combine(self, evidence: Evidence) -> Vector:
        """Return the images' score [images].

        Raises:
            UserError: these blocks' scores admit none.
        """


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean over blocks: the paper's."""

    needs: ClassVar[tuple[Need, ...]] = ()

    def combine(self, evidence: Evidence) -> Vector:
        """Return the mean [images]."""
        return evidence.scores.mean(axis=1)


@dataclass(frozen=True, kw_only=True)
class SumOfSquares:
    """The root of the sum of squared distances: that of one Gaussian with independent blocks."""

    needs: ClassVar[tuple[Need, ...]] = ()

    def combine(self, evidence: Evidence) -> Vector:
        """Return the distance [images].

        Raises:
            UserError: a score is negative, and so no distance.
        """
        if evidence.scores.min(initial=0) < 0:
            raise UserError(
                "combination=sum_of_squares needs distances, and this detector's scores may be "
                "negative: use combination=mean or combination=standardised_mean"
            )
        return np.sqrt(np.einsum("nb,nb->n", evidence.scores, evidence.scores))


@dataclass(frozen=True, kw_only=True)
class Maximum:
    """The highest block's score."""

    needs: ClassVar[tuple[Need, ...]] = ()

    def combine(self, evidence: Evidence) -> Vector:
        """Return the maximum [images]."""
        highest: Vector = evidence.scores.max(axis=1)
        return highest


@dataclass(frozen=True, kw_only=True)
class StandardisedMean:
    """The mean over blocks of scores less their mean, by their deviation over fitted images."""

    needs: ClassVar[tuple[Need, ...]] = ("fitted_scores",)

    def combine(self, evidence: Evidence) -> Vector:
        """Return the mean [images].

        Raises:
            UserError: the fitted images all have the same score.
        """
        fitted = evidence.fitted_scores()
        deviations = fitted.std(axis=0)
        if not (deviations > 0).all():
            raise UserError(
                "combination=standardised_mean: a block's scores are the same for all fitted "
                "images, so they have no scale: use combination=mean"
            )
        standardised: Matrix = (evidence.scores - fitted.mean(axis=0)) / deviations
        return standardised.mean(axis=1)


@dataclass(frozen=True, kw_only=True)
class Concatenated:
    """One detector on all blocks' features as one vector; the blocks' own scores stay."""

    needs: ClassVar[tuple[Need, ...]] = ("as_one",)

    def combine(self, evidence: Evidence) -> Vector:
        """Return that detector's score [images]."""
        return evidence.score_as_one()
