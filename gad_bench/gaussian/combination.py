"""How the blocks' scores become an image's score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gad_bench.gaussian.samples import Matrix, Vector


class Combination(Protocol):
    """A map from the blocks' scores to one."""

    def combine(self, scores: Matrix, training_scores: Matrix) -> Vector:
        """Combine scores [images, blocks], given those of the fitted images [samples, blocks]."""


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean over blocks: the paper's."""

    def combine(self, scores: Matrix, training_scores: Matrix) -> Vector:  # noqa: ARG002
        """Return the mean [images]."""
        combined: Vector = np.mean(scores, axis=1)
        return combined
