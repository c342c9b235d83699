"""A whole fitted model: a detector per block, and how their scores become an image's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.gaussian.combination import Combination, Evidence
from gad_bench.gaussian.detector import FittedBlock
from gad_bench.gaussian.statistics import Matrix, Vector


@dataclass(frozen=True, kw_only=True)
class FittedModel:
    """All that scores vectors.

    Attributes:
        blocks: the fitted detector by block, in rising order.
        combination: of the blocks' scores.
        fitted_scores: the blocks' scores of the fitted vectors [samples, blocks], where the
            combination asks for them.
        as_one: the detector of all blocks' features as one vector, where it asks for that.
    """

    blocks: Mapping[int, FittedBlock]
    combination: Combination
    fitted_scores: Matrix | None
    as_one: FittedBlock | None

    def score(self, features: Mapping[int, NDArray[Any]]) -> tuple[Matrix, Vector]:
        """Score vectors [images, D_i] by block.

        Returns:
            The blocks' scores [images, blocks] and the images' [images].

        Raises:
            UserError: a block's vectors are of another length than the fitted ones, or not finite.
        """
        scores = np.column_stack([own.score(features[block]) for block, own in self.blocks.items()])

        def score_as_one() -> Vector:
            joined = np.concatenate([features[block] for block in self.blocks], axis=1)
            return _needed(self.as_one).score(joined)

        return scores, self._combine(scores, score_as_one)

    def combine_thresholds(
        self, thresholds: Mapping[int, float | None], as_one: float | None
    ) -> float | None:
        """Return the image's score where every block's lies at a threshold of its own.

        Args:
            thresholds: by block, None where it has none.
            as_one: that of the detector of all blocks' features as one vector.

        Returns:
            The score, None where a threshold that it takes is missing.
        """
        if self.as_one is not None:
            return as_one
        row = [thresholds[block] for block in self.blocks]
        if None in row:
            return None
        return float(self._combine(np.array([row], np.float64), lambda: np.zeros(1))[0])

    def _combine(self, scores: Matrix, score_as_one: Callable[[], Vector]) -> Vector:
        evidence = Evidence(
            scores=scores,
            fitted_scores=lambda: _needed(self.fitted_scores),
            score_as_one=score_as_one,
        )
        return self.combination.combine(evidence)


Part = TypeVar("Part")


def _needed(part: Part | None) -> Part:
    if part is None:
        raise UserError("the combination asks for what the model does not hold: save it again")
    return part
